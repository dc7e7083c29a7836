//! The command `seatmeterd domains explain`: what a host counts as under an item for domains, and
//! why.

use std::io::Write;

use clap::Args;

use super::output_error;
use crate::error::Error;
use crate::policy::charge_way::host::{CountsAs, Host, Listed};

/// Explain what a host counts as, and why
#[derive(Args, Debug)]
pub(super) struct ExplainArguments {
    /// A host such as shop.example.co.uk, or a URL
    host: String,
}

pub(super) fn explain(arguments: &ExplainArguments, output: &mut dyn Write) -> Result<(), Error> {
    let host = Host::parse(&arguments.host)
        .map_err(|why| Error::Setup(format!("{:?} is not a host: {why}.", arguments.host)))?;
    let counts_as =
        host.domain().unwrap_or("nothing: an item cannot list it, and no item covers it");
    writeln!(
        output,
        "host       {}\ncounts as  {counts_as}\nbecause    {}",
        host.as_text(),
        because(&host)
    )
    .map_err(output_error)
}

fn because(host: &Host) -> String {
    match host.counts_as() {
        CountsAs::Domain { registrable, suffix, listed } => format!(
            "the public suffix is {suffix} ({}); {registrable} is that and one label more, and \
             all hosts below it are \
             the same domain",
            place(*listed)
        ),
        CountsAs::Suffix(listed) => {
            format!(
                "it is a public suffix itself ({}): each name below it is a domain of its own",
                place(*listed)
            )
        }
        CountsAs::IpAddress => "it is an IP address, which is only equal to itself".to_owned(),
        CountsAs::Localhost => "localhost is only equal to itself".to_owned(),
        CountsAs::OneLabel => {
            "a name of one label that is no public suffix is only equal to itself".to_owned()
        }
    }
}

fn place(listed: Listed) -> &'static str {
    match listed {
        Listed::Icann => "of a registry, by the Public Suffix List",
        Listed::Private => {
            "of a host with many tenants, by the private section of the Public Suffix List"
        }
        Listed::Added => "of a host with many tenants, by this program's own list",
        Listed::Nowhere => "the last label, as the Public Suffix List has no rule for it",
    }
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
