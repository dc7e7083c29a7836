//! What the fuzz targets share: keys, and a server with a license for four concurrent instances,
//! all in memory.

use std::sync::{Arc, LazyLock};

use seatmeter::device::Device;
use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::{LicenseFile, LicenseItem};
use seatmeter_protocol::signature::{Signed, SigningKey};
use seatmeter_server::clock::{Clock, SystemClock};
use seatmeter_server::http::limit::{Rate, RateLimits};
use seatmeter_server::http::{Web, serve};
use seatmeter_server::keyring::Keyring;
use seatmeter_server::licensing::Licensing;
use seatmeter_server::store::sqlite::InlineStore;

/// The handshake code of the license.
pub const DEMO_CODE: &str = "FUZZ-4-SEATS";

/// Seats that it has.
pub const SEATS: usize = 4;

/// The vendor's key.
pub static VENDOR: LazyLock<SigningKey> = LazyLock::new(|| key("1"));

/// The server's.
pub static SERVER: LazyLock<SigningKey> = LazyLock::new(|| key("2"));

/// A device's.
pub static DEVICE: LazyLock<SigningKey> = LazyLock::new(|| key(DEVICE_DIGIT));

/// The digit of the device's seed.
const DEVICE_DIGIT: &str = "3";

/// The UUID of the device with this key.
pub const DEVICE_UUID: &str = "00112233445566778899aabbccddeeff";

/// The identity of the device, as its file has it.
pub fn device() -> Device {
    let file = serde_json::json!({ "uuid": DEVICE_UUID, "key": DEVICE_DIGIT.repeat(64) });
    serde_json::from_value(file).expect("it is a device")
}

fn key(digit: &str) -> SigningKey {
    SigningKey::from_seed(&digit.repeat(64)).expect("64 digits are a seed")
}

/// A server without limits on rates, whose admin API is open.
pub fn demo_server() -> Web {
    let clock = Arc::new(SystemClock);
    let now = clock.unix_seconds();
    let store = Arc::new(InlineStore::new().expect("there is memory"));
    let licensing = Arc::new(Licensing { store, keys: Keyring::new(key("2"), Vec::new()), clock });
    let year = 365 * 86_400;
    let file = LicenseFile {
        version: 1,
        file_id: "file".into(),
        organization_id: "fuzz".into(),
        organization_name: "Fuzz".into(),
        server_key: SERVER.public().clone(),
        issued_at: now,
        items: vec![LicenseItem::new(
            "item",
            ChargeWay::ConcurrentInstance,
            SEATS as u64,
            now - 86_400,
            now + year,
        )],
        unknown_items: Vec::new(),
    };
    let envelope = Signed::seal(&file, &VENDOR).expect("a license file has a JSON form");
    let import =
        licensing.import(envelope, VENDOR.public().clone(), Some(DEMO_CODE.into()), "fuzz");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("there are threads");
    runtime.block_on(import).expect("the license file is sound");
    let limits = RateLimits::new(Rate::per_second(u32::MAX), Rate::per_second(u32::MAX));
    Web { limits, open_to_loopback: true, ..Web::new(licensing) }
}

/// Serves it on a port of its own until the process ends; gives its URL.
pub fn serve_demo() -> String {
    let (sender, url) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // Before the runtime: it waits for one of its own.
        let web = Arc::new(demo_server());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("there are threads").block_on(async move {
            let listener =
                tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("there are ports");
            let address = listener.local_addr().expect("it listens");
            sender.send(format!("http://{address}")).expect("somebody waits for it");
            serve(listener, web, std::future::pending()).await
        })
    });
    url.recv().expect("the server starts")
}
