//! Webhooks, as a receiver with the reference package gets them.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

const PACKAGES: &str = "standardwebhooks, cryptography";

/// A server by the clock of this machine: receivers refuse old timestamps.
fn server_of_now() -> TestServer {
    let server = TestServer::with_items(vec![scan_item(100)]);
    server.clock.set(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs());
    server
}

fn receiver(python: &str, statuses: &[&str]) -> Receiver {
    let public = key().public().unwrap();
    let mut arguments = vec![SECRET, &public];
    arguments.extend(statuses);
    Receiver::start(python, "webhook_receiver.py", &arguments)
}

fn to(receiver: &Receiver) -> Ways {
    webhook(&format!("http://127.0.0.1:{}/hook?a=b", receiver.port), &["127.0.0.0/8"])
}

fn later(server: &TestServer, seconds: u64) {
    use seatmeter_server::clock::Clock;
    server.clock.set(server.clock.unix_seconds() + seconds);
}

/// The state of the only delivery, and why it failed.
fn state(server: &TestServer) -> (String, String) {
    let events = events(server);
    let delivery = &events[0].deliveries[0];
    (delivery.state.clone(), delivery.last_error.clone())
}

/// A receiver in this process, which answers these statuses and passes on the ids of what it gets.
fn plain_receiver(statuses: &[u16]) -> (u16, std::sync::mpsc::Receiver<String>) {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, received) = std::sync::mpsc::channel();
    let statuses = statuses.to_vec();
    let answer = move || {
        for status in statuses {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&stream);
            let (mut id, mut length) = (String::new(), 0);
            for line in reader.by_ref().lines().map(Result::unwrap) {
                match line.split_once(": ") {
                    Some(("webhook-id", value)) => id = value.to_owned(),
                    Some(("content-length", value)) => length = value.parse().unwrap(),
                    Some(_) => {}
                    None if line.is_empty() => break,
                    None => {}
                }
            }
            std::io::copy(&mut reader.take(length), &mut std::io::sink()).unwrap();
            let head = format!("HTTP/1.1 {status} Told\r\ncontent-length: 0\r\n\r\n");
            (&stream).write_all(head.as_bytes()).unwrap();
            let _ = send.send(id);
        }
    };
    std::thread::Builder::new().spawn(answer).unwrap();
    (port, received)
}

#[test]
fn the_list_of_events_says_how_each_attempt_went() {
    let server = server_of_now();
    let (port, received) = plain_receiver(&[500, 200, 410, 200]);
    let ways = webhook(&format!("http://127.0.0.1:{port}/"), &["127.0.0.1/32"]);
    change(&server, Change::TestAlerts);
    assert_eq!(events(&server)[0].deliveries, []);
    let mut ids = Vec::new();
    let mut attempt = |expected: (&str, &str)| {
        assert_eq!(tell(&server, &ways), 1);
        ids.push(received.recv().unwrap());
        let (state, why) = state(&server);
        assert!(state == expected.0 && why.contains(expected.1), "{state}: {why}");
    };
    attempt(("waiting", "500"));
    assert_eq!(events(&server)[0].deliveries[0].attempts, 1);
    later(&server, 7);
    attempt(("done", ""));
    let replay = || Change::ReplayEvent { event_id: events(&server)[0].event_id.clone() };
    change(&server, replay());
    attempt(("given_up", "410"));
    change(&server, replay());
    assert_eq!(tell(&server, &ways), 0, "the webhook is off");
    change(&server, Change::EnableWebhook);
    attempt(("done", ""));
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let unknown = Change::ReplayEvent { event_id: "nothing".into() };
    assert!(server.wait(server.licensing.change(unknown, "test")).is_err());
}

#[test]
fn an_event_is_posted_with_signatures_that_the_reference_accepts() {
    let Some(python) = python_with(PACKAGES) else { return };
    let (server, receiver) = (server_of_now(), receiver(&python, &[]));
    change(&server, Change::TestAlerts);
    assert_eq!(tell(&server, &to(&receiver)), 1);
    let got = receiver.next();
    assert_eq!(got["verified"], json!(["v1", "v1a"]), "{got}");
    assert_eq!(got["path"], "/hook?a=b");
    let event = &events(&server)[0];
    assert_eq!(
        (got["id"].as_str().unwrap(), state(&server).0.as_str()),
        (&*event.event_id, "done")
    );
    let body = &got["body"];
    assert_eq!((&body["type"], &body["data"]["kind"]), (&json!("alert.test"), &json!("test")));
    assert_eq!(body["data"]["detail"], event.detail.as_str());
    assert_eq!(tell(&server, &to(&receiver)), 0);
}

