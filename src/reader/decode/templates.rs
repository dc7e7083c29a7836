//! The settings in use, and the templates that a program has loaded.
//!
//! | call | settings in use | templates |
//! |---|---|---|
//! | new reader, reset | the first ones | none |
//! | initialize with a text | the first ones, then each template of the text | those of the text |
//! | append a text | as they are, then each template of the text | those of the text too |
//! | update by numbers | as given | as they are |
//!
//! If two templates set the same key, the conflict mode decides whether the earlier or the later
//! value counts.

use super::profile::Profile;
use super::reading_error::{INDEX_INVALID, TEMPLATE_NAME_INVALID, explained};
use super::template_in::{Template, parse};
use super::template_out;
use crate::error::{Error, Result};

/// Most templates of one reader.
const TEMPLATES_MAX: usize = 1024;

/// The value that counts when a key is set twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// The earlier value.
    Ignore,
    /// The later value.
    Overwrite,
}

impl Conflict {
    /// Return the conflict mode with this number.
    ///
    /// # Errors
    /// -10038 when no mode has this number.
    pub fn from_number(number: i32) -> Result<Self> {
        match number {
            1 => Ok(Self::Ignore),
            2 => Ok(Self::Overwrite),
            _ => Err(Error::new(
                seatmeter_protocol::error_code::ErrorCode::PARAMETER_VALUE_INVALID,
                format!("conflictMode is {number}, not 1 (ignore) or 2 (overwrite)"),
            )),
        }
    }
}

/// The settings in use, and the templates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profiles {
    current: Profile,
    templates: Vec<(String, Profile)>,
}

impl Profiles {
    /// Return the settings in use.
    pub fn current(&self) -> &Profile {
        &self.current
    }

    /// Return the settings in use, to be changed.
    pub fn current_mut(&mut self) -> &mut Profile {
        &mut self.current
    }

    /// Return the settings of the template with this name, or the settings in use if the name is
    /// empty.
    ///
    /// # Errors
    /// -10036 when no template has this name.
    pub fn named(&self, name: &str) -> Result<&Profile> {
        if name.is_empty() {
            return Ok(&self.current);
        }
        let found = self.templates.iter().find(|(known, _)| known == name);
        found.map(|(_, profile)| profile).ok_or_else(|| {
            let message = format!("there is no template {name}; \"\" means the current settings");
            Error::new(TEMPLATE_NAME_INVALID, message)
        })
    }

    /// Restore the state of a new reader.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Replace everything with the templates of a text.
    ///
    /// # Errors
    /// -10030 to -10037 when the text cannot be read. Then nothing is changed.
    pub fn initialize(&mut self, text: &str, conflict: Conflict) -> Result<()> {
        let mut fresh = Self::default();
        fresh.append(text, conflict)?;
        *self = fresh;
        Ok(())
    }

    /// Add the templates of a text.
    ///
    /// # Errors
    /// Fails as [`Self::initialize`] does.
    pub fn append(&mut self, text: &str, conflict: Conflict) -> Result<()> {
        let templates = parse(text)?;
        if self.templates.len() + templates.len() > TEMPLATES_MAX {
            let message = format!("a reader has {TEMPLATES_MAX} templates at most");
            return Err(Error::new(super::reading_error::JSON_VALUE_INVALID, message));
        }
        let mut current = self.current.clone();
        for template in &templates {
            template.apply(&mut current, conflict)?;
        }
        let mut known = self.templates.clone();
        for template in &templates {
            keep(&mut known, template, conflict)?;
        }
        *self = Self { current, templates: known };
        Ok(())
    }

    /// Return the number of templates.
    pub fn count(&self) -> usize {
        self.templates.len()
    }

    /// Return the name of a template.
    ///
    /// # Errors
    /// -10008 when there is no template at this index.
    pub fn name(&self, index: i32) -> Result<&str> {
        let template = usize::try_from(index).ok().and_then(|index| self.templates.get(index));
        template.map(|(name, _)| name.as_str()).ok_or_else(|| explained(INDEX_INVALID))
    }

    /// Return the settings in use as the text of a template with this name.
    pub fn text(&self, name: &str) -> String {
        template_out::text(&self.current, name)
    }
}

