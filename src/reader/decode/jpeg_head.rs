//! The part of a JPEG stream before its pixels: kind, size, components.

/// The coding of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// Huffman codes, in a single pass over each component.
    Baseline,
    /// Huffman codes, in several passes that refine.
    Progressive,
    /// Lossless coding.
    Lossless,
    /// Pictures of several sizes, each refining the previous one.
    Hierarchical,
    /// Arithmetic codes.
    Arithmetic,
}

/// The meaning of the components of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colors {
    /// The first is the brightness, the others are differences of color.
    Brightness,
    /// Red, green and blue, or inks.
    AsTheyAre,
}

/// The content of the frame header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) process: Process,
    pub(super) bits: u8,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) components: Vec<Component>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Component {
    id: u8,
    across: u8,
    down: u8,
}

/// The content of the stream before the pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) frame: Option<Frame>,
    pub(super) has_huffman_tables: bool,
    /// The place of the marker of the first scan.
    pub(super) scan_at: usize,
    /// The number of components of the first scan.
    pub(super) scan_components: usize,
    is_jfif: bool,
    adobe_transform: Option<u8>,
}

impl Head {
    /// Read the segments up to the first scan; `None` when there is no scan.
    pub(super) fn of(stream: &[u8]) -> Option<Self> {
        let mut head = Self::default();
        let mut at = 2;
        loop {
            // Bytes between segments are skipped, as the decoders do.
            at += stream.get(at..)?.iter().position(|byte| *byte == 0xff)?;
            let marker_at = at;
            at += stream[at..].iter().position(|byte| *byte != 0xff)?;
            let marker = stream[at];
            at += 1;
            if matches!(marker, 0 | 1 | 0xd0..=0xd8) {
                continue;
            }
            let length = usize::from(u16::from_be_bytes(*stream.get(at..)?.first_chunk()?));
            let segment = stream.get(at + 2..(at + length.max(2)).min(stream.len()))?;
            match marker {
                0xda => {
                    head.scan_at = marker_at;
                    head.scan_components = usize::from(*segment.first()?);
                    return Some(head);
                }
                0xd9 => return None,
                _ => head.understand(marker, segment),
            }
            at += length.max(2);
        }
    }

    fn understand(&mut self, marker: u8, segment: &[u8]) {
        match marker {
            0xc4 => self.has_huffman_tables = true,
            0xe0 if segment.starts_with(b"JFIF") => self.is_jfif = true,
            0xee if segment.starts_with(b"Adobe") => {
                self.adobe_transform = segment.get(11).copied()
            }
            0xc0..=0xcf if marker != 0xc8 && marker != 0xcc && self.frame.is_none() => {
                self.frame = Frame::of(marker, segment);
            }
            _ => {}
        }
    }

    /// Return the meaning of the components, by the rules of libjpeg.
    pub(super) fn colors(&self, frame: &Frame) -> Colors {
        let are_plain = match frame.components.len() {
            1 => false,
            3 => match (self.is_jfif, self.adobe_transform) {
                (true, _) => false,
                (false, Some(transform)) => transform == 0,
                (false, None) => frame.components.iter().map(|component| component.id).eq(*b"RGB"),
            },
            _ => true,
        };
        if are_plain { Colors::AsTheyAre } else { Colors::Brightness }
    }
}

impl Frame {
    fn of(marker: u8, segment: &[u8]) -> Option<Self> {
        let process = match marker {
            0xc0 | 0xc1 => Process::Baseline,
            0xc2 => Process::Progressive,
            0xc3 => Process::Lossless,
            0xc9..=0xcb => Process::Arithmetic,
            _ => Process::Hierarchical,
        };
        let (head, components) = segment.split_first_chunk::<6>()?;
        let components = components.as_chunks::<3>().0.iter().take(head[5].into());
        Some(Self {
            process,
            bits: head[0],
            height: u16::from_be_bytes([head[1], head[2]]).into(),
            width: u16::from_be_bytes([head[3], head[4]]).into(),
            components: components
                .map(|[id, sampling, _]| Component {
                    id: *id,
                    across: sampling >> 4,
                    down: sampling & 15,
                })
                .collect(),
        })
    }

