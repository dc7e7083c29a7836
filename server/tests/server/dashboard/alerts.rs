//! What an operator does about alerts on their page.

use seatmeter_server::operator::queries::alerts::DeliveriesQuery;

use super::*;

#[test]
fn alerts_are_muted_re_armed_tried_and_told_again_by_forms_as_by_the_commands() {
    let server = server();
    let alerts = with_alerts(&server, "theirs");
    with_user(&server, "ann", Role::Operator);
    let session = Session::begin(&server, "ann");
    let html = text(&page(&server, &session, "/dashboard/alerts"));
    for alert in &alerts {
        assert!(html.contains(&format!("/dashboard/alerts/{}/mute", alert.alert_id)), "{html}");
    }
    let overview = text(&page(&server, &session, "/dashboard"));
    let count = format!("id=\"open-alerts\">{}</a>", alerts.len());
    assert!(overview.contains(&count), "{overview}");

    let sent = |path: &str, fields: &str, action: &str, subject: &str| {
        let answer = form(&session, path, fields).send(server.address);
        assert_eq!(answer.status, 303, "{path}: {}", text(&answer));
        let line = lines(&server)[0].clone();
        let line = (&*line.actor, &*line.action, &*line.subject);
        assert_eq!(line, ("user: ann", action, subject), "{path}");
    };
    let row = |id: &str| {
        let found = server.wait(server.licensing.ask(AlertsQuery::default(), None)).unwrap();
        found.alerts.into_iter().find(|alert| alert.alert_id == id)
    };
    let id = &*alerts[0].alert_id;
    let path = format!("/dashboard/alerts/{id}/mute");
    sent(&path, "until=2099-12-31", "mute alert", id);
    assert_eq!(row(id).unwrap().muted_until, Some(4_102_358_400));
    let past = form(&session, &path, "until=2001-01-01").send(server.address);
    assert!(past.status == 400 && text(&past).contains("has passed"), "{}", text(&past));
    sent(&path, "off=1", "mute alert", id);
    assert_eq!(row(id).unwrap().muted_until, None);
    sent(&path, "", "mute alert", id);
    assert!(row(id).unwrap().muted_until.is_some());
    sent(&format!("/dashboard/alerts/{id}/rearm"), "", "re-arm alert", id);
    assert_eq!(row(id), None);
    let fields = "item_id=theirs&percents=10%2C50";
    sent("/dashboard/alerts/thresholds", fields, "set alert thresholds", "theirs");
    let html = text(&page(&server, &session, "/dashboard/alerts"));
    assert!(html.contains("10,50 %"), "{html}");
    sent("/dashboard/alerts/test", "", "test alerts", "test");
    let events = DeliveriesQuery::default();
    let events = server.wait(server.licensing.ask(events, None)).unwrap().events;
    let event = events.iter().find(|event| event.event == "test").unwrap();
    assert!(event.deliveries.is_empty());
    let path = format!("/dashboard/alert-events/{}/replay", event.event_id);
    sent(&path, "", "replay alert event", &event.event_id);
    let html = text(&page(&server, &session, "/dashboard/alerts"));
    assert!(html.contains("waiting"), "{html}");
    sent("/dashboard/alert-webhook/enable", "", "enable webhook", "all");
}
