use std::sync::Arc;

use super::*;
use crate::policy::fixture::{EXPIRY, START, candidate, claim};
use crate::policy::select::admission::Used;
use seatmeter_protocol::license::PageQuotas;
use seatmeter_protocol::message::LostAllowance;

fn changed(quota: u64, change: impl FnOnce(&mut LicenseItem)) -> Candidate {
    let mut candidate = candidate(quota);
    change(Arc::make_mut(&mut candidate.item));
    candidate
}

fn index(claim: &Claim, candidates: &[Candidate]) -> Result<usize, ErrorCode> {
    choose(claim, candidates, Order::ByRule).map(|(index, _)| index).map_err(|no| no.refusal.code)
}

#[test]
fn without_items_nothing_fits() {
    assert_eq!(index(&claim(1), &[]), Err(ErrorCode::NO_ITEM_FITS));
}

#[test]
fn each_check_has_its_refusal() {
    let scan = changed(4, |item| item.charge_way = ChargeWay::BarcodeScan);
    let asked = Claim { charge_way: Some(ChargeWay::ConcurrentInstance), ..claim(3) };
    let desktop = changed(4, |item| item.deployment_types = vec![DeploymentType::Desktop]);
    let other_product = changed(4, |item| item.products = 0x1);
    let future = changed(4, |item| item.starts_at = START + 1);
    let past = changed(4, |item| item.expires_at = START - 7 * 86_400);
    let small = candidate(2);
    for (item, expected) in [
        (&scan, ErrorCode::CHARGE_WAY_MISMATCH),
        (&desktop, ErrorCode::DEPLOYMENT_TYPE_MISMATCH),
        (&other_product, ErrorCode::PRODUCT_MISMATCH),
        (&future, ErrorCode::NOT_YET_IN_EFFECT),
        (&past, ErrorCode::EXPIRED),
        (&small, ErrorCode::INSTANCE_COUNT_OVER_LIMIT),
    ] {
        assert_eq!(index(&asked, std::slice::from_ref(item)), Err(expected));
    }
    let all = [scan, desktop, other_product, future, past, small];
    for order in [all.clone(), {
        let mut turned = all;
        turned.reverse();
        turned
    }] {
        let furthest = index(&asked, &order);
        assert_eq!(furthest, Err(ErrorCode::INSTANCE_COUNT_OVER_LIMIT), "the nearest miss is told");
    }
}

#[test]
fn each_refusal_of_an_item_says_what_to_do() {
    let asked = Claim {
        charge_way: Some(ChargeWay::ConcurrentInstance),
        modules: vec!["QR_CODE".into()],
        ..claim(3)
    };
    for (item, action) in [
        (
            changed(4, |item| item.charge_way = ChargeWay::BarcodeScan),
            "has 2 (barcode scan): set chargeWay to 0",
        ),
        (
            changed(4, |item| item.deployment_types = vec![DeploymentType::Desktop]),
            "set deploymentType to 2 (desktop)",
        ),
        (changed(4, |item| item.products = 0x1), "out of products"),
        (changed(4, |item| item.modules = vec!["AZTEC".into()]), "out of limitedLicenseModules"),
        (changed(4, |item| item.versions.from = "9".parse().ok()), "ask your vendor"),
        (changed(4, |item| item.edition = Some("gold".into())), "use this edition"),
        (changed(4, |item| item.starts_at = START + 1), "wait until then"),
        (changed(4, |item| item.expires_at = START - 7 * 86_400), "ask your vendor"),
        (changed(4, |item| item.requires = vec!["other".into()]), "ask the code's owner"),
        (candidate(2), "ask for a number from 1 to 2"),
    ] {
        let no = choose(&asked, std::slice::from_ref(&item), Order::ByRule).unwrap_err();
        assert!(no.refusal.detail.contains(action), "{}", no.refusal.detail);
    }
}

#[test]
fn a_refusal_names_the_item_that_came_furthest() {
    let future = changed(4, |item| item.starts_at = START + 1);
    let nearest = |candidates: &[Candidate]| {
        choose(&claim(9), candidates, Order::ByRule).map_err(|no| no.nearest).unwrap_err()
    };
    assert_eq!(nearest(&[future.clone(), candidate(4)]), Some(1));
    assert_eq!(nearest(&[candidate(4), future]), Some(0));
    assert_eq!(nearest(&[candidate(4), candidate(5)]), Some(0), "the first of equal ones");
    assert_eq!(nearest(&[]), None);
}

#[test]
fn a_used_up_item_is_passed_over() {
    let scans = |expires_at, used| {
        let mut scans = changed(100, |item| {
            item.charge_way = ChargeWay::BarcodeScan;
            item.expires_at = expires_at;
        });
        scans.state.used = vec![Used { used, ..Used::default() }];
        scans
    };
    assert_eq!(index(&claim(1), &[scans(EXPIRY, 104), scans(EXPIRY + 1, 0)]), Ok(0));
    assert_eq!(index(&claim(1), &[scans(EXPIRY, 105), scans(EXPIRY + 1, 0)]), Ok(1));
    assert_eq!(index(&claim(1), &[scans(EXPIRY, 105)]), Err(ErrorCode::USED_UP));
}

