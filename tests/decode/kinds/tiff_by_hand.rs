//! TIFF files that few programs write, made here byte by byte.

use super::{Page, read, refusal, shades};

/// One page: the strips, and the entries besides the places of the strips. Entries have 16 bits, or
/// 32 if their value is larger.
struct Tiff {
    entries: Vec<(u16, Vec<u32>)>,
    strips: Vec<Vec<u8>>,
}

const WIDTH: usize = 11;
const HEIGHT: usize = 6;

impl Tiff {
    /// Make a page of 11 by 6 pixels with this number of samples, 8 bits each, in one strip.
    fn new(photometric: u32, samples: usize, strip: Vec<u8>) -> Self {
        let entries = vec![
            (256, vec![WIDTH as u32]),
            (257, vec![HEIGHT as u32]),
            (258, vec![8; samples]),
            (259, vec![1]),
            (262, vec![photometric]),
            (277, vec![samples as u32]),
            (278, vec![HEIGHT as u32]),
        ];
        Self { entries, strips: vec![strip] }
    }

    fn with(mut self, tag: u16, values: &[u32]) -> Self {
        self.entries.retain(|(known, _)| *known != tag);
        self.entries.push((tag, values.to_vec()));
        self
    }

    fn strips(mut self, strips: Vec<Vec<u8>>) -> Self {
        self.strips = strips;
        self
    }
}

/// Make a file with these pages; `is_big` means BigTIFF.
fn file(pages: &[Tiff], is_little: bool, is_big: bool) -> Vec<u8> {
    let mut bytes = if is_little { b"II".to_vec() } else { b"MM".to_vec() };
    let word = if is_big { 8 } else { 4 };
    let put = |bytes: &mut Vec<u8>, value: usize, length: usize| {
        let value = (value as u64).to_le_bytes();
        let little = value[..length].iter().copied();
        if is_little { bytes.extend(little) } else { bytes.extend(little.rev()) }
    };
    put(&mut bytes, if is_big { 43 } else { 42 }, 2);
    if is_big {
        put(&mut bytes, 8, 2);
        put(&mut bytes, 0, 2);
    }
    let mut link = bytes.len();
    put(&mut bytes, 0, word);
    for page in pages {
        let places: Vec<u32> = page
            .strips
            .iter()
            .map(|strip| {
                bytes.extend(strip);
                (bytes.len() - strip.len()) as u32
            })
            .collect();
        let lengths = page.strips.iter().map(|strip| strip.len() as u32).collect();
        let mut entries = page.entries.clone();
        let is_tiled = entries.iter().any(|(tag, _)| *tag == 322);
        entries.extend(if is_tiled {
            [(324, places), (325, lengths)]
        } else {
            [(273, places), (279, lengths)]
        });
        entries.sort();
        // Values that do not fit into their entry are placed before the directory.
        let size = |values: &[u32]| if values.iter().any(|value| *value > 0xffff) { 4 } else { 2 };
        let mut words = Vec::new();
        for (_, values) in &entries {
            let mut content = Vec::new();
            values.iter().for_each(|value| put(&mut content, *value as usize, size(values)));
            if content.len() > word {
                let place = bytes.len();
                bytes.extend(content);
                content = Vec::new();
                put(&mut content, place, word);
            }
            content.resize(word, 0);
            words.push(content);
        }
        let directory = bytes.len();
        let mut first = Vec::new();
        put(&mut first, directory, word);
        bytes[link..link + word].copy_from_slice(&first);
        put(&mut bytes, entries.len(), if is_big { 8 } else { 2 });
        for ((tag, values), content) in entries.iter().zip(words) {
            put(&mut bytes, (*tag).into(), 2);
            put(&mut bytes, if size(values) == 4 { 4 } else { 3 }, 2);
            put(&mut bytes, values.len(), word);
            bytes.extend(content);
        }
        link = bytes.len();
        put(&mut bytes, 0, word);
    }
    bytes
}

fn one(page: Tiff) -> Vec<u8> {
    file(&[page], true, false)
}

