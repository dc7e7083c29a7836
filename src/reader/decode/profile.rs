//! All settings of a reader: the numbers, and the settings that only a template or a mode argument
//! can express.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::pages::Pages;
use super::reading_error::{GET_MODE_ARGUMENT_ERROR, SET_MODE_ARGUMENT_ERROR};
use super::settings::{Region, SETTINGS_WORDS, Settings};
use super::settings_table::{Entry, Kind, TABLE, word};
use super::specification::{ALSO_A_NUMBER, Specification};
use crate::error::{Error, Result};

/// Most bytes of a mode argument, name and value together.
const ARGUMENT_BYTES_MAX: usize = 4096;

/// Most arguments of one mode.
const ARGUMENTS_MAX: usize = 64;

/// All settings of a reader.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    pub(super) settings: Settings,
    /// Regions of a template; empty when the region of the numbers counts.
    pub(super) regions: Vec<Region>,
    /// The arguments of modes, keyed by the name of the modes and the position among them.
    pub(super) arguments: BTreeMap<(&'static str, usize), BTreeMap<String, String>>,
    /// Keys of a template that this library does not know, kept to be written out again.
    pub(super) rest: Map<String, Value>,
    /// The requirements of a template on barcodes of some formats, in the whole picture.
    pub(super) specifications: Vec<Specification>,
    /// The pages of a file that a template selects.
    pub(super) pages: Pages,
    /// Parts and keys of a text that its templates do not use.
    pub(super) unused: BTreeSet<String>,
    /// Keys that a template has set. Under `Conflict::Ignore` a later template does not change
    /// them.
    pub(super) chosen: BTreeSet<String>,
}

impl Profile {
    /// Return the numbers.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Return the regions to search, one after another; none for the whole picture.
    pub fn regions(&self) -> Vec<Region> {
        if self.regions.is_empty() {
            self.settings.region().into_iter().collect()
        } else {
            self.regions.clone()
        }
    }

    /// Apply the settings of a program.
    ///
    /// # Errors
    /// Fails as [`Settings::checked`] does. Then nothing is changed.
    pub fn update(&mut self, words: [i32; SETTINGS_WORDS]) -> Result<()> {
        let settings = Settings::checked(words)?;
        // Regions of a template count until the program sets another region.
        if settings.region() != self.settings.region() {
            self.regions.clear();
        }
        let old = std::mem::replace(&mut self.settings, settings);
        self.let_numbers_count(&old);
        // An argument belongs to its mode.
        let new = &self.settings;
        self.arguments.retain(|(name, index), _| {
            TABLE
                .iter()
                .find(|entry| entry.name == *name)
                .is_some_and(|entry| old.values(entry).get(*index) == new.values(entry).get(*index))
        });
        Ok(())
    }

    /// Drop what a template says about settings that the program has changed since.
    fn let_numbers_count(&mut self, old: &Settings) {
        let (old, new) = (old.words(), self.settings.words());
        let is_changed = |at: usize| old[at] != new[at];
        let has_formats = is_changed(word::FORMATS) || is_changed(word::FORMATS_2);
        let has_count = is_changed(word::EXPECTED_COUNT);
        let keys: Vec<&str> =
            ALSO_A_NUMBER.iter().filter(|(at, _)| is_changed(*at)).map(|(_, key)| *key).collect();
        for region in &mut self.regions {
            region.formats = region.formats.map(|word| word.filter(|_| !has_formats));
            region.expected_count = region.expected_count.filter(|_| !has_count);
        }
        let of_regions = self.regions.iter_mut().flat_map(|region| &mut region.specifications);
        for specification in self.specifications.iter_mut().chain(of_regions) {
            keys.iter().for_each(|key| specification.forget(key));
        }
    }

    /// Set an argument of a mode.
    ///
    /// # Errors
    /// -10051 when there is no such mode.
    pub fn set_argument(&mut self, modes: &str, index: i32, name: &str, value: &str) -> Result<()> {
        let failed = |why: String| Error::new(SET_MODE_ARGUMENT_ERROR, why);
        let (entry, index) = self.mode(modes, index).map_err(failed)?;
        if name.is_empty() || name.len() + value.len() > ARGUMENT_BYTES_MAX {
            let why = format!(
                "an argument needs a name, and can have {ARGUMENT_BYTES_MAX} bytes at most"
            );
            return Err(Error::new(SET_MODE_ARGUMENT_ERROR, why));
        }
        let arguments = self.arguments.entry((entry.name, index)).or_default();
        if arguments.len() >= ARGUMENTS_MAX && !arguments.contains_key(name) {
            let why = format!("{modes}[{index}] has {ARGUMENTS_MAX} arguments already");
            return Err(Error::new(SET_MODE_ARGUMENT_ERROR, why));
        }
        arguments.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Return an argument of a mode.
    ///
    /// # Errors
    /// -10055 when there is no such mode, or the argument was not set.
    pub fn argument(&self, modes: &str, index: i32, name: &str) -> Result<&str> {
        let failed = |why: String| Error::new(GET_MODE_ARGUMENT_ERROR, why);
        let (entry, index) = self.mode(modes, index).map_err(failed)?;
        let arguments = self.arguments.get(&(entry.name, index));
        arguments
            .and_then(|arguments| arguments.get(name))
            .map(String::as_str)
            .ok_or_else(|| failed(format!("{modes}[{index}] has no argument {name} that was set")))
    }

    fn mode(
        &self,
        modes: &str,
        index: i32,
    ) -> std::result::Result<(&'static Entry, usize), String> {
        let has_arguments =
            |entry: &&Entry| matches!(entry.kind, Kind::Modes(_) | Kind::OneMode(_));
        let entry = TABLE
            .iter()
            .filter(has_arguments)
            .find(|entry| entry.name.eq_ignore_ascii_case(modes))
            .ok_or_else(|| format!("there are no modes with the name {modes}"))?;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        match self.settings.values(entry).get(index) {
            Some(mode) if *mode != 0 => Ok((entry, index)),
            Some(_) => Err(format!("{modes}[{index}] is skipped, and has no arguments")),
            None => Err(format!("{modes} has {} places", entry.count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::decode::settings_table::word;

    #[test]
    fn an_argument_is_kept_as_long_as_its_mode() {
        let mut profile = Profile::default();
        profile.set_argument("BinarizationModes", 0, "BlockSizeX", "17").unwrap();
        assert_eq!(profile.argument("BinarizationModes", 0, "BlockSizeX").unwrap(), "17");
        let mut words = *profile.settings().words();
        words[word::TIMEOUT] = 5;
        profile.update(words).unwrap();
        assert!(profile.argument("BinarizationModes", 0, "BlockSizeX").is_ok());
        words[word::BINARIZATION_MODES] = 4;
        profile.update(words).unwrap();
        assert!(profile.argument("BinarizationModes", 0, "BlockSizeX").is_err());
    }

    #[test]
    fn modes_that_are_not_there_have_no_arguments() {
        let mut profile = Profile::default();
        for (modes, index) in
            [("Nonsense", 0), ("Timeout", 0), ("BinarizationModes", 1), ("BinarizationModes", 8)]
        {
            assert_eq!(
                profile.set_argument(modes, index, "A", "1").unwrap_err().code,
                SET_MODE_ARGUMENT_ERROR
            );
            assert_eq!(
                profile.argument(modes, index, "A").unwrap_err().code,
                GET_MODE_ARGUMENT_ERROR
            );
        }
        assert!(profile.set_argument("BinarizationModes", -1, "A", "1").is_err());
    }
}