    /// Return whether the brightness is sampled at least as finely as all other components, by
    /// common factors.
    pub(super) fn is_brightness_finest(&self) -> bool {
        let Some(first) = self.components.first() else { return false };
        self.components.iter().all(|component| {
            let factors = [component.across, component.down];
            factors.iter().all(|factor| matches!(factor, 1 | 2 | 4))
                && component.across <= first.across
                && component.down <= first.down
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
        [&[0xff, marker][..], &length, content].concat()
    }

    fn stream(segments: &[Vec<u8>]) -> Vec<u8> {
        [vec![0xff, 0xd8], segments.concat(), segment(0xda, &[3]), vec![0; 4]].concat()
    }

    fn frame(marker: u8, samplings: [u8; 3]) -> Vec<u8> {
        let components: Vec<u8> =
            samplings.iter().zip(1..).flat_map(|(s, id)| [id, *s, 0]).collect();
        segment(marker, &[&[8, 0, 5, 0, 7, 3][..], &components].concat())
    }

    #[test]
    fn kind_size_and_tables_are_seen() {
        let head = Head::of(&stream(&[frame(0xc0, [0x22, 0x11, 0x11])])).unwrap();
        let seen = head.frame.clone().unwrap();
        assert_eq!(
            (seen.width, seen.height, seen.bits, seen.process),
            (7, 5, 8, Process::Baseline)
        );
        assert!(
            seen.is_brightness_finest() && !head.has_huffman_tables && head.scan_components == 3
        );
        assert!(Head::of(&stream(&[segment(0xc4, &[0])])).unwrap().has_huffman_tables);
        let kinds =
            [(0xc2, Process::Progressive), (0xc3, Process::Lossless), (0xc9, Process::Arithmetic)];
        for (marker, process) in kinds {
            let head = Head::of(&stream(&[frame(marker, [0x11; 3])])).unwrap();
            assert_eq!(head.frame.unwrap().process, process);
        }
    }

    #[test]
    fn brightness_that_is_coarser_than_colors_is_seen() {
        let is_finest = |marker, samplings| {
            Head::of(&stream(&[frame(marker, samplings)]))
                .unwrap()
                .frame
                .unwrap()
                .is_brightness_finest()
        };
        assert!(is_finest(0xc0, [0x11; 3]) && is_finest(0xc2, [0x41, 0x11, 0x11]));
        assert!(!is_finest(0xc0, [0x11, 0x22, 0x22]) && !is_finest(0xc0, [0x21, 0x12, 0x11]));
        assert!(!is_finest(0xc0, [0x31, 0x11, 0x11]) && !is_finest(0xc0, [0; 3]));
    }

    #[test]
    fn colors_are_told_by_marks_first_and_by_names_last() {
        let adobe = |transform| segment(0xee, &[&b"Adobe\0d\0\0\0\0"[..], &[transform]].concat());
        let colors = |segments: &[Vec<u8>]| {
            let head = Head::of(&stream(segments)).unwrap();
            head.colors(&head.frame.clone().unwrap())
        };
        let three = frame(0xc0, [0x11; 3]);
        assert_eq!(colors(std::slice::from_ref(&three)), Colors::Brightness);
        assert_eq!(colors(&[adobe(0), three.clone()]), Colors::AsTheyAre);
        assert_eq!(colors(&[adobe(1), three.clone()]), Colors::Brightness);
        assert_eq!(colors(&[segment(0xe0, b"JFIF\0"), adobe(0), three]), Colors::Brightness);
        let named = segment(0xc0, &[8, 0, 5, 0, 7, 3, b'R', 0x11, 0, b'G', 0x11, 0, b'B', 0x11, 0]);
        assert_eq!(colors(&[named]), Colors::AsTheyAre);
    }

    #[test]
    fn whatever_it_is_it_is_looked_through_to_its_end() {
        let whole = stream(&[segment(0xe0, b"JFIF\0"), frame(0xc0, [0x11; 3])]);
        for end in 0..whole.len() {
            let _ = Head::of(&whole[..end]);
            for byte in [0, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[end] = byte;
                let _ = Head::of(&bytes);
            }
        }
    }
}