fn luminance([r, g, b]: [u8; 3]) -> u8 {
    ((306 * u32::from(r) + 601 * u32::from(g) + 117 * u32::from(b) + 512) >> 10) as u8
}

fn sample(i: usize, plane: usize) -> u8 {
    (i * 37 + plane * 91 + i * plane) as u8
}

/// Return the shades of a picture whose samples are [`sample`].
fn expected(shade: impl Fn(&dyn Fn(usize) -> u8) -> u8) -> Vec<u8> {
    (0..WIDTH * HEIGHT).map(|i| shade(&|plane| sample(i, plane))).collect()
}

fn interleaved(samples: usize) -> Vec<u8> {
    (0..WIDTH * HEIGHT).flat_map(|i| (0..samples).map(move |plane| sample(i, plane))).collect()
}

fn over_white(shade: u8, alpha: u8) -> u8 {
    ((u32::from(shade) * u32::from(alpha) + 255 * u32::from(255 - alpha) + 127) / 255) as u8
}

#[test]
fn planes_apart_make_the_same_picture_as_planes_together() {
    for (photometric, samples) in [(2, 3), (5, 4), (2, 4)] {
        let together =
            one(Tiff::new(photometric, samples, interleaved(samples))
                .with(338, &vec![2; samples - 3]));
        let plane = |plane| (0..WIDTH * HEIGHT).map(|i| sample(i, plane)).collect::<Vec<u8>>();
        // Each plane has three strips of two rows.
        let strips = (0..samples)
            .flat_map(|p| plane(p).chunks(2 * WIDTH).map(<[u8]>::to_vec).collect::<Vec<_>>());
        let apart = Tiff::new(photometric, samples, vec![])
            .with(284, &[2])
            .with(278, &[2])
            .with(338, &vec![2; samples - 3])
            .strips(strips.collect());
        let what = format!("{photometric}, {samples}");
        assert_eq!(shades(&what, &one(apart)), shades(&what, &together), "{what}");
    }
}

#[test]
fn both_orders_of_bytes_and_both_kinds_of_files_are_read() {
    let rgb = expected(|sample| luminance([0, 1, 2].map(sample)));
    for (is_little, is_big) in [(true, false), (false, false), (true, true), (false, true)] {
        let bytes = file(&[Tiff::new(2, 3, interleaved(3))], is_little, is_big);
        assert_eq!(shades("rgb", &bytes), rgb, "{is_little} {is_big}");
        let words: Vec<u8> = interleaved(1)
            .iter()
            .flat_map(|sample| if is_little { [7, *sample] } else { [*sample, 7] })
            .collect();
        let bytes = file(&[Tiff::new(1, 1, words).with(258, &[16])], is_little, is_big);
        assert_eq!(shades("16 bits", &bytes), interleaved(1), "{is_little} {is_big}");
    }
}

#[test]
fn alpha_is_on_white_paper_whichever_kind_it_is() {
    let apart = expected(|sample| over_white(luminance([0, 1, 2].map(sample)), sample(3)));
    let multiplied =
        expected(|sample| luminance([0, 1, 2].map(sample)).saturating_add(255 - sample(3)));
    let unknown = expected(|sample| luminance([0, 1, 2].map(sample)));
    for (kind, expected) in [(2, &apart), (1, &multiplied), (0, &unknown)] {
        let bytes = one(Tiff::new(2, 4, interleaved(4)).with(338, &[kind]));
        assert_eq!(&shades("rgba", &bytes), expected, "kind {kind}");
    }
    assert_eq!(shades("no word of it", &one(Tiff::new(2, 4, interleaved(4)))), apart);
    for (photometric, inverted) in [(1, 0), (0, 255)] {
        let la = expected(|sample| over_white(sample(0) ^ inverted, sample(1)));
        let bytes = one(Tiff::new(photometric, 2, interleaved(2)).with(338, &[2]));
        assert_eq!(shades("gray with alpha", &bytes), la);
    }
}

