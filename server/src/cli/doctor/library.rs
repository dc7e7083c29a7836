//! The doctor's check of the library that the programs load: it reads what is built into the file,
//! without loading it.

use std::path::Path;

use seatmeter_protocol::built_in::{BuiltIn, find, root_keys};
use seatmeter_protocol::signature::PublicKey;

use super::{Findings, Health};
use crate::error::Error;
use crate::sharing::owner_of;

/// The greatest size of a library in bytes. Our library has some megabytes, and one with debugging
/// aids some hundred.
const BYTES_MAX: u64 = 1 << 30;

pub(super) fn examine(
    path: Option<&Path>,
    findings: &mut Findings<'_>,
) -> Result<Option<BuiltIn>, Error> {
    let Some(path) = path else {
        let finding =
            "whether a vendor's root key is built into the programs' library is not known";
        return findings
            .say(Health::Note, "library", finding, "name its file with --library to see")
            .map(|()| None);
    };
    let shown = path.display();
    let read = std::fs::metadata(path).and_then(|of| match of.is_file() && of.len() <= BYTES_MAX {
        true => std::fs::read(path),
        false => Err(std::io::ErrorKind::InvalidData.into()),
    });
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(e) => {
            let whose =
                owner_of(path, &e).map(|whose| format!(". {}", whose.trim_end_matches('.')));
            let todo = "name the file of the library, such as libseatmeter.so";
            let finding = format!("{shown} cannot be read: {e}{}", whose.unwrap_or_default());
            return findings.say(Health::Warning, "library", &finding, todo).map(|()| None);
        }
    };
    let Some(built_in) = find(&bytes) else {
        let finding = format!("{shown} does not say what is built into it");
        let todo = "name the file of the library itself, and not that of a program; older \
            versions do not say it";
        return findings.say(Health::Warning, "library", &finding, todo).map(|()| None);
    };
    say(&shown.to_string(), &built_in, findings)?;
    Ok(Some(built_in))
}

fn say(shown: &str, built_in: &BuiltIn, findings: &mut Findings<'_>) -> Result<(), Error> {
    let product = match (built_in.product_version.as_str(), built_in.product_edition.as_str()) {
        ("", "") => String::new(),
        (version, edition) => format!(", product version {version:?}, edition {edition:?}"),
    };
    let version = format!("{shown} is version {}{product}", built_in.library);
    if built_in.root_key.is_empty() {
        let finding = format!(
            "{version}; no root key is built in: it believes the key of the first server that \
             answers"
        );
        return findings.say(
            Health::Note,
            "library",
            &finding,
            "vendors build it with SEATMETER_ROOT_KEY",
        );
    }
    match root_keys(&built_in.root_key) {
        Ok(keys) => findings.good("library", &format!("{version}; {}", named(&keys))),
        Err(e) => {
            let finding = format!("{version}; the text built in as root key is not a key: {e}");
            let todo =
                "ask the vendor for a library that was built with a right SEATMETER_ROOT_KEY";
            findings.say(Health::Broken, "library", &finding, todo)
        }
    }
}

fn named(keys: &[PublicKey]) -> String {
    let ids: Vec<_> = keys.iter().map(PublicKey::id).collect();
    match &ids[..] {
        [id] => format!("root key {id} is built in"),
        ids => format!("{} root keys are built in: {}", ids.len(), ids.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(built_in: &BuiltIn) -> String {
        let mut output = Vec::new();
        let mut findings = Findings { output: &mut output, broken: 0, warnings: 0 };
        say("lib.so", built_in, &mut findings).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn a_root_key_that_is_built_in_is_named_and_none_and_a_wrong_one_are_told_apart() {
        let none = BuiltIn { library: "0.1.0".into(), ..BuiltIn::default() };
        let (key, _) = seatmeter_protocol::signature::SigningKey::generate().unwrap();
        let some = BuiltIn { root_key: key.public().to_string(), ..none.clone() };
        let wrong = BuiltIn { root_key: "secret".into(), ..none.clone() };
        let (next, _) = seatmeter_protocol::signature::SigningKey::generate().unwrap();
        let both = format!("{},{}", key.public(), next.public());
        let both = BuiltIn { root_key: both, ..none.clone() };
        assert!(
            lines(&none).starts_with("note") && lines(&none).contains("no root key is built in")
        );
        assert!(lines(&some).starts_with("ok") && lines(&some).contains(&key.public().id()));
        assert!(lines(&wrong).starts_with("BROKEN"));
        let said = lines(&both);
        assert!(said.starts_with("ok") && said.contains("2 root keys are built in"), "{said}");
        assert!(said.contains(&key.public().id()) && said.contains(&next.public().id()), "{said}");
    }
}
