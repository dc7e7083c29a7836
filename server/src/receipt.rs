//! Receipts: what a device can show of the newest commit of this server that it knows of.
//!
//! Each answer to a grant or a report has a receipt: the epoch, a sequence of commits, and the
//! number of the commit in it. The device shows its last one with the next request. A receipt that
//! the data does not know proves that the data was put back to an earlier state, even when nothing
//! but reports came in between. Each writer of a server begins a sequence of its own, so that a
//! server that has worked on since the data was put back does not hide it.
//!
//! A receipt carries an HMAC, so that only a server with the key can make one. Devices keep it as a
//! text that tells them nothing.

use std::fmt;

use ring::hmac;
use seatmeter_protocol::message::RECEIPT_BYTES_MAX;

use crate::keyring::Keyring;

/// The place of a commit among all commits of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The epoch of the data.
    pub epoch: String,
    /// The sequence of commits.
    pub sequence_id: String,
    /// The number of the commit in its sequence.
    pub number: u64,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch, self.sequence_id, self.number)
    }
}

impl Receipt {
    /// Return the receipt as a text with the HMAC of the server.
    #[must_use]
    pub fn to_text(&self, keys: &Keyring) -> String {
        let content = self.to_string();
        let tag = hmac::sign(keys.receipt_key(), content.as_bytes());
        format!("{content}.{}", hex::encode(tag))
    }

    /// Return the receipt in a text, if a server with one of these keys has made it.
    #[must_use]
    pub fn from_text(text: &str, keys: &Keyring) -> Option<Self> {
        if text.len() > RECEIPT_BYTES_MAX {
            return None;
        }
        let (content, tag) = text.rsplit_once('.')?;
        let tag = hex::decode(tag).ok()?;
        keys.receipt_keys().find(|key| hmac::verify(key, content.as_bytes(), &tag).is_ok())?;
        let mut parts = content.split('.').map(str::to_owned);
        let (epoch, sequence_id, number) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { epoch, sequence_id, number: number.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use seatmeter_protocol::signature::SigningKey;

    use super::*;

    fn key(digit: &str) -> SigningKey {
        SigningKey::from_seed(&digit.repeat(64)).unwrap()
    }

    #[test]
    fn a_receipt_is_believed_from_a_key_of_this_server_alone() {
        let receipt = Receipt { epoch: "e".into(), sequence_id: "s".into(), number: 7 };
        let before = Keyring::new(key("1"), Vec::new());
        let rotated = Keyring::new(key("2"), vec![key("1")]);
        let text = receipt.to_text(&before);
        assert_eq!(Receipt::from_text(&text, &before), Some(receipt.clone()));
        assert_eq!(Receipt::from_text(&text, &rotated), Some(receipt));
        assert_eq!(Receipt::from_text(&text, &Keyring::new(key("3"), Vec::new())), None);
        for changed in [text.replace(".7.", ".8."), "..".to_owned(), String::new(), "x".repeat(999)]
        {
            assert_eq!(Receipt::from_text(&changed, &before), None, "{changed}");
        }
    }
}