#[test]
fn alpha_that_would_hide_everything_is_not_looked_at() {
    // White paper with transparent bars; and colors under an alpha that no program has set.
    let holes = expected(|sample| if sample(0) > 127 { 255 } else { 0 });
    let pixels: Vec<u8> = holes.iter().flat_map(|shade| [*shade; 4]).collect();
    assert_eq!(shades("holes", &one(Tiff::new(2, 4, pixels).with(338, &[2]))), holes);
    let unset: Vec<u8> =
        interleaved(3).chunks(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 0]).collect();
    let rgb = expected(|sample| luminance([0, 1, 2].map(sample)));
    assert_eq!(shades("unset", &one(Tiff::new(2, 4, unset).with(338, &[2]))), rgb);
    // White bars on a transparent page are on black, whether their colors are multiplied or not.
    for kind in [1, 2] {
        let color = |shade: u8| if kind == 1 { shade } else { 255 };
        let bars: Vec<u8> =
            holes.iter().flat_map(|s| [color(*s), color(*s), color(*s), *s]).collect();
        assert_eq!(shades("bars", &one(Tiff::new(2, 4, bars).with(338, &[kind]))), holes, "{kind}");
    }
}

#[test]
fn inks_darken_each_other() {
    let ink =
        |ink: u8, black: u8| ((u32::from(255 - ink) * u32::from(255 - black) + 127) / 255) as u8;
    let expected =
        expected(|sample| luminance([0, 1, 2].map(|plane| ink(sample(plane), sample(3)))));
    assert_eq!(shades("inks", &one(Tiff::new(5, 4, interleaved(4)))), expected);
}

#[test]
fn bits_are_read_from_the_end_that_the_file_says() {
    let rows: Vec<u8> = (0..2 * HEIGHT).map(|i| sample(i, 1)).collect();
    let usual = one(Tiff::new(1, 1, rows.clone()).with(258, &[1]));
    let turned: Vec<u8> = rows.iter().map(|byte| byte.reverse_bits()).collect();
    let turned = one(Tiff::new(1, 1, turned).with(258, &[1]).with(266, &[2]));
    let read = shades("usual", &usual);
    assert_eq!(shades("turned", &turned), read);
    assert!(read.contains(&0) && read.contains(&255));
}

#[test]
fn samples_of_odd_numbers_of_bits_are_read() {
    for bits in [2, 3, 4, 6, 12] {
        let row_bytes = (WIDTH * bits).div_ceil(8);
        let rows: Vec<u8> = (0..row_bytes * HEIGHT).map(|i| sample(i, 2)).collect();
        let bit =
            |row: usize, at: usize| u32::from(rows[row * row_bytes + at / 8] >> (7 - at % 8) & 1);
        let value =
            |x: usize, y: usize| (0..bits).fold(0, |value, i| value << 1 | bit(y, x * bits + i));
        let shade = |value: u32| {
            if bits > 8 { value >> (bits - 8) } else { value * 255 / ((1 << bits) - 1) }
        };
        let pixels = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y)));
        let expected: Vec<u8> = pixels.map(|(x, y)| shade(value(x, y)) as u8).collect();
        let bytes = one(Tiff::new(1, 1, rows.clone()).with(258, &[bits as u32]));
        assert_eq!(shades("bits", &bytes), expected, "{bits} bits");
    }
}

#[test]
fn colors_named_by_number_are_looked_up() {
    let numbers: Vec<u8> = (0..WIDTH * HEIGHT).map(|i| (i % 4) as u8 * 60).collect();
    for (shift, what) in [(8, "16 bits"), (0, "8 bits")] {
        let map: Vec<u32> =
            (0..3).flat_map(|c| (0..256).map(move |i| u32::from(sample(i, c)) << shift)).collect();
        let bytes = one(Tiff::new(3, 1, numbers.clone()).with(320, &map));
        let expected: Vec<u8> = numbers
            .iter()
            .map(|n| luminance([0, 1, 2].map(|c| sample(usize::from(*n), c))))
            .collect();
        assert_eq!(shades(what, &bytes), expected, "{what}");
    }
    let (code, message) = refusal("no colors", &one(Tiff::new(3, 1, numbers)));
    assert!(code == -10013 && message.contains("name colors"), "{message}");
}