#[test]
fn what_failed_is_posted_again_later_with_the_same_id_and_redirects_are_not_followed() {
    let Some(python) = python_with(PACKAGES) else { return };
    let (server, receiver) = (server_of_now(), receiver(&python, &["500", "302"]));
    let ways = to(&receiver);
    change(&server, Change::TestAlerts);
    let mut ids = Vec::new();
    for (wait, state_after, told) in
        [(0, "waiting", "500"), (7, "waiting", "redirects are not followed"), (360, "done", "")]
    {
        later(&server, wait);
        assert_eq!(tell(&server, &ways), 1, "after {wait} s");
        assert_eq!(tell(&server, &ways), 0, "not again at once");
        let got = receiver.next();
        assert_eq!(got["path"], "/hook?a=b");
        ids.push(got["id"].clone());
        let (state, why) = state(&server);
        assert!(state == state_after && why.contains(told), "{state}: {why}");
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(receiver.rest(), [Value::Null; 0]);
}

#[test]
fn a_receiver_that_answers_410_gets_nothing_more_until_an_operator_enables_it() {
    let Some(python) = python_with(PACKAGES) else { return };
    let (server, receiver) = (server_of_now(), receiver(&python, &["410"]));
    let ways = to(&receiver);
    change(&server, Change::TestAlerts);
    assert_eq!(tell(&server, &ways), 1);
    receiver.next();
    assert_eq!(state(&server).0, "given_up");
    later(&server, 1);
    change(&server, Change::TestAlerts);
    assert_eq!(tell(&server, &ways), 0);
    change(&server, Change::EnableWebhook);
    assert_eq!(tell(&server, &ways), 1);
    assert_eq!(receiver.next()["verified"][0], "v1");
}

#[test]
fn private_addresses_get_nothing_unless_the_operator_allows_them() {
    let Some(python) = python_with(PACKAGES) else { return };
    let (server, receiver) = (server_of_now(), receiver(&python, &[]));
    let port = receiver.port;
    for (number, host) in
        ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]"].iter().enumerate()
    {
        for scheme in ["http", "https"] {
            later(&server, 1 + number as u64);
            change(&server, Change::TestAlerts);
            let url = format!("{scheme}://{host}:{port}/hook");
            tell(&server, &webhook(&url, &["10.0.0.0/8"]));
            let all = events(&server);
            let why = &all.last().unwrap().deliveries[0].last_error;
            assert!(why.contains("--webhook-network"), "{url}: {why}");
        }
    }
    assert_eq!(receiver.rest(), [Value::Null; 0]);
}

#[test]
fn an_event_can_be_posted_once_more() {
    let Some(python) = python_with(PACKAGES) else { return };
    let (server, receiver) = (server_of_now(), receiver(&python, &[]));
    change(&server, Change::TestAlerts);
    tell(&server, &to(&receiver));
    let first = receiver.next();
    change(&server, Change::ReplayEvent { event_id: events(&server)[0].event_id.clone() });
    assert_eq!(tell(&server, &to(&receiver)), 1);
    assert_eq!(receiver.next()["id"], first["id"]);
}

#[test]
fn two_servers_of_one_database_post_an_event_once() {
    let Some(python) = python_with(PACKAGES) else { return };
    let (server, receiver) = (server_of_now(), receiver(&python, &[]));
    change(&server, Change::TestAlerts);
    let (one, other) = (to(&receiver), to(&receiver));
    let both = server.wait(async {
        let licensing = &server.licensing;
        tokio::join!(tell_due(licensing, &one), tell_due(licensing, &other))
    });
    assert_eq!(both.0.unwrap() + both.1.unwrap(), 1);
    receiver.next();
    assert!(receiver.lines.recv_timeout(Duration::from_millis(1)).is_err());
}

#[test]
fn events_from_before_a_webhook_was_set_up_are_not_posted() {
    let Some(python) = python_with(PACKAGES) else { return };
    let (server, receiver) = (server_of_now(), receiver(&python, &[]));
    change(&server, Change::TestAlerts);
    later(&server, 86_401);
    assert_eq!(tell(&server, &to(&receiver)), 0);
}
