//! Image files, read within their limits: of every kind, and every way in which their pixels can be
//! packed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seatmeter::reader::for_each_page;

fuzz_target!(|bytes: &[u8]| {
    let mut pages = 0;
    let _ = for_each_page(bytes, &mut |_, page| {
        assert_eq!(page.pixels.len(), page.width as usize * page.height as usize);
        pages += 1;
        Ok(pages < 3)
    });
});