/// Store a template under its name.
fn keep(known: &mut Vec<(String, Profile)>, template: &Template, conflict: Conflict) -> Result<()> {
    let mut profile = Profile::default();
    template.apply(&mut profile, Conflict::Overwrite)?;
    match known.iter_mut().find(|(name, _)| *name == template.name) {
        Some(_) if conflict == Conflict::Ignore => {}
        Some((_, old)) => *old = profile,
        None => known.push((template.name.clone(), profile)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::decode::reading_error as code;
    use crate::reader::decode::settings_table::word;

    const TWO: &str = r#"{"Version": "3.0", "ImageParameterContentArray": [
        {"Name": "P1", "ExpectedBarcodesCount": 10, "Timeout": 7, "BarcodeFormatIds": ["BF_QR_CODE", "BF_ONED"]},
        {"Name": "P2", "ExpectedBarcodesCount": 20, "Own": {"a": [1]}}]}"#;

    fn loaded(text: &str, conflict: Conflict) -> Result<Profiles> {
        let mut profiles = Profiles::default();
        profiles.initialize(text, conflict).map(|()| profiles)
    }

    fn word_of(profile: &Profile, at: usize) -> i32 {
        profile.settings().words()[at]
    }

    #[test]
    fn the_conflict_mode_says_whether_the_earlier_or_the_later_template_counts() {
        for (conflict, expected) in [(Conflict::Ignore, 10), (Conflict::Overwrite, 20)] {
            let profiles = loaded(TWO, conflict).unwrap();
            assert_eq!(word_of(profiles.current(), word::EXPECTED_COUNT), expected);
            assert_eq!(word_of(profiles.current(), word::TIMEOUT), 7, "what only one sets is set");
        }
    }

    #[test]
    fn a_template_has_a_name_and_its_own_settings() {
        let profiles = loaded(TWO, Conflict::Overwrite).unwrap();
        assert_eq!(
            (profiles.count(), profiles.name(0).unwrap(), profiles.name(1).unwrap()),
            (2, "P1", "P2")
        );
        assert_eq!(word_of(profiles.named("P1").unwrap(), word::EXPECTED_COUNT), 10);
        assert_eq!(word_of(profiles.named("P1").unwrap(), word::FORMATS), 0x0410_07ff);
        assert_eq!(word_of(profiles.named("P2").unwrap(), word::TIMEOUT), 10_000);
        assert_eq!(profiles.named("P3").unwrap_err().code, code::TEMPLATE_NAME_INVALID);
        assert_eq!(profiles.name(2).unwrap_err().code, code::INDEX_INVALID);
        assert_eq!(profiles.name(-1).unwrap_err().code, code::INDEX_INVALID);
    }

    #[test]
    fn what_goes_out_comes_in_again_as_it_was() {
        let mut profiles = loaded(
            r#"{"ImageParameter": {"Name": "P", "RegionDefinitionNameArray": ["R"], "Own": 5, "Timeout": 8,
                "FormatSpecificationNameArray": ["F"], "PDFReadingMode": {"Mode": "PDFRM_RASTER"},
                "BinarizationModes": [{"Mode": "BM_THRESHOLD", "BinarizationThreshold": 90}, {"Mode": "BM_LOCAL_BLOCK"}]},
               "RegionDefinition": {"Name": "R", "Left": 10, "Top": 20, "Right": 90, "Bottom": 80, "MeasuredByPercentage": 1},
               "FormatSpecification": {"Name": "F", "BarcodeFormatIds": ["BF_QR_CODE"]}}"#,
            Conflict::Overwrite,
        )
        .unwrap();
        assert_eq!(profiles.current().regions()[0].sides, [20, 10, 90, 80]);
        assert_eq!(
            profiles.current().argument("BinarizationModes", 0, "BinarizationThreshold").unwrap(),
            "90"
        );
        let text = profiles.text("P");
        let again = loaded(&text, Conflict::Overwrite).unwrap();
        assert_eq!(again.text("P"), text);
        assert_eq!(again.current().settings(), profiles.current().settings());
        assert_eq!(again.current().regions(), profiles.current().regions());
        assert!(text.contains("\"Own\"") && text.contains("\"FormatSpecification"), "{text}");
        assert!(
            text.contains(
                r#""WithoutEffect":["ImageParameter.BinarizationModes[0].BinarizationThreshold""#
            ),
            "{text}"
        );
        profiles.reset();
        assert_eq!(profiles, Profiles::default());
    }

    #[test]
    fn what_stands_around_the_json_is_forgiven() {
        let json = r#"{"ImageParameter": {"Name": "P", "Timeout": 7}}"#;
        for text in
            [format!("\u{feff}{json}"), format!("{json}\0\0"), format!(" \n{json}\r\n\0 \t")]
        {
            let profiles = loaded(&text, Conflict::Overwrite).unwrap();
            assert_eq!(word_of(profiles.current(), word::TIMEOUT), 7, "{text:?}");
        }
        let units = format!("\u{feff}{json}").encode_utf16().collect::<Vec<u16>>();
        for bytes in [
            units.iter().flat_map(|u| u.to_le_bytes()).collect::<Vec<u8>>(),
            units.iter().flat_map(|u| u.to_be_bytes()).collect(),
        ] {
            assert!(loaded(&super::super::text_of_file(&bytes), Conflict::Overwrite).is_ok());
        }
        assert_eq!(
            loaded(&format!("{json}\0{json}"), Conflict::Overwrite).unwrap_err().code,
            code::JSON_PARSE_FAILED
        );
    }

    #[test]
    fn a_setting_by_number_counts_after_a_template_that_says_otherwise() {
        let mut profiles = loaded(
            r#"{"ImageParameter": {"Name": "P", "RegionDefinitionNameArray": ["R"], "FormatSpecificationNameArray": ["F"]},
                "RegionDefinition": {"Name": "R", "BarcodeFormatIds": ["BF_QR_CODE"], "ExpectedBarcodesCount": 2},
                "FormatSpecification": {"Name": "F", "MinResultConfidence": 80}}"#,
            Conflict::Overwrite,
        )
        .unwrap();
        let mut words = *profiles.current().settings().words();
        assert_eq!(words[word::CONFIDENCE_MIN], 80, "a program sees what counts");
        (words[word::CONFIDENCE_MIN], words[word::FORMATS], words[word::EXPECTED_COUNT]) =
            (10, 2, 5);
        profiles.current_mut().update(words).unwrap();
        let current = profiles.current();
        assert_eq!(current.specifications[0].confidence_min, None);
        assert_eq!(
            (current.regions[0].formats, current.regions[0].expected_count),
            ([None, None], None)
        );
        assert!(!profiles.text("P").contains("\"MinResultConfidence\":80"));
    }

    #[test]
    fn a_text_that_cannot_be_changes_nothing_and_says_why() {
        let mut profiles = loaded(TWO, Conflict::Overwrite).unwrap();
        let before = profiles.clone();
        for (text, code) in [
            ("{", code::JSON_PARSE_FAILED),
            ("[]", code::JSON_TYPE_INVALID),
            ("{}", code::JSON_KEY_INVALID),
            (r#"{"ImageParameter": 5}"#, code::JSON_TYPE_INVALID),
            (r#"{"ImageParameter": {}}"#, code::JSON_NAME_KEY_MISSING),
            (r#"{"ImageParameter": {"Name": 7}}"#, code::JSON_TYPE_INVALID),
            (
                r#"{"ImageParameterArray": [{"Name": "A"}, {"Name": "A"}]}"#,
                code::JSON_NAME_VALUE_DUPLICATED,
            ),
            (r#"{"ImageParameter": {"Name": "A", "Timeout": -1}}"#, code::JSON_VALUE_INVALID),
            (r#"{"ImageParameter": {"Name": "A", "Timeout": "long"}}"#, code::JSON_TYPE_INVALID),
            (
                r#"{"ImageParameter": {"Name": "A", "BarcodeFormatIds": ["BF_NO"]}}"#,
                code::JSON_VALUE_INVALID,
            ),
            (
                r#"{"ImageParameter": {"Name": "A", "DeblurModes": [{"Mode": "DM_NO"}]}}"#,
                code::JSON_VALUE_INVALID,
            ),
            (
                r#"{"ImageParameter": {"Name": "A", "RegionDefinitionNameArray": ["R"]}}"#,
                code::JSON_NAME_REFERENCE_INVALID,
            ),
        ] {
            assert_eq!(
                profiles.append(text, Conflict::Overwrite).unwrap_err().code,
                code,
                "{text}"
            );
            assert_eq!(profiles, before);
        }
    }
}
