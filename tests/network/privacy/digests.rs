//! The common digests of a text.

use std::hash::{DefaultHasher, Hasher};

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512, digest};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Return each digest of these bytes, with its name. Numbers have their most significant byte
/// first.
pub(super) fn digests(of: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let ring = [
        ("SHA-1", &SHA1_FOR_LEGACY_USE_ONLY),
        ("SHA-256", &SHA256),
        ("SHA-384", &SHA384),
        ("SHA-512", &SHA512),
    ];
    let mut all: Vec<_> =
        ring.map(|(name, algorithm)| (name, digest(algorithm, of).as_ref().to_vec())).into();
    let mut crc = flate2::Crc::new();
    crc.update(of);
    let mut sip = DefaultHasher::new();
    sip.write(of);
    all.extend([
        ("MD5", md5(of).to_vec()),
        ("CRC-32", crc.sum().to_be_bytes().to_vec()),
        ("FNV-1a of 32 bits", fnv_1a_32(of).to_be_bytes().to_vec()),
        ("FNV-1a", fnv_1a_64(of).to_be_bytes().to_vec()),
        ("XXH3", xxh3_64(of).to_be_bytes().to_vec()),
        ("XXH3 of 128 bits", xxh3_128(of).to_be_bytes().to_vec()),
        ("SipHash", sip.finish().to_be_bytes().to_vec()),
    ]);
    all
}

fn fnv_1a_32(of: &[u8]) -> u32 {
    of.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn fnv_1a_64(of: &[u8]) -> u64 {
    of.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Return the MD5 digest (RFC 1321).
fn md5(of: &[u8]) -> [u8; 16] {
    const TURNS: [[u32; 4]; 4] =
        [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let mut padded = of.to_vec();
    padded.push(0x80);
    padded.resize((of.len() + 9).next_multiple_of(64) - 8, 0);
    padded.extend((of.len() as u64 * 8).to_le_bytes());
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded.chunks_exact(64) {
        let words: Vec<_> = block
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
            .collect();
        let [mut a, mut b, mut c, mut d] = state;
        for step in 0..64 {
            let (mixed, word) = match step / 16 {
                0 => ((b & c) | (!b & d), step),
                1 => ((d & b) | (!d & c), 5 * step + 1),
                2 => (b ^ c ^ d, 3 * step + 5),
                _ => (c ^ (b | !d), 7 * step),
            };
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let constant = (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
            let sum = a.wrapping_add(mixed).wrapping_add(constant).wrapping_add(words[word % 16]);
            (a, d, c) = (d, c, b);
            b = b.wrapping_add(sum.rotate_left(TURNS[step / 16][step % 4]));
        }
        for (sum, new) in state.iter_mut().zip([a, b, c, d]) {
            *sum = sum.wrapping_add(new);
        }
    }
    let bytes: Vec<_> = state.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.try_into().unwrap()
}
