//! The password of PostgreSQL, which never has to stand on a command line.
//!
//! A command line is visible to every user of the machine, in `ps` and `/proc/PID/cmdline`. If the
//! URL has no password, the first of these has it:
//!
//! 1. the file of `--database-password-file`, which has nothing but the password,
//! 2. the variable `SEATMETERD_DATABASE_PASSWORD`, then PostgreSQL's own `PGPASSWORD`,
//! 3. the file that the parameter `passfile` of the URL or `PGPASSFILE` names, else `~/.pgpass`, in
//!    PostgreSQL's format.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::error::Error;
use crate::sharing;

/// The parameter of a URL that names the file of the password. It is our own: PostgreSQL never
/// sees it.
const FILE_PARAMETER: &str = "password_file=";

/// The variables with a password, the stronger one first.
const VARIABLES: [&str; 2] = ["SEATMETERD_DATABASE_PASSWORD", "PGPASSWORD"];

/// The greatest size of a file with one password.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Return the URL with the name of the file that has its password.
pub(in crate::store) fn with_file(url: &str, file: &Path) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    let name = hex::encode(std::os::unix::ffi::OsStrExt::as_bytes(file.as_os_str()));
    format!("{url}{separator}{FILE_PARAMETER}{name}")
}

/// Split a URL into what PostgreSQL understands and the file that has its password.
pub(super) fn split(url: &str) -> (String, Option<PathBuf>) {
    let Some((before, name)) = url.rsplit_once(FILE_PARAMETER) else {
        return (url.to_owned(), None);
    };
    let bytes = hex::decode(name).unwrap_or_default();
    let path = PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&bytes));
    (before.trim_end_matches(['?', '&']).to_owned(), Some(path))
}

/// Give the configuration its password, if it has none.
pub(super) fn fill(
    config: &mut Config,
    file: Option<&Path>,
    pass_file: Option<PathBuf>,
) -> Result<(), Error> {
    if config.get_password().is_some() {
        return Ok(());
    }
    let found = match file {
        Some(file) => Some(of_file(file)?),
        None => match VARIABLES.into_iter().find_map(variable) {
            Some(password) => Some(password),
            None => of_pass_file(config, pass_file)?,
        },
    };
    if let Some(password) = found {
        config.password(password);
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "PostgreSQL's own programs read the same variables")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Read a file that only its owner, and the group of its directory, can read.
fn read_secret(path: &Path) -> Result<String, Error> {
    let no = |e: std::io::Error| {
        Error::Setup(format!("the password file {} cannot be read: {e}.", path.display()))
    };
    let file = std::fs::File::open(path).map_err(no)?;
    if !sharing::is_secret(&file.metadata().map_err(no)?, path) {
        return Err(Error::Setup(format!(
            "{0} has a password that other users can read. Run \"chmod 600 {0}\".",
            path.display()
        )));
    }
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::io::Read::take(file, FILE_BYTES_MAX), &mut text)
        .map_err(no)?;
    Ok(text)
}

fn of_file(path: &Path) -> Result<String, Error> {
    let text = read_secret(path)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.contains('\n') {
        return Err(Error::Setup(format!(
            "{} must have one line with the password of the database.",
            path.display()
        )));
    }
    Ok(password.to_owned())
}

/// Return the password from PostgreSQL's own password file, if there is one for this database.
fn of_pass_file(config: &Config, pass_file: Option<PathBuf>) -> Result<Option<String>, Error> {
    let named = pass_file.or_else(|| variable("PGPASSFILE").map(PathBuf::from));
    let usual = || variable("HOME").map(|home| PathBuf::from(home).join(".pgpass"));
    let Some(path) = named.clone().or_else(usual) else { return Ok(None) };
    match path.metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound && named.is_none() => return Ok(None),
        _ => {}
    }
    let text = read_secret(&path)?;
    Ok(text.lines().find_map(|line| of_line(line, config)))
}

/// Return the password of a line `HOST:PORT:DATABASE:USER:PASSWORD`, if the line is for this
/// database. An asterisk stands for everything, and a backslash takes its meaning from a character.
fn of_line(line: &str, config: &Config) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => fields.last_mut()?.extend(characters.next()),
            // A colon in the password needs no backslash.
            ':' if fields.len() < 5 => fields.push(String::new()),
            _ => fields.last_mut()?.push(c),
        }
    }
    let [host, port, database, user, password] = <[String; 5]>::try_from(fields).ok()?;
    let is = |field: &str, value: &str| field == "*" || field == value;
    let ports = config.get_ports();
    let is_host = config.get_hosts().iter().enumerate().any(|(n, of)| {
        let name = match of {
            Host::Tcp(name) => name.clone(),
            Host::Unix(_) => "localhost".to_owned(),
        };
        let at = ports.get(n).or(ports.first()).copied().unwrap_or(5_432);
        is(&host, &name) && is(&port, &at.to_string())
    });
    let of_user = config.get_user().unwrap_or_default();
    let is_ours =
        is_host && is(&database, config.get_dbname().unwrap_or(of_user)) && is(&user, of_user);
    (is_ours && !password.is_empty()).then_some(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_password_file_is_for_the_database_that_it_names() {
        let config: Config = "postgres://me@db.example:5433,two/licenses".parse().unwrap();
        let of = |line| of_line(line, &config);
        for line in [
            "db.example:5433:licenses:me:a:b",
            "*:*:*:*:a:b",
            "two:5432:licenses:me:a\\:b",
            "db.exampl\\e:*:licenses:me:a:b",
        ] {
            assert_eq!(of(line).as_deref(), Some("a:b"), "{line}");
        }
        for line in ["", "# *:*:*:*:x", "db.example:5432:licenses:me:x", "*:*:*:other:x", "*:*:*"] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    #[test]
    fn a_file_has_one_line_and_is_for_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pass word&?");
        let url = with_file("postgres://me@host/db?sslmode=require", &path);
        assert_eq!(
            split(&url),
            ("postgres://me@host/db?sslmode=require".to_owned(), Some(path.clone()))
        );
        let filled = |url: &str| {
            let (url, file) = split(url);
            let mut config: Config = url.parse().unwrap();
            fill(&mut config, file.as_deref(), None)
                .map(|()| config.get_password().map(<[u8]>::to_vec))
        };
        std::fs::write(&path, "open sesame\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(filled(&url), Ok(Some(b"open sesame".to_vec())));
        let own = with_file("postgres://me:own@host/db", &path);
        assert_eq!(filled(&own), Ok(Some(b"own".to_vec())));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(filled(&url).unwrap_err().to_string().contains("chmod 600"));
        std::fs::write(&path, "\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(filled(&url).unwrap_err().to_string().contains("one line"));
    }
}
