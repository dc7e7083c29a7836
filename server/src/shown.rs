//! Texts of others on a terminal: without what could move its cursor, hide text or turn it around.
//!
//! A device chooses its own name, and an operator may see it on any terminal, in any log. What a
//! terminal would obey, or a reader would not see, is written as its number instead:
//!
//! | characters | example | written |
//! | --- | --- | --- |
//! | control characters, C0 and C1 | escape | `\u001b` |
//! | direction of text | right-to-left override | `\u202e` |
//! | separators of lines and paragraphs | | `\u2028` |
//!
//! In JSON, this is the same text. Whatever a command prints goes through [`Shown`], and a field
//! that must not begin a new line goes through [`line()`], too.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Return whether a terminal would obey this character, or a reader not see it.
fn is_hidden(c: char) -> bool {
    let is_direction = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    c.is_control() || is_direction || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Return a text as one line that can be shown.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_, c| is_hidden(c))
}

/// Return a text as lines that can be shown. A line may end as in CSV, with two characters.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |at, c| is_hidden(c) && !is_of_lines(text, at, c))
}

fn is_of_lines(text: &str, at: usize, c: char) -> bool {
    matches!(c, '\n' | '\t') || c == '\r' && text[at + 1..].starts_with('\n')
}

fn escaped(text: &str, is_wrong: impl Fn(usize, char) -> bool) -> Cow<'_, str> {
    if !text.char_indices().any(|(at, c)| is_wrong(at, c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        if is_wrong(at, c) {
            // All of them have four digits. A text grows without an error.
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// An output on which every text is shown as [`lines`] shows it.
#[derive(Debug)]
pub struct Shown<W> {
    output: W,
    /// The first bytes of a character of which the rest is still to come.
    begun: Vec<u8>,
    has_colors: bool,
}

impl<W: Write> Shown<W> {
    /// Show texts on this output.
    pub fn new(output: W) -> Self {
        Self { output, begun: Vec::new(), has_colors: false }
    }

    /// Show texts on an output for which somebody else has escaped what others wrote, and has added
    /// colors, as the log does.
    pub fn with_colors(output: W) -> Self {
        Self { has_colors: true, ..Self::new(output) }
    }

    fn shown<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.has_colors {
            true => {
                escaped(text, |at, c| is_hidden(c) && c != '\u{1b}' && !is_of_lines(text, at, c))
            }
            false => lines(text),
        }
    }
}

/// Return whether a byte may belong to a character that is not shown as it is.
fn is_suspect(byte: u8) -> bool {
    // C1 begins with C2, the Arabic letter mark with D8, the others with E2, EF.
    byte < b' ' && !matches!(byte, b'\n' | b'\t')
        || matches!(byte, 0x7f | 0xc2 | 0xd8 | 0xe2 | 0xef)
}

impl<W: Write> Write for Shown<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.begun.is_empty() && !bytes.iter().copied().any(is_suspect) {
            return self.output.write(bytes);
        }
        let mut text = std::mem::take(&mut self.begun);
        text.extend_from_slice(bytes);
        // What follows decides about the last character, if that may end a line.
        let ends_line = text.last() == Some(&b'\r');
        text.truncate(text.len() - usize::from(ends_line));
        let mut rest: &[u8] = &[];
        for chunk in text.utf8_chunks() {
            self.output.write_all(rest)?;
            self.output.write_all(self.shown(chunk.valid()).as_bytes())?;
            rest = chunk.invalid();
        }
        // Only the last bytes may be the beginning of a character. Other bytes that are no text
        // stay.
        match rest.first() {
            Some(0xc2..=0xf4) if text.ends_with(rest) && !ends_line => self.begun = rest.to_vec(),
            _ => self.output.write_all(rest)?,
        }
        if ends_line {
            self.begun = b"\r".to_vec();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_as_its_number() {
        for (text, shown) in [
            ("till 7", "till 7"),
            ("caf\u{e9} \u{5d0}\u{4e2d}\u{1f600}", "caf\u{e9} \u{5d0}\u{4e2d}\u{1f600}"),
            ("\u{1b}[31m", "\\u001b[31m"),
            ("a\u{9b}2Jb\u{7f}", "a\\u009b2Jb\\u007f"),
            ("exe\u{202e}cod.\u{2066}", "exe\\u202ecod.\\u2066"),
            ("one\r\ntwo", "one\\u000d\\u000atwo"),
            ("a\u{2028}b\u{61c}", "a\\u2028b\\u061c"),
        ] {
            assert_eq!(line(text), shown);
        }
        assert_eq!(lines("one\r\ntwo\t3\r4\r"), "one\r\ntwo\t3\\u000d4\\u000d");
    }

    #[test]
    fn an_output_shows_the_same_however_its_bytes_come() {
        let text = "\u{1b}[2J caf\u{e9} \u{202e}\u{9b} \u{2603} \u{1f600} \u{61c}\r\nend\rof\n";
        for size in 1..=text.len() {
            let mut output = Vec::new();
            let mut shown = Shown::new(&mut output);
            for part in text.as_bytes().chunks(size) {
                shown.write_all(part).unwrap();
            }
            drop(shown);
            assert_eq!(String::from_utf8(output).unwrap(), lines(text), "in parts of {size}");
        }
        let mut output = Vec::new();
        Shown::new(&mut output).write_all(b"\xff\xfe\xc2 \xe2\x98 end").unwrap();
        assert_eq!(output, b"\xff\xfe\xc2 \xe2\x98 end", "what is no text is left alone");
    }
}
