//! The header of the PROXY protocol, versions 1 and 2, by which a proxy that passes on whole
//! connections says for whom it connects.
//!
//! ```text
//! version 1   PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n      at most 107 bytes
//! version 2   12 bytes of signature, command, family, length; addresses; other facts
//! ```
//!
//! The header comes before everything else, also before TLS. Exactly its bytes are read, within a
//! bound on their number; the caller bounds the time. A proxy may say that it connects for itself,
//! for example to check the health of the server.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// The first bytes of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The first bytes of version 1.
const WORD: &[u8] = b"PROXY ";

/// The greatest length of version 1, as its specification says.
const LINE_BYTES_MAX: usize = 107;

/// The length of version 2 up to the addresses.
const FIXED_BYTES: usize = 16;

/// The greatest length of version 2: addresses, and more facts than any proxy adds, such as names
/// from a client's certificate.
const BYTES_MAX: usize = 4 << 10;

/// The state of a header of which some bytes are there.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// At least this number of bytes is missing.
    Incomplete(usize),
    /// The header is complete.
    Complete(ProxyHeader),
    /// The bytes are no header.
    Malformed(&'static str),
}

/// The client, as a header describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The proxy connects for itself, or does not know for whom.
    ItsOwn,
    /// The proxy connects for the client at this address.
    Client(SocketAddr),
}

/// Read the header from the beginning of a connection, and nothing beyond it.
///
/// # Errors
/// Fails when the connection ends, or does not begin with a header.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<ProxyHeader> {
    let mut bytes = Vec::with_capacity(LINE_BYTES_MAX);
    loop {
        match parse(&bytes) {
            Parsed::Complete(told) => return Ok(told),
            Parsed::Malformed(why) => return Err(io::Error::new(io::ErrorKind::InvalidData, why)),
            Parsed::Incomplete(missing) => {
                let begin = bytes.len();
                bytes.resize(begin + missing, 0);
                stream.read_exact(&mut bytes[begin..]).await?;
            }
        }
    }
}

/// Read a header from these bytes, the first ones of a connection.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed {
    let begins_as = |start: &[u8]| bytes.iter().zip(start).all(|(is, wanted)| is == wanted);
    let (is_binary, is_line) = (begins_as(SIGNATURE), begins_as(WORD));
    if !is_binary && !is_line {
        return Parsed::Malformed("it does not begin with a header of the PROXY protocol");
    }
    // Both versions are longer than the signature.
    match SIGNATURE.len().checked_sub(bytes.len()) {
        Some(missing @ 1..) => Parsed::Incomplete(missing),
        _ if is_binary => parse_binary(bytes),
        _ => parse_line(bytes),
    }
}

fn parse_line(bytes: &[u8]) -> Parsed {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n");
    let Some(end) = end else {
        if bytes.len() >= LINE_BYTES_MAX {
            return Parsed::Malformed("the line of the PROXY protocol is too long");
        }
        // The line ends with two characters, of which the first may be there.
        return Parsed::Incomplete(
            if bytes.ends_with(b"\r") { 1 } else { 2 }.min(LINE_BYTES_MAX - bytes.len()),
        );
    };
    if end + 2 > LINE_BYTES_MAX {
        return Parsed::Malformed("the line of the PROXY protocol is too long");
    }
    match header_of_line(&bytes[..end]) {
        Some(told) => Parsed::Complete(told),
        None => Parsed::Malformed("the line of the PROXY protocol cannot be understood"),
    }
}

fn header_of_line(line: &[u8]) -> Option<ProxyHeader> {
    let mut words = str::from_utf8(line).ok()?.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(ProxyHeader::ItsOwn);
    }
    let (source, target) = (words.next()?, words.next()?);
    let (port, target_port) = (number(words.next()?)?, number(words.next()?)?);
    if words.next().is_some() {
        return None;
    }
    let address = |text: &str| match family {
        "TCP4" => text.parse().ok().map(IpAddr::V4),
        "TCP6" => text.parse().ok().map(IpAddr::V6),
        _ => None,
    };
    // Only the source matters. A line whose other half is nonsense is nonsense, though.
    let (source, _) = (address(source)?, SocketAddr::new(address(target)?, target_port));
    Some(ProxyHeader::Client(SocketAddr::new(source, port)))
}

/// Read a number of a port, without signs and leading zeros.
fn number(text: &str) -> Option<u16> {
    let is_plain =
        text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().ok() } else { None }
}