#[test]
fn brightness_in_blocks_with_shared_colors_is_taken_out() {
    // Blocks of 2 by 2 pixels: four values of brightness, then two of color.
    let block = |i: usize| [i as u8, 50 + i as u8, 100 + i as u8, 150 + i as u8, 255, 255];
    let blocks: Vec<u8> = (0..6 * 3).flat_map(block).collect();
    let expected = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y)));
    let expected: Vec<u8> =
        expected.map(|(x, y)| block(y / 2 * 6 + x / 2)[y % 2 * 2 + x % 2]).collect();
    let bytes = one(Tiff::new(6, 3, blocks).with(530, &[2, 2]));
    assert_eq!(shades("blocks", &bytes), expected);
}

#[test]
fn tiles_are_put_where_they_belong() {
    // There are two by two tiles of 8 by 4 pixels.
    let tile = |left: usize, top: usize| {
        let pixels = (top..top + 4).flat_map(|y| (left..left + 8).map(move |x| (x, y)));
        pixels
            .map(|(x, y)| if x < WIDTH && y < HEIGHT { sample(y * WIDTH + x, 0) } else { 99 })
            .collect::<Vec<u8>>()
    };
    let page = Tiff::new(1, 1, vec![]).with(322, &[8]).with(323, &[4]);
    let page = page.strips(vec![tile(0, 0), tile(8, 0), tile(0, 4), tile(8, 4)]);
    assert_eq!(shades("tiles", &one(page)), interleaved(1));
}

#[test]
fn one_bad_page_of_three_takes_nothing_away_from_the_others() {
    let good = || Tiff::new(1, 1, interleaved(1));
    let short = Tiff::new(1, 1, interleaved(1)[..20].to_vec());
    for bad in [short, good().with(259, &[34_925]), good().with(257, &[0]), good().with(258, &[64])]
    {
        let (pages, failure) = read(&file(&[good(), bad, good()], true, false));
        let page: Page = (WIDTH as u32, HEIGHT as u32, interleaved(1));
        assert_eq!(pages, [(0, page.clone()), (2, page)]);
        let (code, message) = failure.unwrap();
        assert!(code == -10013 && message.starts_with("page 2 of the TIFF file"), "{message}");
    }
}

#[test]
fn pages_that_have_no_end_are_an_error() {
    let mut bytes = one(Tiff::new(1, 1, interleaved(1)));
    let end = bytes.len() - 4;
    let first: [u8; 4] = bytes[4..8].try_into().unwrap();
    bytes[end..].copy_from_slice(&first);
    let (pages, failure) = read(&bytes);
    assert_eq!(pages.len(), 1);
    assert!(failure.unwrap().1.contains("no end"));
}

#[test]
fn what_is_not_read_is_named() {
    let page = |tag, value: u32| one(Tiff::new(1, 1, interleaved(1)).with(tag, &[value]));
    for (file, names) in [
        (page(259, 6), "JPEG of the old kind"),
        (page(259, 34_712), "JPEG 2000"),
        (page(259, 50_000), "Zstandard"),
        (page(259, 12_345), "12345"),
        (page(262, 4), "mask"),
        (page(262, 32_803), "camera"),
        (page(262, 32_845), "32845"),
        (page(339, 2), "signed"),
        (page(339, 3), "floating point"),
        (page(258, 32), "32 bits"),
        (one(Tiff::new(2, 3, interleaved(3)).with(258, &[5, 6, 5])), "different numbers of bits"),
        (one(Tiff::new(5, 4, interleaved(4)).with(332, &[2])), "inks"),
        (one(Tiff::new(1, 1, interleaved(1)).with(259, &[5]).with(317, &[3])), "predicted"),
    ] {
        let (code, message) = refusal(names, &file);
        assert!(code == -10013 && message.contains(names), "{names}: {message}");
    }
}
