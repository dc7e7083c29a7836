//! A configuration file in which every key is explained, made from the definitions of the options.

use clap::{Arg, Command};

use super::{Kind, options};

/// The width of a line.
const WIDTH: usize = 96;

const HEAD: &str = "\
# Configuration of seatmeterd. Use it with \"seatmeterd serve --config FILE\", or by the variable
# SEATMETERD_CONFIG. Every key is an option of \"seatmeterd serve\". A flag on the command line comes
# before the variable, and the variable before this file. Relative paths start at the directory in
# which seatmeterd is started. \"seatmeterd config check --config FILE\" checks the file.
#
# Remove the \"#\" before a key to set it. The values here are the defaults, or show the form.
";

/// Return the sample.
pub(super) fn sample(serve: &Command) -> String {
    options(serve).filter(|option| !option.is_hide_set()).fold(
        HEAD.to_owned(),
        |mut text, option| {
            text.push('\n');
            text.push_str(&entry(option));
            text
        },
    )
}

fn entry(option: &Arg) -> String {
    let help = option.get_long_help().or(option.get_help());
    let help = help.map_or_else(String::new, ToString::to_string);
    let mut text = wrapped(&help);
    let key = option.get_long().unwrap_or_default();
    let variable = option.get_env().unwrap_or_default().to_string_lossy();
    text.push_str(&format!("# Variable: {variable}\n"));
    text.push_str(&format!("# {key} = {}\n", value(option)));
    text
}

fn value(option: &Arg) -> String {
    let kind = Kind::of(option);
    let mut values: Vec<String> =
        option.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
    if kind == Kind::Switch {
        values = vec!["false".to_owned()];
    } else if values.is_empty() {
        let name = option.get_value_names().and_then(|names| names.first());
        values = vec![name.map_or_else(|| "VALUE".to_owned(), ToString::to_string)];
    }
    kind.write(&values)
}

/// Return the text as lines of a comment.
fn wrapped(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::from("#"));
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    lines.push_str(&line);
    lines.push_str(".\n");
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::{check_text, serve};

    #[test]
    fn every_option_of_serve_has_a_variable_and_is_in_the_sample() {
        let serve = serve();
        let sample = sample(&serve);
        for option in serve.get_arguments() {
            let id = option.get_id().as_str();
            if ["help", "version", "config"].contains(&id) {
                continue;
            }
            let long = option.get_long().unwrap_or_else(|| panic!("{id} has no long name"));
            let variable = option.get_env().unwrap_or_else(|| panic!("{id} has no variable"));
            assert!(sample.contains(&format!("\n# {long} = ")), "{long} is missing");
            assert!(sample.contains(variable.to_str().unwrap()), "{variable:?} is missing");
        }
        assert!(sample.lines().all(|line| line.len() <= 100), "{sample}");
    }

    #[test]
    fn the_sample_is_a_file_that_sets_nothing_and_each_of_its_keys_can_be_set() {
        let serve = serve();
        let sample = sample(&serve);
        assert_eq!(check_text(&sample), Ok(String::new()));
        for option in options(&serve) {
            let key = format!("# {} = ", option.get_long().unwrap());
            let line = sample.lines().find(|line| line.starts_with(&key)).unwrap();
            let has_value =
                Kind::of(option) == Kind::Switch || !option.get_default_values().is_empty();
            let set = sample.replace(line, line.trim_start_matches("# "));
            match check_text(&set) {
                Ok(written) => assert_eq!(format!("# {written}"), format!("{line}\n")),
                // A placeholder such as "URL" need not be possible, but it has the right form.
                Err(faults) => {
                    assert!(!has_value && !faults[0].contains("is not"), "{faults:?}");
                }
            }
        }
    }
}
