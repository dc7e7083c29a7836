//! The challenge that proves that a request is sent now.
//!
//! An old request that arrives late looks like one of a device that was restored. Where that
//! matters, the server answers with a challenge, and decides when the request comes again with it.
//! The challenge is signed, so that the server, and another server with the same key, need not
//! remember it.

use seatmeter_protocol::challenge::Challenge;
use seatmeter_protocol::signature::Signed;

use crate::error::Error;
use crate::keyring::Keyring;

/// The time, in seconds, within which the request must come again.
const TIME_MAX: u64 = 300;

/// Return a challenge for a request of this device.
pub(crate) async fn make(
    device_uuid: &str,
    keys: &Keyring,
    now: u64,
) -> Result<Box<Signed>, Error> {
    let challenge = Challenge { device_uuid: device_uuid.to_owned(), made_at: now };
    let signed = keys.seal(&challenge, keys.current()).await;
    signed.map(Box::new).map_err(|e| Error::Internal(e.to_string()))
}

/// Return whether this is a challenge for this device, made a moment ago by a server with one of
/// these keys.
pub(crate) fn is_good(challenge: &Signed, device_uuid: &str, keys: &Keyring, now: u64) -> bool {
    let key = keys.with_id(&challenge.key_id);
    let opened = key.and_then(|key| challenge.open::<Challenge>(key.public()).ok());
    opened.is_some_and(|challenge| {
        challenge.device_uuid == device_uuid && now.abs_diff(challenge.made_at) <= TIME_MAX
    })
}

#[cfg(test)]
mod tests {
    use seatmeter_protocol::signature::SigningKey;

    use super::*;

    fn keys(digit: &str) -> Keyring {
        Keyring::new(SigningKey::from_seed(&digit.repeat(64)).unwrap(), Vec::new())
    }

    #[tokio::test]
    async fn a_challenge_is_good_for_one_device_for_minutes_and_from_this_server() {
        let (ours, others) = (keys("1"), keys("2"));
        let challenge = make("a", &ours, 1_000).await.unwrap();
        assert!(is_good(&challenge, "a", &ours, 1_300));
        assert!(!is_good(&challenge, "a", &ours, 1_301), "it is old");
        assert!(!is_good(&challenge, "b", &ours, 1_000), "it is another device's");
        assert!(!is_good(&challenge, "a", &others, 1_000), "it is another server's");
        let renamed = Signed { payload: challenge.payload.replace("1000", "2000"), ..*challenge };
        assert!(!is_good(&renamed, "a", &ours, 2_000), "it was edited");
    }
}
