//! What proxies say of their clients: the PROXY protocol, `X-Forwarded-For` and `Forwarded`.
#![no_main]

use axum::http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use seatmeter_server::http::proxy::{TrustedProxies, site};
use seatmeter_server::http::proxy_protocol::{Parsed, parse};

fuzz_target!(|bytes: &[u8]| {
    // What is complete was incomplete before, and what follows it changes nothing.
    let mut have = 0;
    while let Parsed::Incomplete(missing) = parse(&bytes[..have]) {
        assert!(missing > 0, "a reader would wait for ever");
        have += missing;
        if have > bytes.len() {
            break;
        }
    }
    assert!(have <= bytes.len().max(16) + 65_535, "a header is bounded");

    let proxies = TrustedProxies::new(
        ["10.0.0.0/8", "::1"].map(|text| text.parse().expect("it is a network")),
    );
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let peer = std::net::IpAddr::from([10, 0, 0, 1]);
    for name in ["x-forwarded-for", "forwarded"] {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.clone());
        let source = proxies.source(peer, &headers);
        assert!(source.is_forwarded);
        assert_eq!(source.address, source.address.to_canonical());
        assert_eq!(site(site(source.address)), site(source.address));
        // Whoever is not trusted is himself.
        let client = std::net::IpAddr::from([192, 0, 2, 1]);
        assert_eq!(proxies.source(client, &headers).address, client);
    }
});
