//! The orientation of a picture, and the places of its points in the upright picture.
//!
//! Pictures are searched as they are in memory: turned symbols are read anyway, and places are
//! those of the stored pixels. A program that knows the orientation of its camera gets a matrix
//! that converts these places to the upright picture.

use seatmeter_protocol::error_code::ErrorCode;

use crate::error::{Error, Result};

/// The clockwise turn that makes a picture stand upright, and its size before the turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orientation {
    quarter_turns: u8,
    width: usize,
    height: usize,
}

impl Orientation {
    /// Check the degrees of a caller.
    ///
    /// # Errors
    /// -10063 for anything but a multiple of a quarter turn.
    pub(super) fn new(degrees: i32, width: usize, height: usize) -> Result<Self> {
        let quarter_turns = match degrees {
            0 => 0,
            90 => 1,
            180 => 2,
            270 => 3,
            _ => {
                let message = format!("orientation is {degrees}: set it to 0, 90, 180 or 270");
                return Err(Error::new(ErrorCode::IMAGE_ORIENTATION_INVALID, message));
            }
        };
        Ok(Self { quarter_turns, width, height })
    }

    /// Return the matrix, row by row, that converts a place in the stored picture to one in the
    /// upright picture.
    #[must_use]
    pub fn matrix(&self, is_in_percent: bool) -> [f64; 9] {
        // The last pixel of a row is at width - 1. In percent, the far side is at 100.
        let last =
            |pixels: usize| if is_in_percent { 100.0 } else { pixels.saturating_sub(1) as f64 };
        let (right, bottom) = (last(self.width), last(self.height));
        match self.quarter_turns {
            1 => [0.0, -1.0, bottom, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0],
            2 => [-1.0, 0.0, right, 0.0, -1.0, bottom, 0.0, 0.0, 1.0],
            3 => [0.0, 1.0, 0.0, -1.0, 0.0, right, 0.0, 0.0, 1.0],
            _ => [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(orientation: Orientation, (x, y): (f64, f64)) -> (f64, f64) {
        let m = orientation.matrix(false);
        (m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5])
    }

    #[test]
    fn the_top_left_pixel_comes_to_the_corner_that_the_turn_takes_it_to() {
        let at = |degrees| moved(Orientation::new(degrees, 30, 20).unwrap(), (0.0, 0.0));
        assert_eq!(
            [at(0), at(90), at(180), at(270)],
            [(0.0, 0.0), (19.0, 0.0), (29.0, 19.0), (0.0, 29.0)]
        );
    }

    #[test]
    fn four_quarter_turns_come_back() {
        let mut place = (7.0, 3.0);
        for size in [(30, 20), (20, 30), (30, 20), (20, 30)] {
            place = moved(Orientation::new(90, size.0, size.1).unwrap(), place);
        }
        assert_eq!(place, (7.0, 3.0));
    }

    #[test]
    fn an_orientation_between_the_quarters_is_refused_with_its_value() {
        for degrees in [45, -90, 360, i32::MIN] {
            let error = Orientation::new(degrees, 1, 1).unwrap_err();
            assert_eq!(error.code, ErrorCode::IMAGE_ORIENTATION_INVALID);
            assert!(error.message.contains(&degrees.to_string()), "{}", error.message);
        }
    }
}
