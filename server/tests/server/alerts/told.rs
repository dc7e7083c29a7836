//! How events are kept and told, without a receiver: these run everywhere.

use seatmeter_protocol::license::DAY_SECONDS;
use seatmeter_server::alerts::summary::{Period, write_due};

use super::*;

/// A webhook at a port at which nobody listens.
fn to_nobody() -> Ways {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    webhook(&format!("http://{address}/"), &["127.0.0.0/8"])
}

/// The channel, state and number of attempts of each delivery.
fn deliveries(server: &TestServer) -> Vec<(String, String, u32)> {
    let all = events(server).into_iter().flat_map(|event| event.deliveries);
    let mut all: Vec<_> = all.map(|one| (one.channel, one.state, one.attempts)).collect();
    all.sort();
    all
}

#[test]
fn an_event_that_nobody_takes_waits_for_its_next_attempt() {
    let server = TestServer::with_items(vec![scan_item(100)]);
    Scanner::new(&server).has_counted(60);
    let ways = to_nobody();
    let waiting = |attempts| vec![("webhook".to_owned(), "waiting".to_owned(), attempts)];
    assert_eq!((tell(&server, &ways), deliveries(&server)), (1, waiting(1)));
    assert_eq!(tell(&server, &ways), 0, "the next attempt is not due");
    server.clock.set(START + 10);
    assert_eq!((tell(&server, &ways), deliveries(&server)), (1, waiting(2)));
    let event_id = events(&server)[0].event_id.clone();
    change(&server, Change::ReplayEvent { event_id });
    assert_eq!(deliveries(&server), waiting(0));
    assert_eq!((tell(&server, &ways), deliveries(&server)), (1, waiting(1)));
}

#[test]
fn an_event_that_was_never_told_can_be_told_in_every_way() {
    let server = TestServer::with_items(vec![scan_item(100)]);
    Scanner::new(&server).has_counted(60);
    let event_id = events(&server)[0].event_id.clone();
    change(&server, Change::ReplayEvent { event_id });
    let waiting = |channel: &str| (channel.to_owned(), "waiting".to_owned(), 0);
    assert_eq!(deliveries(&server), ["mail", "webhook"].map(waiting));
}

#[test]
fn an_organization_sees_its_events_however_many_of_others_are_newer() {
    let server = TestServer::with_items(vec![scan_item(100)]);
    Scanner::new(&server).has_counted(60);
    for second in 1..4 {
        server.clock.set(START + second);
        change(&server, Change::TestAlerts);
    }
    let ask = |owner: Option<&str>| {
        let query = DeliveriesQuery { limit: Some(2) };
        let found = server.wait(server.licensing.ask(query, owner.map(str::to_owned))).unwrap();
        found.events.into_iter().map(|event| event.event).collect::<Vec<_>>()
    };
    assert_eq!(ask(None), ["test", "test"]);
    assert_eq!(ask(Some("acme")), ["fired"]);
    assert_eq!(ask(Some("other")), [""; 0]);
}

#[test]
fn the_summary_of_a_period_is_one_event_for_each_organization() {
    let server = TestServer::with_items(vec![scan_item(1_000)]);
    server.import(&license_file("other", vec![item("theirs", 4)]), Some("OTHER")).unwrap();
    Scanner::new(&server).has_counted(7);
    for days in [7, 7, 8] {
        server.clock.set(START + days * DAY_SECONDS);
        server.wait(write_due(&server.licensing, Period::Weekly)).unwrap();
    }
    let mut summaries = events(&server);
    summaries.sort_by(|one, other| one.subject.cmp(&other.subject));
    let subjects: Vec<_> = summaries.iter().map(|event| &*event.subject).collect();
    assert_eq!(subjects, ["acme", "other"]);
    assert!(summaries[0].detail.contains("7 scans"), "{}", summaries[0].detail);
    assert!(!summaries[1].detail.contains("scans"), "{}", summaries[1].detail);
}