#[test]
fn a_strict_item_with_less_left_than_is_needed_comes_after_the_others() {
    let strict = |expires_at, allowed| {
        let mut strict = changed(100, |item| {
            item.charge_way = ChargeWay::BarcodeScan;
            item.strict = true;
            item.expires_at = expires_at;
        });
        strict.state.used = vec![Used { allowed, devices: 1, ..Used::default() }];
        strict
    };
    let needing = |needed| Claim { needed, ..claim(1) };
    // Of N and its grace, which are 105, the first has five left.
    let both = [strict(EXPIRY, 100), strict(EXPIRY + 1, 0)];
    for order in [Order::ByRule, Order::AsListed] {
        let index = |needed, all: &[Candidate]| choose(&needing(needed), all, order).unwrap().0;
        assert_eq!(index(5, &both), 0, "it is enough");
        assert_eq!(index(6, &both), 1, "it is not");
        assert_eq!(index(6, &both[..1]), 0, "there is no other");
        assert_eq!(index(106, &both), 0, "neither is enough, and the order decides");
        // What the device has lost of an item is not left of it.
        let lost = |item_id: &str, module| {
            let lost = vec![LostAllowance { item_id: item_id.into(), module, lost: 1 }];
            choose(&Claim { lost, ..needing(5) }, &both, order).unwrap().0
        };
        assert_eq!(lost("item-100", 0), 1);
        assert_eq!((lost("another", 0), lost("item-100", 2)), (0, 0), "it is not of this");
    }
}

#[test]
fn the_state_of_an_item_is_needed_unless_the_item_itself_forbids_the_request() {
    let asked = Claim { charge_way: Some(ChargeWay::ConcurrentInstance), ..claim(1) };
    let needs = |item: &Candidate| needs_state(&asked, &item.item);
    assert!(needs(&candidate(4)));
    assert!(!needs(&changed(4, |item| item.charge_way = ChargeWay::BarcodeScan)));
    assert!(!needs(&changed(4, |item| item.starts_at = START + 1)));
}

#[test]
fn an_explicit_charge_way_passes_over_other_items() {
    let scan = changed(4, |item| item.charge_way = ChargeWay::BarcodeScan);
    let asked = Claim { charge_way: Some(ChargeWay::ConcurrentInstance), ..claim(1) };
    assert_eq!(index(&asked, &[scan.clone(), candidate(4)]), Ok(1));
    assert_eq!(index(&asked, &[scan]), Err(ErrorCode::CHARGE_WAY_MISMATCH));
}

#[test]
fn the_quota_is_of_what_is_asked_for() {
    let pages = |core, ocr| {
        changed(0, |item| {
            item.charge_way = ChargeWay::Page;
            item.page_quotas = Some(PageQuotas { core, ocr, ..PageQuotas::default() });
        })
    };
    let domain = changed(0, |item| {
        item.charge_way = ChargeWay::Domain;
        item.domains = vec!["company.com".into()];
    });
    let items = [pages(9, 5), pages(1, 6), pages(8, 7)];
    let asking = |module: &str| Claim { modules: vec![module.into()], ..claim(1) };
    assert_eq!(index(&asking("CORE"), &items), Ok(0));
    assert_eq!(index(&asking("OCR"), &items), Ok(2));
    assert_eq!(index(&claim(1), &items), Ok(2), "15 pages in all");
    let on_website = Claim { website: "www.company.com".into(), ..claim(1) };
    assert_eq!(index(&on_website, &[candidate(1_000), domain]), Ok(1), "it has no limit");
}

#[test]
fn the_order_is_expiry_then_specific_then_quota_then_position() {
    let base = candidate(4);
    let later = changed(4, |item| item.expires_at = EXPIRY + 1);
    let more_types = changed(4, |item| item.deployment_types.push(DeploymentType::Desktop));
    let same_type_twice = changed(4, |item| item.deployment_types.push(DeploymentType::Server));
    let more_products = changed(4, |item| item.products = 0x1_ffff);
    let one_module = changed(4, |item| item.modules = vec!["OCR".into(), "OCR".into()]);
    let two_modules = changed(4, |item| item.modules = vec!["OCR".into(), "PDFR".into()]);
    let specific_but_later = changed(9, |item| {
        item.expires_at = EXPIRY + 1;
        item.products = 0xffff;
    });
    for (better, worse) in [
        (&base, &later),
        (&more_types, &later),
        (&base, &more_types),
        (&more_products, &more_types),
        (&base, &more_products),
        (&one_module, &two_modules),
        (&two_modules, &base),
        (&two_modules, &candidate(9)),
        (
            &base,
            &changed(4, |item| {
                item.products = 0x1_ffff;
                item.modules = vec!["OCR".into()];
            }),
        ),
        (&more_products, &specific_but_later),
        (&candidate(9), &base),
    ] {
        assert_eq!(index(&claim(1), &[better.clone(), worse.clone()]), Ok(0));
        assert_eq!(index(&claim(1), &[worse.clone(), better.clone()]), Ok(1));
    }
    assert_eq!(index(&claim(1), &[base.clone(), same_type_twice.clone()]), Ok(0));
    assert_eq!(index(&claim(1), &[same_type_twice, base]), Ok(0));
}

