//! The command `seatmeterd domains explain`: what a host counts as under an item for domains, and
//! why.

use std::io::Write;

use clap::Args;

use super::output_error;
use crate::error::Error;
use crate::operator::queries::domains::HostExplanation;

/// Explain what a host counts as, and why
#[derive(Args, Debug)]
pub(super) struct ExplainArguments {
    /// A host such as shop.example.co.uk, or a URL
    host: String,
}

pub(super) fn explain(arguments: &ExplainArguments, output: &mut dyn Write) -> Result<(), Error> {
    let HostExplanation { host, counts_as, because, .. } = HostExplanation::of(&arguments.host)
        .map_err(|why| Error::Setup(format!("{:?} is not a host: {why}.", arguments.host)))?;
    writeln!(output, "host       {host}\ncounts as  {counts_as}\nbecause    {because}")
        .map_err(output_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(host: &str) -> Result<String, Error> {
        let mut output = Vec::new();
        explain(&ExplainArguments { host: host.to_owned() }, &mut output)?;
        Ok(String::from_utf8(output).unwrap())
    }

    #[test]
    fn what_a_host_counts_as_is_said_with_the_reason() {
        for (host, domain, reason) in [
            ("https://WWW.Company.com:443/", "company.com", "registry"),
            ("b.a.github.io", "a.github.io", "private section"),
            ("x.force.com", "x.force.com", "own list"),
            ("a.b.corp-intern", "b.corp-intern", "no rule"),
            ("co.uk", "nothing", "public suffix itself"),
            ("127.0.0.1", "127.0.0.1", "IP address"),
            ("localhost", "localhost", "only equal to itself"),
            ("intranet", "intranet", "one label"),
        ] {
            let text = explained(host).unwrap();
            assert!(text.contains(&format!("counts as  {domain}")), "{text}");
            assert!(text.contains(reason), "{text}");
        }
        assert!(
            matches!(explained("a b"), Err(Error::Setup(why)) if why.contains("\"a b\" is not a \
                host"))
        );
    }
}
