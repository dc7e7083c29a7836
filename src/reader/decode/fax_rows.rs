//! Rows of fax machines (ITU-T T.4 and T.6): runs of white and black in turn.
//!
//! | kind | a row | before a row |
//! |---|---|---|
//! | modified Huffman (TIFF 2, or 32771 in words) | runs | nothing; it begins with a byte or a word |
//! | Group 3 | runs, or in two dimensions where a bit says so | a mark of eleven 0 and a 1, and 0 to fill up |
//! | Group 4 | in two dimensions | nothing |
//!
//! In two dimensions a row is coded by the places of its changes relative to those of the row
//! above. A damaged row of Group 3 is white from the damage on, as a fax machine prints it, and the
//! search continues for the next mark. After the mark that ends a page all rows are white.

use fax::BitReader;
use fax::maps::{Mode, black, mode, white};

/// The coding of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fax {
    /// Runs. Each row begins at a multiple of so many bits.
    Huffman {
        /// The multiple, 8 or 16.
        align: usize,
    },
    /// Rows of Group 3.
    Group3 {
        /// Whether rows may be in two dimensions.
        is_2d: bool,
    },
    /// Rows of Group 4.
    Group4,
}

/// Most 0 bits before a mark: a scanner may fill up each row to a minimal time.
const FILL_BITS_MAX: usize = 1 << 16;

/// A reader of rows.
pub(super) struct FaxRows<'a> {
    kind: Fax,
    bits: Bits<'a>,
    width: usize,
    /// The places where the row above changes its color, the first time to black. The field `row`
    /// has the same places of the current row.
    above: Vec<usize>,
    row: Vec<usize>,
    is_over: bool,
}

impl<'a> FaxRows<'a> {
    pub(super) fn new(kind: Fax, bytes: &'a [u8], width: usize) -> Self {
        Self {
            kind,
            bits: Bits { bytes, at: 0 },
            width,
            above: Vec::new(),
            row: Vec::new(),
            is_over: false,
        }
    }

    /// Read a row of bits, 1 for black; `None` when there is none, or it is damaged.
    pub(super) fn read(&mut self, row: &mut [u8]) -> Option<()> {
        row.fill(0);
        if self.is_over {
            return Some(());
        }
        self.row.clear();
        let is_read = match self.kind {
            Fax::Huffman { align } => {
                self.bits.at = self.bits.at.next_multiple_of(align);
                self.runs()
            }
            Fax::Group3 { is_2d } => self.group_3(is_2d),
            Fax::Group4 => self.changes(),
        };
        is_read?;
        for pair in self.row.chunks(2) {
            blacken(row, pair[0], pair.get(1).copied().unwrap_or(self.width));
        }
        std::mem::swap(&mut self.above, &mut self.row);
        Some(())
    }

    fn group_3(&mut self, is_2d: bool) -> Option<()> {
        let has_mark = self.bits.skip_mark();
        // Some files have no marks at all, as if each had been left out. Then nothing can be in two
        // dimensions.
        let is_in_2d = is_2d && has_mark && self.bits.next_bits(1)? == 0;
        if has_mark && self.bits.is_at_mark() {
            // Two marks in succession are the end of the page.
            self.is_over = true;
            return Some(());
        }
        let start = self.bits.at;
        let is_whole = if is_in_2d { self.changes() } else { self.runs() };
        if is_whole.is_none() {
            // The bits that were read as a code may reach into the mark.
            self.bits.at = start;
            self.bits.find_mark()?;
        }
        Some(())
    }

    /// Read a row that is coded by its runs.
    fn runs(&mut self) -> Option<()> {
        let (mut at, mut is_black) = (0, false);
        while at < self.width {
            at = (at + self.bits.run(is_black)?).min(self.width);
            if at < self.width || is_black {
                self.change_at(at)?;
            }
            is_black = !is_black;
        }
        Some(())
    }

