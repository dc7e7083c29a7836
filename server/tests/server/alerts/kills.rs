//! The real server is killed around the transaction of an alert: it fires once all the same.

use std::sync::Arc;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::{LicenseFile, LicenseItem};
use seatmeter_protocol::message::*;
use seatmeter_protocol::signature::{PublicKey, Signed};
use seatmeter_server::clock::SystemClock;
use seatmeter_server::data_dir::DataDir;
use seatmeter_server::kill_points::{PLACES, VARIABLE};
use seatmeter_server::licensing::Licensing;
use seatmeter_server::store::Location;

use crate::cli::{Served, stdout};
use crate::support::*;

/// A license of 100 scans for each of these codes, in this data directory.
fn import(data: &std::path::Path, codes: &[String]) -> PublicKey {
    let keys = DataDir::new(data).keyring().unwrap();
    let server_key = keys.current().public().clone();
    let store = Location::File(data.join("seatmeter.db")).open().unwrap().store;
    let licensing = Licensing { store, keys, clock: Arc::new(SystemClock) };
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for code in codes {
        let item =
            LicenseItem::new(code, ChargeWay::BarcodeScan, 100, now - 3_600, now + 86_400 * 90);
        let file = LicenseFile {
            file_id: format!("file-of-{code}"),
            server_key: server_key.clone(),
            issued_at: now,
            ..license_file("acme", vec![item])
        };
        let envelope = Signed::seal(&file, &vendor()).unwrap();
        let root = vendor().public().clone();
        runtime.block_on(licensing.import(envelope, root, Some(code.clone()), "test")).unwrap();
    }
    server_key
}

/// Count 60 scans under this code: always the same device, segment and total. `None` when the
/// server dies.
fn count_sixty(server: &Served, key: &PublicKey, code: &str, ids: &[String; 2]) -> Option<()> {
    let [uuid, segment_id] = ids;
    let asked = AuthorizationRequest { handshake_code: code.into(), ..request(uuid, 1) };
    let post = |path: &str, body: Vec<u8>| {
        let request = Request::post(path, &body).header(NONCE_HEADER, &id());
        request.try_send(server.address).filter(|answer| answer.status == 200)
    };
    let granted: AuthorizationAnswer =
        post(AUTHORIZATIONS_PATH, serde_json::to_vec(&asked).unwrap())?.json();
    let license =
        granted.local_license.open::<seatmeter_protocol::license::LocalLicense>(key).unwrap();
    let counted = vec![scans(slot_now(), 1, 60)];
    let sent = report(uuid, vec![segment(segment_id, &license.license_id, counted)]);
    post(USAGE_PATH, serde_json::to_vec(&sent).unwrap()).map(|_| ())
}

#[test]
fn a_threshold_fires_once_wherever_the_server_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    stdout(folder.path(), &["init"]);
    let visits = [6, 8, 9];
    let cases: Vec<(String, String)> = PLACES
        .iter()
        .flat_map(|place| visits.map(|visit| format!("{place}:{visit}")))
        .enumerate()
        .map(|(number, place)| (format!("CODE-{number}"), place))
        .collect();
    let codes: Vec<String> = cases.iter().map(|(code, _)| code.clone()).collect();
    let key = import(folder.path(), &codes);
    let location = Location::File(folder.path().join("seatmeter.db"));
    for (code, place) in &cases {
        let ids = [id(), id()];
        let server = Served::start_with(folder.path(), &[(VARIABLE, place)]);
        let _ = count_sixty(&server, &key, code, &ids);
        server.kill();
        let server = Served::start(folder.path());
        count_sixty(&server, &key, code, &ids).unwrap();
        count_sixty(&server, &key, code, &ids).unwrap();
        server.kill();
        let fired =
            format!("SELECT count(*) FROM alert_event WHERE subject = '{code}' AND level = 60");
        assert_eq!(number(&location, &fired), 1, "{place}");
    }
}
