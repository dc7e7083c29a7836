//! What a report costs under one item, and under a thousand in one license file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use seatmeter_protocol::charge_way::ChargeWay;
use seatmeter_protocol::license::{LicenseFile, LicenseItem};
use seatmeter_protocol::signature::{Signed, SigningKey};
use seatmeter_server::data_dir::DataDir;
use seatmeter_server::operator::commands::{Actor, Change, CodeItems, Import};
use seatmeter_server::store::Location;

use crate::load::{Bench, connect};
use crate::ours::{Device, Server};
use crate::{DEVICES, now, say};

impl Bench {
    /// Measures reports under one item, and under as many as there are devices.
    pub(crate) fn items(&self, seatmeterd: &Path) {
        let count = self.size(DEVICES as u64) as usize;
        let rates = [1, count].map(|items| {
            let server = Server::start_with(seatmeterd, None, |database| import(database, items));
            let devices = self.runtime.block_on(async {
                let mut connection = connect(server.address, None).await;
                let mut devices = Vec::new();
                for number in 0..count {
                    let code = code(number % items);
                    devices.push(Device::authorized_for(&mut connection, &code).await);
                }
                Arc::new(devices)
            });
            let (connections, turn) = (self.connections(server.address), AtomicU64::new(0).into());
            let name = format!("reports, {items} items");
            let rate = self.reports(&name, &connections, &devices, &turn);
            server.tell_memory(&name);
            rate
        });
        say(&format!("a thousand items: {:.2} of the rate with one", rates[1] / rates[0]));
    }
}

fn code(item: usize) -> String {
    format!("ITEM-{item}")
}

/// Imports a license file with so many items, each with a handshake code of its own.
fn import(database: &Path, items: usize) {
    let (vendor, now) = (SigningKey::from_seed(&"7".repeat(64)).unwrap(), now());
    let keys = DataDir::new(database.parent().unwrap()).keyring().unwrap();
    let item = |number| {
        let (name, end) = (code(number), now + 365 * 86_400);
        LicenseItem::new(&name, ChargeWay::ConcurrentInstance, 65_535, now - 1, end)
    };
    let file = LicenseFile {
        version: 1,
        file_id: "items".into(),
        organization_id: "items".into(),
        organization_name: "items".into(),
        server_key: keys.current().public().clone(),
        issued_at: now,
        items: (0..items).map(item).collect(),
        unknown_items: Vec::new(),
    };
    let envelope = Signed::seal(&file, &vendor).unwrap();
    let organization_id = file.organization_id.clone();
    let root_key = vendor.public().clone();
    let import =
        Import { envelope, file, root_key, handshake_code: None, make_default: false, now };
    let mut changes = vec![Change::Import(Box::new(import))];
    for number in 0..items {
        let handshake_code = code(number);
        let listed = CodeItems { item_ids: vec![code(number)], own_order: false };
        changes.push(Change::MakeCode {
            handshake_code: handshake_code.clone(),
            organization_id: organization_id.clone(),
        });
        changes.push(Change::SetItems { handshake_code, items: listed });
    }
    let store = Location::File(database.to_owned()).open().unwrap().store;
    let by = || Actor { name: "bench".into(), now };
    let all: Vec<_> = changes.into_iter().map(|change| store.change(change, by())).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for change in all {
            change.await.unwrap();
        }
    });
}
