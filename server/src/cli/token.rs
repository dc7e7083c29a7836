//! The commands `seatmeterd token`: tokens of the admin API.

use std::io::Write;

use clap::{Args, Subcommand};

use super::operator::{Operator, actor, carry_out, list};
use super::{DataOption, output_error};
use crate::access::Role;
use crate::error::Error;
use crate::operator::access::NewToken;
use crate::operator::commands::{Change, View};
use crate::utc;

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make a token for the admin API; it is shown once
    Create(CreateArguments),
    /// List tokens with role, end and last use, without the tokens themselves
    List(DataOption),
    /// Revoke a token; it stops at once
    Revoke {
        /// The name of the token
        name: String,
        #[command(flatten)]
        data: DataOption,
    },
}

#[derive(Args, Debug)]
pub(super) struct CreateArguments {
    /// The name of the token, for the audit log; without it, the token gets a random name
    name: Option<String>,
    /// The role: viewer reads everything but secrets, operator changes handshake codes and devices,
    /// admin changes license files, keys, tokens and users
    #[arg(long, value_enum)]
    role: Role,
    /// Bind the token to this organization; without it, the token is good for all
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
    /// The end of the token, such as 2026-12-31 or 2026-12-31T18:00:00Z; without it, the token is
    /// good until it is revoked
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    #[command(flatten)]
    data: DataOption,
}

pub(super) fn run(command: &Token, output: &mut dyn Write) -> Result<(), Error> {
    match command {
        Token::Create(arguments) => create(arguments, output),
        Token::List(data) => list(data, View::Tokens, output),
        Token::Revoke { name, data } => {
            carry_out(data, Change::RevokeToken { name: name.clone() }, output)
        }
    }
}

fn create(arguments: &CreateArguments, output: &mut dyn Write) -> Result<(), Error> {
    let CreateArguments { name, role, organization, expires, data } = arguments;
    let new = NewToken {
        name: name.clone(),
        role: *role,
        organization_id: organization.clone(),
        expires_at: expires.as_deref().map(utc::seconds).transpose()?,
    };
    let operator = Operator::open(data)?;
    let made = operator.wait(operator.licensing.make_token(new, &actor()))?;
    // The token alone goes to standard output, so that a program can take it from there.
    writeln!(std::io::stderr(), "made token \"{}\", which is not shown again:", made.name)
        .map_err(output_error)?;
    writeln!(output, "{}", made.token).map_err(output_error)
}