fn parse_binary(bytes: &[u8]) -> Parsed {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
        return Parsed::Incomplete(FIXED_BYTES - bytes.len());
    };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if FIXED_BYTES + length > BYTES_MAX {
        return Parsed::Malformed("the header of the PROXY protocol is too long");
    }
    let (command, family) = (fixed[12], fixed[13]);
    if !matches!(command, 0x20 | 0x21) {
        return Parsed::Malformed("the PROXY protocol is of an unknown version or command");
    }
    if rest.len() < length {
        return Parsed::Incomplete(length - rest.len());
    }
    if command == 0x20 {
        return Parsed::Complete(ProxyHeader::ItsOwn);
    }
    match family {
        // An unspecified family, or a socket of the proxy's own machine.
        0x00 | 0x31 | 0x32 => Parsed::Complete(ProxyHeader::ItsOwn),
        0x11 => told_by(&rest[..length], |a: [u8; 4]| Ipv4Addr::from(a).into()),
        0x21 => told_by(&rest[..length], |a: [u8; 16]| Ipv6Addr::from(a).into()),
        _ => Parsed::Malformed("the PROXY protocol names a family of addresses that is not TCP"),
    }
}

/// Read source address, target address, source port and target port.
fn told_by<const N: usize>(addresses: &[u8], address: fn([u8; N]) -> IpAddr) -> Parsed {
    let source = addresses.first_chunk::<N>();
    let ports = addresses.get(2 * N..2 * N + 4);
    match (source, ports) {
        (Some(source), Some(ports)) => {
            let port = u16::from_be_bytes([ports[0], ports[1]]);
            Parsed::Complete(ProxyHeader::Client(SocketAddr::new(address(*source), port)))
        }
        _ => Parsed::Malformed("the header of the PROXY protocol is too short for its addresses"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    fn client(text: &str) -> Parsed {
        Parsed::Complete(ProxyHeader::Client(text.parse().unwrap()))
    }

    #[test]
    fn both_versions_name_the_client() {
        for (line, told) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", client("192.0.2.1:56324")),
            ("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", client("[2001:db8::1]:1")),
            ("PROXY UNKNOWN\r\n", Parsed::Complete(ProxyHeader::ItsOwn)),
            ("PROXY UNKNOWN ffff::1 ::1 1 2\r\n", Parsed::Complete(ProxyHeader::ItsOwn)),
        ] {
            assert_eq!(parse(line.as_bytes()), told, "{line}");
        }
        let four = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 187, /* more */ 3, 0, 1, 9];
        assert_eq!(parse(&binary(0x21, 0x11, &four)), client("192.0.2.1:56324"));
        let mut six = [0; 36];
        six[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        six[33] = 7;
        assert_eq!(parse(&binary(0x21, 0x21, &six)), client("[2001:db8::]:7"));
        assert_eq!(parse(&binary(0x20, 0, &[])), Parsed::Complete(ProxyHeader::ItsOwn));
        assert_eq!(parse(&binary(0x21, 0, &four)), Parsed::Complete(ProxyHeader::ItsOwn));
    }

    #[test]
    fn what_is_no_header_is_malformed() {
        let long = format!("PROXY TCP4 {}", "1".repeat(LINE_BYTES_MAX));
        for line in [
            "GET / HTTP/1.1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n",
            "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +5 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 05 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY  TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
            &long,
        ] {
            assert!(matches!(parse(line.as_bytes()), Parsed::Malformed(_)), "{line}");
        }
        for bad in [
            binary(0x11, 0x11, &[0; 12]),
            binary(0x22, 0x11, &[0; 12]),
            binary(0x21, 0x12, &[0; 12]),
            binary(0x21, 0x11, &[0; 11]),
            binary(0x21, 0x21, &[0; 35]),
            binary(0x21, 0x11, &[0; BYTES_MAX]),
        ] {
            assert!(matches!(parse(&bad), Parsed::Malformed(_)), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn not_a_byte_beyond_the_header_is_read() {
        let four = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 187];
        for header in [
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(),
            b"PROXY UNKNOWN\r\n".to_vec(),
            binary(0x21, 0x11, &four),
            binary(0x20, 0, &[]),
        ] {
            let whole = [&header[..], b"GET /"].concat();
            let mut rest = &whole[..];
            read(&mut rest).await.unwrap();
            assert_eq!(rest, b"GET /");
            for cut in 0..header.len() {
                assert!(matches!(parse(&header[..cut]), Parsed::Incomplete(1..)), "{cut}");
                assert!(read(&mut &header[..cut]).await.is_err());
            }
        }
    }
}
