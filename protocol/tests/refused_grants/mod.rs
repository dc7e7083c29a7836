//! Grants that a client must refuse, and those that it must believe.

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::license::{
    CountAllowance, LicenseFile, LicenseItem, LocalLicense, VersionRange,
};
use seatmeter_protocol::message::*;
use seatmeter_protocol::signature::{PublicKey, Signed};
use serde_json::{Value, json};

use crate::vector::*;
use crate::{Alone, file_text};

/// A grant, with what the client has asked for and what it knows.
#[derive(Clone)]
struct Granted {
    answer: AuthorizationAnswer,
    /// The key that has signed the answer.
    answered_by: PublicKey,
    request: AuthorizationRequest,
    /// The latest issue of the license file that the client knows.
    known_issued_at: u64,
    server_time: u64,
}

impl Granted {
    fn of(local: &LocalLicense) -> Self {
        Self {
            answer: grant(local, &key("02")),
            answered_by: key("02").public().clone(),
            request: request(),
            known_issued_at: 0,
            server_time: NOW,
        }
    }

    /// Return a grant from the only item of a file, to a client that asks for it.
    fn from_item(item: LicenseItem) -> Self {
        let seats = if item.charge_way == ChargeWay::ConcurrentInstance { 2 } else { 0 };
        let (item_id, charge_way) = (item.item_id.clone(), item.charge_way);
        let mut granted = Self::of(&LocalLicense { item_id, charge_way, seats, ..local() });
        granted.request.deployment_type = item.deployment_types[0];
        granted.request.products = 1;
        let file = LicenseFile { items: vec![item], ..file(&key("02")) };
        granted.answer.license_file = Signed::seal(&file, &key("01")).unwrap();
        granted
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn vector(&self, clause: u32, why: &str) -> Value {
        json!({ "why": why, "clause": clause, "known_issued_at": self.known_issued_at,
                "server_time": self.server_time, "answered_by": self.answered_by,
                "request": self.request, "answer": self.answer })
    }
}

type Change<'a> = &'a dyn Fn(&mut LocalLicense);

/// Return grants by local licenses that are not for the device, or wider than their item.
pub(crate) fn wider() -> Vec<Value> {
    let strict = |local: &mut LocalLicense| {
        (local.item_id, local.charge_way) = ("scans".into(), ChargeWay::BarcodeScan);
        local.seats = 0;
    };
    let allowed = |module, allowed, used| vec![CountAllowance { module, allowed, used }];
    let cases: [(u32, &str, Change<'_>); 12] = [
        (4, "another device", &|local| local.device_uuid = "45".repeat(16)),
        (4, "the key of another device", &|local| local.device_key = key("05").public().clone()),
        (5, "an item that is not in the file", &|local| local.item_id = "others".into()),
        (3, "a version of the document that is not known", &|local| local.version = 2),
        (6, "another charge way than the item's", &|local| local.charge_way = ChargeWay::Server),
        (7, "more seats than the quota", &|local| local.seats = 5),
        (8, "granted before the item starts", &|local| local.issued_at = NOW - DAY - 1),
        (9, "an item that expires later", &|local| local.item_expires_at += 1),
        (10, "valid beyond the grace of the item", &|local| {
            (local.issued_at, local.valid_until) = (NOW + 20 * DAY, NOW + 37 * DAY + 1);
        }),
        (11, "more days without contact than the item allows", &|local| {
            local.valid_until = NOW + 30 * DAY + 1;
        }),
        (12, "an allowance above quota and grace", &|local| {
            strict(local);
            local.allowances = allowed(0, 106, 0);
        }),
        (12, "an allowance for a module without a quota", &|local| {
            strict(local);
            local.allowances = allowed(4, 1, 0);
        }),
    ];
    let mut all = Vec::new();
    for (clause, why, change) in cases {
        let mut wide = local();
        change(&mut wide);
        let mut granted = Granted::of(&wide);
        if clause == 12 {
            granted.request.deployment_type = DeploymentType::Desktop;
        }
        all.push(granted.vector(clause, why));
    }
    all
}

/// Return grants whose documents are right one by one, and do not belong together.
pub(crate) fn not_together() -> Vec<Value> {
    let issued_at = file(&key("02")).issued_at;
    let good = || Granted::of(&local());
    let of_another_vendor = Signed::seal(&file(&key("02")), &key("09")).unwrap();
    let mut hours = file_text(&Signed::seal(&file(&key("02")), &key("01")).unwrap());
    hours["items"][0]["hours"] = json!([8, 18]);
    let hours = Signed::seal(&Alone(hours), &key("01")).unwrap();
    let cases = [
        (
            1,
            "a license file of another vendor",
            good().with(|granted| {
                granted.answer.license_file = of_another_vendor.clone();
            }),
        ),
        (
            1,
            "a license file of another vendor, whose key the answer names",
            good().with(|granted| {
                granted.answer.license_file = of_another_vendor.clone();
                granted.answer.root_key = key("09").public().clone();
            }),
        ),
        (
            2,
            "an earlier issue of the license file",
            good().with(|granted| {
                granted.known_issued_at = issued_at + 1;
            }),
        ),
        (
            2,
            "a license file that is issued more than a day after the server's time",
            good().with(|granted| granted.server_time = issued_at - DAY - 1),
        ),
        (
            3,
            "an answer by another key than the file names",
            good().with(|granted| {
                granted.answered_by = key("04").public().clone();
            }),
        ),
        (
            3,
            "a license by another key than the file names",
            good().with(|granted| {
                granted.answer.local_license = Signed::seal(&local(), &key("04")).unwrap();
            }),
        ),
        (
            5,
            "an item with a field that is not known",
            good().with(|granted| {
                granted.answer.license_file = hours;
            }),
        ),
    ];
    cases.iter().map(|(clause, why, granted)| granted.vector(*clause, why)).collect()
}

fn site() -> LicenseItem {
    LicenseItem {
        deployment_types: vec![DeploymentType::Browser],
        domains: vec!["company.com".into()],
        ..LicenseItem::new("site", ChargeWay::Domain, 0, NOW - DAY, NOW + 30 * DAY)
    }
}

/// Return an item that restricts whatever an item can restrict.
fn narrow() -> LicenseItem {
    LicenseItem {
        products: 1,
        modules: vec!["OCR".into(), "ONED".into()],
        versions: VersionRange {
            from: Some("9.1".parse().unwrap()),
            to: Some("9".parse().unwrap()),
        },
        edition: Some("pro".into()),
        ..seats()
    }
}

/// Return the grant of the narrow item to a client that asks for exactly that.
fn narrow_grant() -> Granted {
    Granted::from_item(narrow()).with(|granted| {
        granted.request.modules = vec!["OCR".into()];
        granted.request.product_version = Some("9.6.1".parse().unwrap());
        granted.request.product_edition = Some("pro".into());
    })
}

fn site_grant(website: &str) -> Granted {
    Granted::from_item(site())
        .with(|granted| granted.request.validation.website_domain = website.into())
}

/// Return grants from an item that is for something else than what the client has asked for.
pub(crate) fn not_covered() -> Vec<Value> {
    let asked = |change: &dyn Fn(&mut AuthorizationRequest)| {
        narrow_grant().with(|granted| change(&mut granted.request))
    };
    let version = |text: &str| Some(text.parse().unwrap());
    let cases = [
        (7, "a seat of an item without quota", {
            let mut granted = site_grant("www.company.com");
            let local: LocalLicense = granted.answer.local_license.peek().unwrap();
            let local = LocalLicense { seats: 1, ..local };
            granted.answer.local_license = Signed::seal(&local, &key("02")).unwrap();
            granted
        }),
        (11, "more than one slot without contact, where the item allows one", {
            let item = LicenseItem { offline_days: 0, ..seats() };
            let mut granted = Granted::from_item(item);
            let local = LocalLicense { valid_until: NOW + 181, ..local() };
            granted.answer.local_license = Signed::seal(&local, &key("02")).unwrap();
            granted
        }),
        (
            13,
            "another deployment type",
            asked(&|asked| {
                asked.deployment_type = DeploymentType::Mobile;
            }),
        ),
        (13, "a product more", asked(&|asked| asked.products = 3)),
        (13, "a module more", asked(&|asked| asked.modules.push("PDFR".into()))),
        (13, "an earlier version", asked(&|asked| asked.product_version = version("9.0.9"))),
        (13, "9, which is before 9.1", asked(&|asked| asked.product_version = version("9"))),
        (13, "a later version", asked(&|asked| asked.product_version = version("10"))),
        (
            13,
            "no version, where the item has a range",
            asked(&|asked| {
                asked.product_version = None;
            }),
        ),
        (13, "another edition", asked(&|asked| asked.product_edition = Some("Pro".into()))),
        (13, "no edition, where the item has one", asked(&|asked| asked.product_edition = None)),
        (14, "another website", site_grant("company.org")),
        (14, "no website", site_grant("")),
        (14, "another host of one label", {
            let item = LicenseItem { domains: vec!["localhost".into()], ..site() };
            Granted::from_item(item)
                .with(|granted| granted.request.validation.website_domain = "intranet".into())
        }),
    ];
    cases.iter().map(|(clause, why, granted)| granted.vector(*clause, why)).collect()
}

/// Return grants that are good, although they look unusual.
pub(crate) fn good_grants() -> Vec<Value> {
    let issued_at = file(&key("02")).issued_at;
    let good = || Granted::of(&local());
    let mut hour = file_text(&Signed::seal(&file(&key("02")), &key("01")).unwrap());
    let other = json!({ "item_id": "hours", "charge_way": "hour", "hours": [8, 18] });
    hour["items"].as_array_mut().unwrap().insert(0, other);
    let hour = Signed::seal(&Alone(hour), &key("01")).unwrap();
    let spent = LocalLicense {
        item_id: "scans".into(),
        charge_way: ChargeWay::BarcodeScan,
        seats: 0,
        allowances: vec![CountAllowance { module: 0, allowed: 120, used: 120 }],
        ..local()
    };
    let cases = [
        ("an ordinary grant", good()),
        (
            "the known issue of the license file",
            good().with(|granted| {
                granted.known_issued_at = issued_at;
            }),
        ),
        (
            "a license file that is issued a day after the server's time",
            good().with(|granted| {
                granted.server_time = issued_at - DAY;
            }),
        ),
        (
            "the root key in the answer is ignored",
            good().with(|granted| {
                granted.answer.root_key = key("09").public().clone();
            }),
        ),
        (
            "another item of the file is not understood",
            good().with(|granted| {
                granted.answer.license_file = hour;
            }),
        ),
        (
            "a desktop counts as a server here",
            good().with(|granted| {
                granted.request.deployment_type = DeploymentType::Desktop;
            }),
        ),
        ("more is used than quota and grace, and nothing is left", {
            Granted::of(&spent)
                .with(|granted| granted.request.deployment_type = DeploymentType::Desktop)
        }),
        ("a narrow item covers the request", narrow_grant()),
        (
            "a version that begins with the end of the range",
            narrow_grant().with(|granted| {
                granted.request.product_version = Some("9.99.3".parse().unwrap());
            }),
        ),
        ("a website below a domain of the item", site_grant("shop.company.com")),
        ("a website as an origin, in capitals", site_grant("https://WWW.Company.COM.:8443")),
    ];
    cases.iter().map(|(why, granted)| granted.vector(0, why)).collect()
}
