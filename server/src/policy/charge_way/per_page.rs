//! Charge way 20: pages.
//!
//! Four modules count pages, each against a quota of its own in the item, with the same grace as
//! scans: Core, Webcam, PDFR, OCR. Barcodes inside pages are scans, not pages. A device is served
//! when every module that it requests is served. A device that names no module is served as long as
//! any module has pages left.
//!
//! | requested module | its pages | outcome |
//! | --- | --- | --- |
//! | one of the four | within or in grace | served |
//! | one of the four | used up, or none sold | -20120 |
//! | several | – | served when each is; the first refusal otherwise |
//! | none | any module within or in grace | served |
//! | none | all used up | -20120 |
//! | an unknown one | – | -20104 |

use seatmeter_protocol::error_code::ErrorCode;
use seatmeter_protocol::license::{LicenseItem, PageQuotas};
use seatmeter_protocol::page_module::{PAGE_MODULES, page_module_name};

use crate::error::Refusal;
use crate::policy::metered::{self, Standing};

/// Numbers of pages for each module, in the order of [`PAGE_MODULES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCounts(pub [u64; PAGE_MODULES.len()]);

impl PageCounts {
    /// Return the pages of the module with this number; `None` when there is no such module.
    #[must_use]
    pub fn of(&self, module: u32) -> Option<u64> {
        let position = PAGE_MODULES.iter().position(|(_, number)| *number == module)?;
        Some(self.0[position])
    }
}

impl From<PageQuotas> for PageCounts {
    fn from(quotas: PageQuotas) -> Self {
        Self(quotas.by_module().map(|(_, quota)| quota))
    }
}

/// Decide whether a device may count pages of all these modules.
///
/// # Errors
/// Returns -20120 by the table above, and -20104 for a module that does not exist.
pub fn decide(item: &LicenseItem, used: &PageCounts, modules: &[u32]) -> Result<Standing, Refusal> {
    let quotas = item.page_quotas.unwrap_or_default().into();
    let of = |module: u32| decide_module(&item.item_id, used, &quotas, module);
    if modules.is_empty() {
        let all = PAGE_MODULES.map(|(_, module)| of(module));
        let first_refusal = all.iter().find_map(|outcome| outcome.clone().err());
        let best = all.into_iter().flatten().min();
        return best.ok_or(first_refusal.unwrap_or_else(|| unknown_module(&item.item_id, 0)));
    }
    let mut worst = Standing::Within;
    for module in modules {
        worst = worst.max(of(*module)?);
    }
    Ok(worst)
}

/// Decide whether a device may count pages of this module.
fn decide_module(
    item_id: &str,
    used: &PageCounts,
    quotas: &PageCounts,
    module: u32,
) -> Result<Standing, Refusal> {
    let (Some(used), Some(quota)) = (used.of(module), quotas.of(module)) else {
        return Err(unknown_module(item_id, module));
    };
    metered::decide(item_id, &format!("{} pages", page_module_name(module)), used, quota)
}

fn unknown_module(item_id: &str, module: u32) -> Refusal {
    let known: Vec<_> =
        PAGE_MODULES.iter().map(|(name, number)| format!("{number} ({name})")).collect();
    Refusal::new(
        ErrorCode::NO_ITEM_FITS,
        format!(
            "item \"{item_id}\": no module has the number {module}; there are {}",
            known.join(", ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{EXPIRY, START};
    use seatmeter_protocol::charge_way::ChargeWay;

    fn item() -> LicenseItem {
        let page_quotas = Some(PageQuotas { core: 100, webcam: 20, pdfr: 9, ocr: 0 });
        LicenseItem { page_quotas, ..LicenseItem::new("item", ChargeWay::Page, 0, START, EXPIRY) }
    }

    const CORE: u32 = 1;
    const WEBCAM: u32 = 2;
    const PDFR: u32 = 3;
    const OCR: u32 = 4;

    fn outcome(used: [u64; 4], modules: &[u32]) -> Result<Standing, ErrorCode> {
        decide(&item(), &PageCounts(used), modules).map_err(|refusal| refusal.code)
    }

    #[test]
    fn each_module_has_its_own_quota_and_grace() {
        let used_up = Err(ErrorCode::USED_UP);
        for (used, module, expected) in [
            ([99, 21, 9, 0], CORE, Ok(Standing::Within)),
            ([100, 21, 9, 0], CORE, Ok(Standing::InGrace)),
            ([105, 0, 0, 0], CORE, used_up),
            ([105, 20, 0, 0], WEBCAM, Ok(Standing::InGrace)),
            ([0, 21, 0, 0], WEBCAM, used_up),
            ([105, 21, 8, 0], PDFR, Ok(Standing::Within)),
            ([0, 0, 9, 0], PDFR, used_up),
            ([0, 0, 0, 0], OCR, used_up),
        ] {
            assert_eq!(outcome(used, &[module]), expected, "{used:?}, module {module}");
        }
    }

    #[test]
    fn several_modules_need_room_in_each_and_none_needs_room_in_any() {
        assert_eq!(outcome([0, 20, 0, 0], &[CORE, WEBCAM]), Ok(Standing::InGrace));
        assert_eq!(outcome([0, 21, 0, 0], &[CORE, WEBCAM]), Err(ErrorCode::USED_UP));
        assert_eq!(outcome([105, 21, 8, 0], &[]), Ok(Standing::Within));
        assert_eq!(outcome([105, 21, 9, 0], &[]), Err(ErrorCode::USED_UP));
    }

    #[test]
    fn a_module_that_does_not_exist_is_named() {
        for module in [0, 5, u32::MAX] {
            assert_eq!(outcome([0; 4], &[module]), Err(ErrorCode::NO_ITEM_FITS));
        }
        let refusal = decide(&item(), &PageCounts([105, 0, 0, 0]), &[CORE]).unwrap_err();
        assert!(
            refusal.detail.contains("105 CORE pages are used, of 100 and a grace of 5"),
            "{}",
            refusal.detail
        );
    }
}