    /// Read a row that is coded by its changes relative to the row above.
    fn changes(&mut self) -> Option<()> {
        let (mut at, mut is_black, mut is_at_start) = (0, false, true);
        // The index of the current change above. It and the place in the row only move to the
        // right.
        let mut next_above = 0;
        while at < self.width {
            match mode::decode(&mut self.bits)? {
                Mode::Pass => {
                    let first = self.change_above(at, is_black, is_at_start, &mut next_above);
                    at = self.above.get(first + 1).copied().unwrap_or(self.width);
                }
                Mode::Vertical(by) => {
                    let first = self.change_above(at, is_black, is_at_start, &mut next_above);
                    let change = self.above.get(first).copied().unwrap_or(self.width);
                    let change = change.checked_add_signed(by.into())?.min(self.width);
                    if change < at {
                        return None;
                    }
                    self.change_at(change)?;
                    (at, is_black) = (change, !is_black);
                    next_above = next_above.saturating_sub(2);
                }
                Mode::Horizontal => {
                    for color in [is_black, !is_black] {
                        at = (at + self.bits.run(color)?).min(self.width);
                        self.change_at(at)?;
                    }
                }
                Mode::EOF => {
                    self.is_over = true;
                    return Some(());
                }
                Mode::Extension => return None,
            }
            is_at_start = false;
        }
        Some(())
    }

    /// Record a change. Return `None` when there are more changes than a row can have, because runs
    /// of length 0 could continue without end.
    fn change_at(&mut self, at: usize) -> Option<()> {
        self.row.push(at);
        (self.row.len() <= self.width + 2).then_some(())
    }

    /// Return the index of the first change above that is to the right and to the other color.
    fn change_above(
        &self,
        at: usize,
        is_black: bool,
        is_at_start: bool,
        from: &mut usize,
    ) -> usize {
        // Changes to black have even indexes. A change to black is needed while the row is white.
        let mut i = *from - *from % 2 + usize::from(is_black);
        while self
            .above
            .get(i)
            .is_some_and(|change| *change < at || (*change == at && !is_at_start))
        {
            i += 2;
        }
        *from = i;
        i
    }
}

fn blacken(row: &mut [u8], from: usize, to: usize) {
    if from >= to {
        return;
    }
    let (first, last) = (from / 8, (to - 1) / 8);
    let (head, tail) = (0xff_u8 >> (from % 8), 0xff_u8 << (7 - (to - 1) % 8));
    if first == last {
        row[first] |= head & tail;
    } else {
        row[first] |= head;
        row[first + 1..last].fill(0xff);
        row[last] |= tail;
    }
}

/// A reader of bits, the highest of a byte first. After the last bit it reads zeros, which form no
/// code.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// Return the length of a run: codes for multiples of 64, then one code for the rest.
    fn run(&mut self, is_black: bool) -> Option<usize> {
        let mut length = 0;
        loop {
            let part = if is_black { black::decode(self) } else { white::decode(self) };
            let part = usize::from(part?);
            length += part;
            if part < 64 {
                return Some(length);
            }
        }
    }

    fn next_bits(&mut self, count: u8) -> Option<u16> {
        let bits = self.peek(count)?;
        self.at += usize::from(count);
        Some(bits)
    }

    fn is_at_mark(&self) -> bool {
        self.peek(12) == Some(1)
    }

    /// Skip a mark with the zeros before it, if it comes next.
    fn skip_mark(&mut self) -> bool {
        let start = self.at;
        // No code begins with so many zeros.
        if self.peek(11) == Some(0) {
            for _ in 0..FILL_BITS_MAX {
                match self.next_bits(1) {
                    Some(1) => return true,
                    Some(_) => {}
                    None => break,
                }
            }
        }
        self.at = start;
        false
    }

    /// Move to the next mark.
    fn find_mark(&mut self) -> Option<()> {
        while self.at + 12 <= self.bytes.len() * 8 {
            if self.peek(11) == Some(0) {
                let here = self.at;
                let is_there = self.skip_mark();
                self.at = here;
                return is_there.then_some(());
            }
            self.at += 1;
        }
        None
    }
}