#[test]
fn an_item_without_room_is_passed_over() {
    let small_and_soon = changed(2, |item| item.expires_at = EXPIRY - 1);
    let candidates = [small_and_soon, candidate(4)];
    assert_eq!(index(&claim(2), &candidates), Ok(0));
    assert_eq!(index(&claim(3), &candidates), Ok(1));
    assert_eq!(index(&claim(5), &candidates), Err(ErrorCode::INSTANCE_COUNT_OVER_LIMIT));
}

#[test]
fn the_operators_order_wins_over_the_rule() {
    let late = changed(4, |item| item.expires_at = EXPIRY + 1);
    let listed = [late, candidate(4)];
    let chosen = |order| {
        choose(&claim(1), &listed, order).map(|(index, admission)| (index, admission.seats))
    };
    assert_eq!(chosen(Order::ByRule), Ok((1, 1)));
    assert_eq!(chosen(Order::AsListed), Ok((0, 1)));
}

#[test]
fn modules_version_and_edition_must_be_covered_where_the_item_names_them() {
    let covers = |item: &dyn Fn(&mut LicenseItem), asked: &dyn Fn(&mut Claim)| {
        let mut claim = claim(1);
        asked(&mut claim);
        index(&claim, &[changed(4, item)]).err()
    };
    let ocr = |item: &mut LicenseItem| item.modules = vec!["OCR".into()];
    assert_eq!(covers(&ocr, &|_| {}), None);
    assert_eq!(covers(&ocr, &|claim| claim.modules = vec!["OCR".into()]), None);
    let pdf = |claim: &mut Claim| claim.modules = vec!["OCR".into(), "PDFR".into()];
    assert_eq!(covers(&ocr, &pdf), Some(ErrorCode::NO_ITEM_FITS));
    assert_eq!(covers(&|_| {}, &pdf), None);
    for name in ["ocr", "Ocr", "OCRX", ""] {
        let asked = |claim: &mut Claim| claim.modules = vec!["OCR".into(), name.into()];
        assert_eq!(covers(&|_| {}, &asked), Some(ErrorCode::NO_ITEM_FITS), "{name:?}");
        assert_eq!(covers(&ocr, &asked), Some(ErrorCode::NO_ITEM_FITS), "{name:?}");
    }
    let own = |item: &mut LicenseItem| item.modules = vec!["Our own".into()];
    assert_eq!(covers(&own, &|claim| claim.modules = vec!["Our own".into()]), None);

    let nine = |item: &mut LicenseItem| item.versions.to = Some("9".parse().unwrap());
    assert_eq!(covers(&nine, &|claim| claim.product_version = Some("9.6".parse().unwrap())), None);
    let ten = |claim: &mut Claim| claim.product_version = Some("10.0".parse().unwrap());
    assert_eq!(covers(&nine, &ten), Some(ErrorCode::VERSION_MISMATCH));
    assert_eq!(covers(&nine, &|_| {}), Some(ErrorCode::VERSION_MISMATCH));
    assert_eq!(covers(&|_| {}, &ten), None);

    let pro = |item: &mut LicenseItem| item.edition = Some("pro".into());
    assert_eq!(covers(&pro, &|claim| claim.product_edition = Some("pro".into())), None);
    assert_eq!(covers(&pro, &|_| {}), Some(ErrorCode::EDITION_MISMATCH));
    assert_eq!(covers(&|_| {}, &|claim| claim.product_edition = Some("pro".into())), None);
}

#[test]
fn a_module_that_does_not_exist_is_told_with_its_right_spelling() {
    let detail = |module: &str| {
        let asked = Claim { modules: vec![module.into()], ..claim(1) };
        choose(&asked, &[candidate(4)], Order::ByRule).unwrap_err().refusal.detail
    };
    assert!(detail("Ocr").contains("no module of this name: write OCR"), "{}", detail("Ocr"));
    assert!(detail("OCRX").contains("no module of this name: take it out"), "{}", detail("OCRX"));
}

#[test]
fn a_revoked_item_and_one_that_lacks_what_it_depends_on_are_refused() {
    let mut revoked = candidate(4);
    revoked.revoked = true;
    assert_eq!(index(&claim(1), &[revoked.clone()]), Err(ErrorCode::REVOKED));
    let addon = changed(5, |item| item.requires = vec!["item-4".into()]);
    let missing = Err(ErrorCode::REQUIRED_ITEM_MISSING);
    assert_eq!(index(&claim(5), std::slice::from_ref(&addon)), missing);
    assert_eq!(index(&claim(5), &[addon.clone(), revoked]), missing);
    let expired = changed(4, |item| item.expires_at = START - 8 * 86_400);
    assert_eq!(index(&claim(5), &[addon.clone(), expired]), missing);
    assert_eq!(index(&claim(5), &[addon, candidate(4)]), Ok(0));
}
