//! Hosts and domains: a host is what it is, however often it is written and read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seatmeter_server::policy::charge_way::host::Host;
use seatmeter_server::policy::charge_way::per_client_device::browser_device;
use seatmeter_server::policy::charge_way::per_domain::Domains;

fuzz_target!(|text: &str| {
    if let Ok(host) = Host::parse(text) {
        let again = Host::parse(host.as_text()).expect("a host is a host");
        assert_eq!((again.as_text(), again.domain()), (host.as_text(), host.domain()));
        if let Some(domain) = host.domain() {
            let listed =
                Domains::listed(&[domain.to_owned()]).expect("a domain of a host can be listed");
            assert!(listed.contain(&host));
        }
    }
    let _ = Host::parse_with_port(text);
    let _ = Domains::listed(&[text.to_owned()]);
    let _ = browser_device("00112233445566778899aabbccddeeff", text);
});