impl BitReader for Bits<'_> {
    type Error = ();

    fn peek(&self, bits: u8) -> Option<u16> {
        if self.at >= self.bytes.len() * 8 || bits > 16 {
            return None;
        }
        let byte = |i: usize| u32::from(self.bytes.get(self.at / 8 + i).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        let word = word << (self.at % 8) & 0xff_ffff;
        // At most 16 bits.
        Some((word >> (24 - u32::from(bits))) as u16)
    }

    fn consume(&mut self, bits: u8) -> Result<(), ()> {
        self.at += usize::from(bits);
        // A code that extends beyond the end is no code.
        if self.at <= self.bytes.len() * 8 { Ok(()) } else { Err(()) }
    }

    fn bits_to_byte_boundary(&self) -> u8 {
        // At most 7.
        ((8 - self.at % 8) % 8) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Return the first rows, at most four.
    fn rows(kind: Fax, bits: &str, width: usize) -> Vec<Vec<u8>> {
        let bits: Vec<u8> = bits.bytes().filter(|bit| *bit != b' ').map(|bit| bit - b'0').collect();
        let bytes: Vec<u8> = bits
            .chunks(8)
            .map(|byte| byte.iter().enumerate().map(|(i, bit)| bit << (7 - i)).sum())
            .collect();
        let mut rows = FaxRows::new(kind, &bytes, width);
        let mut row = vec![0; width.div_ceil(8)];
        std::iter::from_fn(|| rows.read(&mut row).map(|()| row.clone())).take(4).collect()
    }

    const MARK: &str = "000000000001";

    #[test]
    fn rows_of_runs_begin_with_a_byte_or_a_word() {
        // White 2, black 3, white 3; then all white.
        let first = "0111 10 1000";
        assert_eq!(
            rows(Fax::Huffman { align: 8 }, &format!("{first} 000000 10011"), 8),
            [[0x38], [0]]
        );
        assert_eq!(
            rows(Fax::Huffman { align: 16 }, &format!("{first} 000000 10011 00000000000"), 8),
            [[0x38], [0]]
        );
        assert_eq!(
            rows(Fax::Huffman { align: 8 }, "00110101 000101", 8),
            [[0xff]],
            "white 0, black 8"
        );
    }

    #[test]
    fn group_3_is_read_with_and_without_fill_and_ends_with_two_marks() {
        let is_2d = false;
        let row = "0111 10 1000";
        for fill in ["", "0", "0000000000000000000"] {
            let bits = format!("{fill}{MARK} {row} {fill}{MARK} 10011 {fill}{MARK} {MARK} {MARK}");
            let expected = [[0x38], [0], [0], [0]];
            assert_eq!(rows(Fax::Group3 { is_2d }, &bits, 8), expected, "fill {}", fill.len());
        }
        assert_eq!(
            rows(Fax::Group3 { is_2d }, &format!("{row} {row}"), 8),
            [[0x38], [0x38]],
            "no marks"
        );
        let damaged = format!("{MARK} 0111 0000000 1 {MARK} {row} {MARK}{MARK}");
        assert_eq!(
            rows(Fax::Group3 { is_2d }, &damaged, 8)[1],
            [0x38],
            "the row behind a damaged one"
        );
    }

    #[test]
    fn rows_in_two_dimensions_are_said_by_the_row_above() {
        // Horizontal white 2 black 3; a change at the end of the row completes it. Then the same
        // row, then one that is shifted.
        let bits = "001 0111 10 1  1 1 1  011 010 1";
        assert_eq!(rows(Fax::Group4, bits, 8), [[0x38], [0x38], [0x10]]);
        // Pass over the black run above, to an all-white row.
        assert_eq!(rows(Fax::Group4, "001 0111 10 1 0001 1", 8), [[0x38], [0]]);
        let ended = format!("001 0111 10 1 {MARK} {MARK}");
        assert_eq!(rows(Fax::Group4, &ended, 8), [[0x38], [0], [0], [0]], "white after the end");
        let mixed = format!("{MARK}1 0111 10 1000 {MARK}0 1 1 1 {MARK}1 10011 {MARK}1{MARK}1");
        assert_eq!(rows(Fax::Group3 { is_2d: true }, &mixed, 8)[..3], [[0x38], [0x38], [0]]);
    }

    #[test]
    fn any_bits_end() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut bytes = [0_u8; 64];
        for _ in 0..20_000 {
            for byte in &mut bytes {
                // Fax codes have more zeros than ones.
                *byte = random.u8(..) & random.u8(..);
            }
            for kind in [
                Fax::Huffman { align: 8 },
                Fax::Group3 { is_2d: true },
                Fax::Group3 { is_2d: false },
                Fax::Group4,
            ] {
                let mut rows = FaxRows::new(kind, &bytes, 37);
                let mut row = [0; 5];
                let read = (0..1000).take_while(|_| rows.read(&mut row).is_some()).count();
                assert!(read < 1000 || rows.is_over, "{kind:?} has no end");
                assert!(rows.row.capacity() < 100 && row[4] & 7 == 0);
            }
        }
    }
}
