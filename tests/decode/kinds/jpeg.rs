//! JPEG streams with any sampling, made here. Each block has one shade, so that it has only its
//! first coefficient.

use super::shades;

/// The codes for differences of 0 to 11 bits in the usual table of brightness, with their lengths.
const DC: [(u32, u32); 12] = [
    (2, 0b00),
    (3, 0b010),
    (3, 0b011),
    (3, 0b100),
    (3, 0b101),
    (3, 0b110),
    (4, 0b1110),
    (5, 0b11110),
    (6, 0b11_1110),
    (7, 0b111_1110),
    (8, 0b1111_1110),
    (9, 0b1_1111_1110),
];

/// The code for "no further coefficients".
const END_OF_BLOCK: (u32, u32) = (4, 0b1010);

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    word: u64,
    count: u32,
}

impl Bits {
    fn put(&mut self, (length, code): (u32, u32)) {
        self.word = self.word << length | u64::from(code);
        self.count += length;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.word >> self.count) as u8;
            self.bytes.push(byte);
            if byte == 0xff {
                self.bytes.push(0);
            }
        }
    }

    /// Append a block whose first coefficient differs by `difference` from that of the block
    /// before.
    fn block(&mut self, difference: i32) {
        let bits = 32 - difference.unsigned_abs().leading_zeros();
        self.put(DC[bits as usize]);
        let value = if difference < 0 { difference - 1 } else { difference };
        if bits > 0 {
            self.put((bits, value as u32 & ((1 << bits) - 1)));
        }
        self.put(END_OF_BLOCK);
    }
}

/// Return a stream of 32 by 32 pixels, with gray colors. `samplings` are those of brightness and
/// the two colors.
fn stream(samplings: [(u8, u8); 3]) -> Vec<u8> {
    let mut file = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
    // One step of the first coefficient is one shade.
    file.extend([8; 64]);
    file.extend([0xff, 0xc0, 0, 17, 8, 0, 32, 0, 32, 3]);
    for ((across, down), id) in samplings.into_iter().zip(1..) {
        file.extend([id, across << 4 | down, 0]);
    }
    // All components use the tables of brightness.
    file.extend([0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0]);
    let across_max = samplings.iter().map(|s| s.0).max().unwrap();
    let down_max = samplings.iter().map(|s| s.1).max().unwrap();
    let units = (4_u8.div_ceil(across_max), 4_u8.div_ceil(down_max));
    let (mut bits, mut before) = (Bits::default(), 0);
    for y in 0..units.1 {
        for x in 0..units.0 {
            for (plane, (across, down)) in samplings.into_iter().enumerate() {
                for v in 0..down {
                    for h in 0..across {
                        let shade =
                            if plane == 0 { shade(x * across + h, y * down + v) - 128 } else { 0 };
                        bits.block(if plane == 0 { shade - before } else { 0 });
                        before = if plane == 0 { shade } else { before };
                    }
                }
            }
        }
    }
    bits.put((7, 0x7f));
    [file, bits.bytes, vec![0xff, 0xd9]].concat()
}

/// Return the shade of a block of brightness.
fn shade(x: u8, y: u8) -> i32 {
    i32::from(x) * 50 + i32::from(y) * 20 + 10
}

#[test]
fn brightness_is_read_right_however_it_and_the_colors_are_sampled() {
    for samplings in [
        [(1, 1), (1, 1), (1, 1)],
        [(2, 2), (1, 1), (1, 1)],
        [(2, 1), (1, 1), (1, 1)],
        [(1, 2), (1, 1), (1, 1)],
        [(4, 1), (1, 1), (1, 1)],
        [(2, 2), (2, 1), (1, 2)],
        // The colors are finer than the brightness.
        [(1, 1), (2, 2), (2, 2)],
        [(1, 1), (2, 1), (2, 1)],
        [(1, 1), (1, 2), (1, 2)],
        [(2, 1), (1, 2), (1, 1)],
    ] {
        let ratio = |of: fn((u8, u8)) -> u8| {
            samplings.map(of).into_iter().max().unwrap() / of(samplings[0])
        };
        let (across, down) = (usize::from(ratio(|s| s.0)), usize::from(ratio(|s| s.1)));
        let found = shades("blocks", &stream(samplings));
        // In the middle of a block nothing of its neighbors is mixed in.
        for (y, x) in (0..4 / down).flat_map(|y| (0..4 / across).map(move |x| (y, x))) {
            let (row, column) = (y * 8 * down + 4 * down, x * 8 * across + 4 * across);
            let found = i32::from(found[row * 32 + column]);
            let expected = shade(x as u8, y as u8);
            assert!(
                (found - expected).abs() <= 1,
                "{samplings:?}: block {x} {y} is {found}, not {expected}"
            );
        }
    }
}
