//! The details of a symbology beyond text and place, for C.

use std::ffi::{c_int, c_void};
use std::ptr;

use super::layout::{DataMatrixDetails, FourNumbers, OneDCodeDetails, QRCodeDetails};
use crate::reader::{Decoded, Details};

/// The owner of what `detailedResult` points to.
pub(super) enum DetailsInC {
    None,
    /// The details of a linear symbol, with the characters to which they point.
    Linear(
        Box<OneDCodeDetails>,
        #[expect(dead_code, reason = "owns what is pointed to")] [Vec<u8>; 3],
    ),
    Qr(Box<QRCodeDetails>),
    FourNumbers(Box<FourNumbers>),
    DataMatrix(Box<DataMatrixDetails>),
}

impl DetailsInC {
    pub(super) fn new(barcode: &Decoded) -> Self {
        let module = barcode.module_pixels;
        match &barcode.details {
            Details::None => Self::None,
            Details::Linear { start, stop, check } => linear(module, [start, stop, check]),
            Details::Qr { .. } => Self::Qr(Box::new(qr(module, &barcode.details))),
            Details::Pdf417 => four(module, 0, 0, 0),
            Details::Aztec { size, layers } => four(module, size.0, size.1, *layers),
            Details::DataMatrix { size: (rows, columns), regions: (down, across) } => {
                Self::DataMatrix(Box::new(DataMatrixDetails {
                    moduleSize: module,
                    rows: *rows,
                    columns: *columns,
                    // The finder pattern of each region does not count.
                    dataRegionRows: (rows / down - 2).max(0),
                    dataRegionColumns: (columns / across - 2).max(0),
                    dataRegionNumber: down * across,
                    reserved: [0; 32],
                }))
            }
        }
    }

    /// Return a pointer that is valid as long as this value, even if the value is moved.
    pub(super) fn pointer(&self) -> *const c_void {
        match self {
            Self::None => ptr::null(),
            Self::Linear(details, _) => ptr::from_ref(&**details).cast(),
            Self::Qr(details) => ptr::from_ref(&**details).cast(),
            Self::FourNumbers(details) => ptr::from_ref(&**details).cast(),
            Self::DataMatrix(details) => ptr::from_ref(&**details).cast(),
        }
    }
}

fn four(module: c_int, rows: c_int, columns: c_int, last: c_int) -> DetailsInC {
    DetailsInC::FourNumbers(Box::new(FourNumbers {
        numbers: [module, rows, columns, last],
        reserved: [0; 32],
    }))
}

fn linear(module: c_int, texts: [&Vec<u8>; 3]) -> DetailsInC {
    let owned = texts.map(|text| [text.as_slice(), b"\0"].concat());
    let length = |text: &Vec<u8>| c_int::try_from(text.len()).unwrap_or(c_int::MAX);
    let details = OneDCodeDetails {
        moduleSize: module,
        startCharsBytes: owned[0].as_ptr(),
        startCharsBytesLength: length(texts[0]),
        stopCharsBytes: owned[1].as_ptr(),
        stopCharsBytesLength: length(texts[1]),
        checkDigitBytes: owned[2].as_ptr(),
        checkDigitBytesLength: length(texts[2]),
        startPatternRange: [0.0; 2],
        middlePatternRange: [0.0; 2],
        endPatternRange: [0.0; 2],
        reserved: [0; 8],
    };
    DetailsInC::Linear(Box::new(details), owned)
}

fn qr(module: c_int, details: &Details) -> QRCodeDetails {
    let Details::Qr { size, level, version, model, append } = details else {
        unreachable!("asked by the caller")
    };
    let (page, total, parity) = append.unwrap_or((-1, -1, 0));
    QRCodeDetails {
        moduleSize: module,
        rows: size.0,
        columns: size.1,
        errorCorrectionLevel: match level {
            'H' => 0,
            'M' => 2,
            'Q' => 3,
            _ => 1,
        },
        version: *version,
        model: *model,
        mode: 0,
        page,
        totalPage: total,
        parityData: parity,
        reserved: [0; 16],
    }
}
