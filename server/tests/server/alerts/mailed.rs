//! Mails, as a mail server with TLS and a login gets them.

use seatmeter_protocol::license::LicenseFile;
use seatmeter_server::alerts::mail::{Mail, MailSettings, MailTls};
use seatmeter_server::alerts::summary::{Period, write_due};
use seatmeter_server::http::tls::trust;
use seatmeter_server::operator::secret::Secret;

use super::*;

const PACKAGES: &str = "aiosmtpd";
const PASSWORD: &str = "open sesame";

/// A mail server with a certificate of its own, and the settings for it.
struct Mailbox {
    receiver: Receiver,
    certificate: PathBuf,
    tls: MailTls,
    _folder: tempfile::TempDir,
}

impl Mailbox {
    fn start(python: &str, tls: MailTls, answers: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pair = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&pair).unwrap();
        let (path, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&path, certificate.pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
        let how = if tls == MailTls::Tls { "tls" } else { "starttls" };
        let mut arguments = vec![how, path.to_str().unwrap(), key.to_str().unwrap()];
        arguments.extend(answers);
        let receiver = Receiver::start(python, "smtp_server.py", &arguments);
        Self { receiver, certificate: path, tls, _folder: folder }
    }

    fn ways(&self, to: &[&str], password: &str) -> Ways {
        let ca = trust::certificates(&self.certificate).unwrap();
        let mail = Mail::new(MailSettings {
            host: "localhost".into(),
            port: Some(self.receiver.port),
            tls: self.tls,
            ca: ca.iter().map(|certificate| certificate.to_vec()).collect(),
            login: Some(("seatmeterd@example.com".into(), Secret::from(password))),
            from: "seatmeterd@example.com".into(),
            to: to.iter().map(|to| (*to).to_owned()).collect(),
        });
        Ways { mail: Some(mail.unwrap()), ..Ways::default() }
    }
}

fn states(server: &TestServer) -> Vec<(String, String)> {
    let deliveries = events(server).into_iter().flat_map(|event| event.deliveries);
    deliveries.map(|delivery| (delivery.state, delivery.last_error)).collect()
}

#[test]
fn alerts_that_come_together_are_one_mail_to_all_recipients() {
    let Some(python) = python_with(PACKAGES) else { return };
    for tls in [MailTls::Starttls, MailTls::Tls] {
        let server = TestServer::with_items(vec![scan_item(100)]);
        let mailbox = Mailbox::start(&python, tls, &[]);
        let ways = mailbox.ways(&["Ann <ann@example.com>", "bob@example.com"], PASSWORD);
        Scanner::new(&server).has_counted(100);
        assert_eq!(tell(&server, &ways), 3);
        let mail = mailbox.receiver.next();
        assert_eq!(mail["to"], serde_json::json!(["ann@example.com", "bob@example.com"]));
        assert_eq!(mail["user"], "seatmeterd@example.com");
        let text = |part: &str| mail[part].as_str().unwrap().to_owned();
        assert!(text("subject").ends_with("% and 2 more"), "{}", text("subject"));
        for part in ["plain", "html"] {
            assert!(text(part).matches("100 of 100 scans").count() == 3, "{}", text(part));
            assert!(!text(part).contains(PASSWORD));
        }
        assert!(text("html").contains("item &quot;scans&quot;"), "{}", text("html"));
        assert_eq!(tell(&server, &ways), 0);
        assert_eq!(mailbox.receiver.rest().len(), 0);
        assert!(states(&server).iter().all(|(state, _)| state == "done"));
    }
}

#[test]
fn each_organization_has_one_summary_of_a_period() {
    let Some(python) = python_with(PACKAGES) else { return };
    let server = TestServer::with_items(vec![scan_item(1_000)]);
    server.import(&license_file("other", vec![item("theirs", 4)]), Some("OTHER")).unwrap();
    let mailbox = Mailbox::start(&python, MailTls::Starttls, &[]);
    let ways = mailbox.ways(&["ann@example.com"], PASSWORD);
    Scanner::new(&server).has_counted(7);
    for days in [7, 7, 8] {
        server.clock.set(START + days * 86_400);
        server.wait(write_due(&server.licensing, Period::Weekly)).unwrap();
        tell(&server, &ways);
    }
    let mails = [mailbox.receiver.next(), mailbox.receiver.next()];
    assert_eq!(mailbox.receiver.rest().len(), 0);
    let of = |name: &str| {
        let subject = format!("[seatmeter] summary of {name}, 2027-01-11 to 2027-01-17");
        let mail = mails.iter().find(|mail| mail["subject"] == subject.as_str());
        mail.unwrap_or_else(|| panic!("{mails:?}"))["plain"].as_str().unwrap().replace("\r\n", "\n")
    };
    assert!(
        of("acme").contains("scans (barcode_scan): within\n  in this time: 7 scans"),
        "{}",
        of("acme")
    );
    assert!(of("acme").contains("used now: 7 of 1000 scans"), "{}", of("acme"));
    assert!(of("other").contains("theirs") && !of("other").contains("scans"), "{}", of("other"));
}

