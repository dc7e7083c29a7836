//! Pixels and bitmaps in memory: the header says how they lie, and may lie.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seatmeter::reader::{BITMAP_HEADER_BYTES, BitmapHeader, PixelLayout};

fuzz_target!(|bytes: &[u8]| {
    if let Some((numbers, rest)) = bytes.split_at_checked(8) {
        let number = |i: usize| i32::from(i16::from_le_bytes([numbers[2 * i], numbers[2 * i + 1]]));
        if let Ok(layout) = PixelLayout::new(number(0), number(1), number(2), number(3) % 20)
            && let Ok(image) = layout.gray(rest)
        {
            assert_eq!(image.pixels.len(), image.width as usize * image.height as usize);
        }
    }
    if let Some(header) = bytes.first_chunk::<BITMAP_HEADER_BYTES>()
        && let Ok(header) = BitmapHeader::understand(header)
        && header.bytes() <= bytes.len()
        && let Ok(image) = header.gray(bytes)
    {
        assert_eq!(image.pixels.len(), image.width as usize * image.height as usize);
    }
});
