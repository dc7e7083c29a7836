//! The license of a world, and the websites of its machines.

use seatmeter_protocol::charge_way::{ChargeWay, DeploymentType};
use seatmeter_protocol::license::{DAY_SECONDS, LicenseItem, PageQuotas};

use super::MACHINES;
use crate::random::Random;
use crate::time::START;

pub(super) fn item(random: &mut Random) -> LicenseItem {
    use ChargeWay::{
        BarcodeScan, ClientDevice, ConcurrentDevice, ConcurrentInstance, Domain, Page, Server,
    };
    let way = random.one_of(&[
        ConcurrentInstance,
        ConcurrentDevice,
        ClientDevice,
        Server,
        BarcodeScan,
        Page,
        BarcodeScan,
        ClientDevice,
        Page,
        Domain,
    ]);
    let expires_at = START + random.one_of(&[12, 40, 90, 300]) * DAY_SECONDS + random.below(1000);
    let quota = match way {
        BarcodeScan => random.between(20, 600),
        Page | Domain => 0,
        ConcurrentInstance => random.between(1, 6),
        _ => random.between(1, 3),
    };
    let mut item = LicenseItem::new("item", way, quota, START, expires_at);
    item.offline_days = random.one_of(&[0, 1, 7, 30]);
    match way {
        ConcurrentInstance | ConcurrentDevice => {
            item.overuse_budget = Some(random.below(12));
            item.overuse_growth_per_day = random.one_of(&[0, 0, 1]);
        }
        ClientDevice | Server => {
            item.window_days = Some(random.one_of(&[1, 1, 30]));
            if way == ClientDevice && random.percent(40) {
                item.deployment_types = vec![DeploymentType::Browser];
            }
        }
        Domain => item.domains = vec![DOMAIN.into()],
        Page => {
            item.page_quotas = Some(PageQuotas {
                core: random.between(20, 300),
                webcam: random.between(0, 300),
                ..PageQuotas::default()
            });
            item.strict = random.percent(40);
        }
        _ => item.strict = random.percent(60),
    }
    item
}

/// Sell an item for browsers in some worlds whose item would be for programs.
///
/// It has a generator of its own, so that the other worlds stay as they were before it was added.
/// Its number is chosen so that none of the worlds that once broke a law is among them.
pub(super) fn sell_to_browsers(item: &mut LicenseItem, seed: u64) {
    let is_sold = !matches!(item.charge_way, ChargeWay::Server | ChargeWay::ConcurrentInstance);
    if is_sold && Random::new(seed ^ 0xb_2bf1).percent(25) {
        item.deployment_types = vec![DeploymentType::Browser];
    }
}

/// Return the origin of each machine that has a browser. In most worlds with an item for browsers,
/// all machines have one; in the others, some.
pub(super) fn browsers(item: &LicenseItem, seed: u64) -> [Option<&'static str>; MACHINES] {
    let mut random = Random::new(seed ^ 0xb_0057);
    let is_everywhere = random.percent(70);
    [(); MACHINES].map(|()| {
        let (is_here, is_elsewhere) = (random.percent(50), random.percent(10));
        let origin = if is_elsewhere { ELSEWHERE } else { random.one_of(&ORIGINS) };
        let is_for_browsers = item.deployment_types == [DeploymentType::Browser];
        (is_for_browsers && (is_everywhere || is_here)).then_some(origin)
    })
}

/// The domain that an item lists. Four of the websites are under it and two elsewhere; the last two
/// are origins of browsers.
pub(crate) const DOMAIN: &str = "company.com";
const WEBSITES: [&str; 6] = [
    "company.com",
    "www.Company.com.",
    "company.com.example.org",
    "example.org",
    ORIGINS[0],
    ORIGINS[1],
];
/// An origin that is not under the domain.
const ELSEWHERE: &str = "https://shop.example.org";
const ORIGINS: [&str; 2] = ["https://shop.company.com", "https://a.b.company.com:8443"];

pub(super) fn website(random: &mut Random, item: &LicenseItem) -> &'static str {
    match item.charge_way {
        ChargeWay::Domain if item.deployment_types != [DeploymentType::Browser] => {
            random.one_of(&WEBSITES)
        }
        _ if item.deployment_types == [DeploymentType::Browser] => random.one_of(&ORIGINS),
        _ => "",
    }
}
