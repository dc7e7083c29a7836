//! The engine's facts about a symbol beyond its text, and what follows from them.

use zxingcpp::{Barcode, BarcodeFormat};

use super::engine::{Decoded, Details};
use super::zxing::{CODABAR, CODE_39, CODE_39_EXTENDED, EAN_8, EAN_13, UPC_A, UPC_E};

/// Fill in the details and the size of a module.
pub(super) fn details_of(decoded: &mut Decoded, barcode: &Barcode) {
    decoded.details = match decoded.format {
        0 => Details::None,
        0x400_0000 | 0x4000_0000 => qr(barcode),
        0x200_0000 | 0x8_0000 => Details::Pdf417,
        0x800_0000 => data_matrix(barcode),
        0x1000_0000 => aztec(barcode),
        0x2000_0000 => Details::None,
        _ => linear(decoded),
    };
    decoded.module_pixels = module_pixels(decoded);
}

fn linear(decoded: &Decoded) -> Details {
    let bytes = &decoded.bytes;
    match decoded.format {
        // The engine returns start and stop characters of Codabar as part of the text.
        CODABAR if bytes.len() >= 2 => Details::Linear {
            start: vec![bytes[0]],
            stop: vec![bytes[bytes.len() - 1]],
            check: Vec::new(),
        },
        CODE_39 | CODE_39_EXTENDED => {
            Details::Linear { start: b"*".to_vec(), stop: b"*".to_vec(), check: Vec::new() }
        }
        EAN_8 | EAN_13 | UPC_A | UPC_E => Details::Linear {
            start: Vec::new(),
            stop: Vec::new(),
            check: bytes.last().copied().into_iter().collect(),
        },
        _ => Details::Linear { start: Vec::new(), stop: Vec::new(), check: Vec::new() },
    }
}

fn qr(barcode: &Barcode) -> Details {
    let version_text = barcode.extra_with_key("Version");
    let version: i32 = version_text.trim_start_matches('M').parse().unwrap_or(0);
    let side = match barcode.format() {
        _ if version == 0 => 0,
        BarcodeFormat::MicroQRCode => 9 + 2 * version,
        BarcodeFormat::RMQRCode => 0,
        _ => 17 + 4 * version,
    };
    // The text is, for example, "R7x43".
    let rectangle = version_text.strip_prefix('R').and_then(rows_and_columns);
    let is_appended = barcode.sequence_size() > 0 && barcode.sequence_index() >= 0;
    Details::Qr {
        size: rectangle.unwrap_or((side, side)),
        level: barcode.extra_with_key("ECLevel").chars().next().unwrap_or('L'),
        version,
        model: if barcode.format() == BarcodeFormat::QRCodeModel1 { 1 } else { 2 },
        append: is_appended.then(|| {
            let parity = barcode.sequence_id().parse().unwrap_or(0);
            (barcode.sequence_index(), barcode.sequence_size(), parity)
        }),
    }
}

fn data_matrix(barcode: &Barcode) -> Details {
    let size = rows_and_columns(&barcode.extra_with_key("Version")).unwrap_or((0, 0));
    let (rows, columns) = size;
    // ISO/IEC 16022, table 7.
    let regions = match (rows, columns) {
        (8, 32) | (12, 36) | (16, 36 | 48) => (1, 2),
        _ if rows != columns || rows < 32 => (1, 1),
        _ if rows < 64 => (2, 2),
        _ if rows < 120 => (4, 4),
        _ => (6, 6),
    };
    Details::DataMatrix { size, regions }
}

fn aztec(barcode: &Barcode) -> Details {
    let layers: i32 = barcode.extra_with_key("Version").parse().unwrap_or(0);
    // A symbol of up to four layers may be a compact one, and the engine does not say so.
    let side = if layers > 4 {
        let base = 14 + 4 * layers;
        base + 1 + 2 * ((base / 2 - 1) / 15)
    } else {
        0
    };
    Details::Aztec { size: (side, side), layers }
}

fn rows_and_columns(text: &str) -> Option<(i32, i32)> {
    let (rows, columns) = text.split_once('x')?;
    Some((rows.parse().ok()?, columns.parse().ok()?))
}

/// Return the length of the upper edge divided by the modules on it, if their number is known.
fn module_pixels(decoded: &Decoded) -> i32 {
    let modules = match decoded.details {
        Details::Qr { size, .. }
        | Details::DataMatrix { size, .. }
        | Details::Aztec { size, .. } => size.1,
        _ => match decoded.format {
            EAN_13 | UPC_A => 95,
            EAN_8 => 67,
            UPC_E => 51,
            _ => 0,
        },
    };
    if modules <= 0 {
        return 0;
    }
    let [(x1, y1), (x2, y2), ..] = decoded.corners.map(|(x, y)| (f64::from(x), f64::from(y)));
    let pixels = ((x2 - x1).hypot(y2 - y1) / f64::from(modules)).round();
    // Lengths in pictures are far below the largest number.
    (pixels as i32).max(1)
}
