//! The frame of small files in a device's state directory. It shows whether the content is damaged,
//! and of which kind it is. The library writes the files; `seatmeterd doctor` reads them, too.
//!
//! ```text
//! offset  bytes
//!  0      8   magic "SMSTATE\0"
//!  8      4   version of the frame, little endian: 1
//! 12      4   kind of content
//! 16      8   length of the content
//! 24      32  SHA-256 of kind and content
//! 56      …   content: JSON
//! ```

use ring::digest::{Context, SHA256};

const MAGIC: &[u8; 8] = b"SMSTATE\0";
const VERSION: u32 = 1;

/// Bytes before the content.
pub const HEADER_BYTES: usize = 56;

/// Most bytes of a content. Ours stay far below it, so a longer file is not one of ours.
pub const CONTENT_BYTES_MAX: usize = 4 << 20;

/// The kind of content of a file. A file of one kind is not accepted as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// The identity of the device.
    Device = 1,
    /// The vendor's key.
    RootKey = 2,
    /// A grant.
    Grant = 3,
    /// The epoch of the server's data that the acknowledgements belong to.
    Epoch = 4,
    /// The server notices about the items' use.
    ServerNotice = 5,
    /// The latest time that was seen.
    Clock = 6,
    /// What is known of a license server.
    Server = 7,
    /// The id of a first contact.
    FirstContact = 8,
    /// The newest issues of license files.
    Issues = 9,
}

/// Put content into a frame.
#[must_use]
pub fn frame(content: &[u8], kind: Kind) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + content.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(kind as u32).to_le_bytes());
    bytes.extend_from_slice(&(content.len() as u64).to_le_bytes());
    bytes.extend_from_slice(checksum(content, kind as u32).as_ref());
    bytes.extend_from_slice(content);
    bytes
}

/// Take content out of its frame.
///
/// # Errors
/// Returns the fault of the frame.
pub fn unframe(bytes: &[u8], kind: Kind) -> Result<&[u8], String> {
    let Some((header, content)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(format!("it has {} bytes, less than its header", bytes.len()));
    };
    let word = |at: usize| {
        let mut four = [0; 4];
        four.copy_from_slice(&header[at..at + 4]);
        u32::from_le_bytes(four)
    };
    if &header[..8] != MAGIC {
        return Err("it is not a file of this library".into());
    }
    if word(8) != VERSION {
        return Err(format!("its version is {}, this library knows {VERSION}", word(8)));
    }
    if word(12) != kind as u32 {
        return Err(format!("it holds content of kind {}, not {}", word(12), kind as u32));
    }
    if (u64::from(word(16)) | u64::from(word(20)) << 32) != content.len() as u64 {
        return Err("it is cut short, or its length does not match its header".into());
    }
    if header[24..] != *checksum(content, kind as u32).as_ref() {
        return Err("its checksum is wrong".into());
    }
    Ok(content)
}

fn checksum(content: &[u8], kind: u32) -> ring::digest::Digest {
    let mut context = Context::new(&SHA256);
    context.update(&kind.to_le_bytes());
    context.update(content);
    context.finish()
}