#[test]
fn a_recovery_has_a_mail_of_its_own() {
    let Some(python) = python_with(PACKAGES) else { return };
    let server = TestServer::with_items(vec![scan_item(100)]);
    let mailbox = Mailbox::start(&python, MailTls::Starttls, &[]);
    let ways = mailbox.ways(&["ann@example.com"], PASSWORD);
    Scanner::new(&server).has_counted(60);
    tell(&server, &ways);
    assert_eq!(mailbox.receiver.next()["subject"], "[seatmeter] quota of scans 60 %");
    let file = license_file("acme", vec![scan_item(1_000)]);
    server.import(&LicenseFile { issued_at: START + 1, ..file }, None).unwrap();
    check(&server);
    tell(&server, &ways);
    assert_eq!(mailbox.receiver.next()["subject"], "[seatmeter] recovered: quota of scans 60 %");
}

#[test]
fn a_mail_that_is_greylisted_comes_later_with_the_same_id() {
    let Some(python) = python_with(PACKAGES) else { return };
    let server = TestServer::with_items(vec![scan_item(100)]);
    let mailbox = Mailbox::start(&python, MailTls::Starttls, &["451 greylisted"]);
    let ways = mailbox.ways(&["ann@example.com"], PASSWORD);
    Scanner::new(&server).has_counted(60);
    assert_eq!(tell(&server, &ways), 1);
    let (state, why) = states(&server).remove(0);
    assert!(state == "waiting" && why.contains("greylisted"), "{state}: {why}");
    assert_eq!(tell(&server, &ways), 0);
    server.clock.set(START + 7);
    assert_eq!(tell(&server, &ways), 1);
    assert!(mailbox.receiver.next()["id"].as_str().unwrap().starts_with('<'));
    assert_eq!(states(&server)[0].0, "done");
}

#[test]
fn a_recipient_who_is_refused_keeps_no_mail_from_the_others() {
    let Some(python) = python_with(PACKAGES) else { return };
    let server = TestServer::with_items(vec![scan_item(100)]);
    let mailbox = Mailbox::start(&python, MailTls::Starttls, &[]);
    Scanner::new(&server).has_counted(60);
    tell(&server, &mailbox.ways(&["nobody@example.com", "bob@example.com"], PASSWORD));
    assert_eq!(mailbox.receiver.next()["to"], serde_json::json!(["bob@example.com"]));
    assert_eq!(states(&server)[0].0, "done");
    Scanner::new(&server).has_counted(25);
    tell(&server, &mailbox.ways(&["nobody@example.com"], PASSWORD));
    let given_up: Vec<_> = states(&server).into_iter().filter(|(_, why)| !why.is_empty()).collect();
    assert_eq!(given_up.len(), 1);
    assert!(given_up[0].0 == "given_up" && given_up[0].1.contains("550"), "{given_up:?}");
}

#[test]
fn a_wrong_password_is_tried_again_and_not_told() {
    let Some(python) = python_with(PACKAGES) else { return };
    let server = TestServer::with_items(vec![scan_item(100)]);
    let mailbox = Mailbox::start(&python, MailTls::Starttls, &[]);
    Scanner::new(&server).has_counted(60);
    tell(&server, &mailbox.ways(&["ann@example.com"], "swordfish"));
    let (state, why) = states(&server).remove(0);
    assert!(state == "waiting" && !why.contains("swordfish"), "{state}: {why}");
    server.clock.set(START + 7);
    tell(&server, &mailbox.ways(&["ann@example.com"], PASSWORD));
    assert_eq!(mailbox.receiver.next()["to"][0], "ann@example.com");
}

#[test]
fn a_mail_server_that_nobody_vouches_for_gets_no_password() {
    let Some(python) = python_with(PACKAGES) else { return };
    let server = TestServer::with_items(vec![scan_item(100)]);
    let mailbox = Mailbox::start(&python, MailTls::Starttls, &[]);
    let other = Mailbox::start(&python, MailTls::Starttls, &[]);
    let distrusting = Mailbox { certificate: other.certificate.clone(), ..mailbox };
    Scanner::new(&server).has_counted(60);
    tell(&server, &distrusting.ways(&["ann@example.com"], PASSWORD));
    assert_eq!(states(&server)[0].0, "waiting");
    assert_eq!(distrusting.receiver.rest().len(), 0);
}
