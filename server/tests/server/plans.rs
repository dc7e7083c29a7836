//! How the engines carry out every statement of the product: by a key or an index, to the rows that
//! it is about.
//!
//! The statements come from the product itself. Debug builds note each statement that an engine
//! prepares (`store/statements.rs`); the tests of the store run once more in a process of their own
//! and leave their notes. A statement that stands in the source and was never prepared fails the
//! test, too: it needs a test that runs it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use seatmeter_server::store::statements::VARIABLE;
use seatmeter_server::store::{Location, Opened};
use serde_json::Value;

use crate::support::{POSTGRES, execute};
use seatmeter_e2e::postgres::Cluster;

/// Tests that together run every statement of a store.
const TESTS: [&str; 19] = [
    "access::",
    "alerts::",
    "metrics::",
    "sessions::",
    "audit::",
    "correction::",
    "edited::",
    "export::",
    "time::",
    "authorizations::",
    "usage::",
    "operation::",
    "queries::",
    "everyday::",
    "plan::",
    "scenarios::every",
    "store::",
    "cli::usage",
    "trust::",
];

/// Of these, what runs every statement that is PostgreSQL's own: look-ups and insertions of many
/// rows, and locks.
const TESTS_ON_POSTGRES: [&str; 4] = ["usage::", "scenarios::every", "store::", "queries::"];

/// Tables that have one row or a few for an item, for a person's decision, or in all.
const SMALL: [&str; 18] = [
    "admin_session",
    "admin_token",
    "admin_user",
    "alert_threshold",
    "audit_head",
    "compacted",
    "database_cluster",
    "epoch",
    "handshake_code",
    "handshake_item",
    "item_allowed",
    "item_held",
    "item_used",
    "last_done",
    "organization",
    "server_key",
    "server_time",
    "year_excess",
];

/// Statements that may read more than they are about, by how they begin, and why.
const EXCEPTIONS: [(&str, &str); 35] = [
    ("UPDATE device_identity SET first_granted_at", "an operator accepts a clock"),
    (
        "SELECT count(DISTINCT device_uuid) FROM device",
        "scrapes count all devices, every 5 minutes at most",
    ),
    (
        "SELECT count(DISTINCT device_uuid) FROM local_license",
        "scrapes count all devices, every 5 minutes at most",
    ),
    (
        "SELECT kind, subject, what, level, organization_id, detail, alert_id, fired_at,",
        "an operator lists all alerts",
    ),
    (
        "SELECT kind, subject, what, level, organization_id, detail, event_id, at, event, alert_id \
         FROM alert_event ORDER BY",
        "it reads the first rows of an index, up to its limit",
    ),
    (
        "SELECT kind, subject, what, level, organization_id, detail, event_id, at, event, alert_id \
         FROM alert_event WHERE organization_id",
        "it reads the first rows of an index, up to its limit; of that by time where nearly all \
         events are of one organization",
    ),
    ("SELECT alert_id, kind, subject FROM alert WHERE recovered_at", "every 10 minutes"),
    ("SELECT item_id, percents FROM alert_threshold", "every 10 minutes, what operators have set"),
    ("SELECT organization_id FROM organization ORDER BY", "once a week or month, for summaries"),
    ("DELETE FROM last_done WHERE what LIKE", "an operator switches webhooks on again"),
    (
        "SELECT authorization_hour.handshake_code, organization_id, CAST(sum(granted)",
        "every 10 minutes, for all codes",
    ),
    ("DELETE FROM authorization_hour WHERE", "once an hour, among the counts of 26 hours"),
    (
        "SELECT segment.handshake_code, segment.item_id, segment.device_uuid,",
        "an export reads everything",
    ),
    ("SELECT item_id FROM license_item ORDER BY item_id", "compaction visits every item"),
    ("SELECT min(slot) FROM slot_sum", "it reads the first row alone"),
    ("SELECT min(day) FROM active_day", "it reads the first row alone"),
    ("SELECT min(day) FROM usage_day", "it reads the first row alone"),
    (
        "SELECT seat_holder.device_uuid, coalesce(device_name.name,",
        "it reads the first rows of an index, up to its limit",
    ),
    (
        "SELECT module, CAST(sum(used - lost) AS BIGINT) FROM allowance",
        "once, when an item becomes strict",
    ),
    ("SELECT audit.audit_id, at, actor,", "a check of the audit log reads all of it"),
    (
        "UPDATE license_file SET organization_id",
        "once, when a file that was edited in the database is imported again",
    ),
    ("SELECT file_id FROM license_file ORDER BY file_id", "a check of all license files"),
    ("SELECT DISTINCT server_key_id FROM license_file", "once, when a server starts"),
    (
        "SELECT item_id, file_id, organization_id, revoked_at",
        "an operator lists or exports what vendors have sold",
    ),
    (
        "SELECT handshake_code, organization_id, CASE WHEN password_hash",
        "an operator lists what operators have made",
    ),
    ("SELECT min(hour) FROM refusal", "it reads the first row alone"),
    ("SELECT min(day) FROM item_day", "it reads the first row alone"),
    ("SELECT item_id, (SELECT min(day) FROM item_day", "an operator asks how all items stand"),
    (
        "SELECT holder, issued_at, valid_until FROM local_license",
        "an operator asks for all hosts of an item",
    ),
    (
        "SELECT code, refused, last_at, last_detail, last_asked,",
        "an operator asks for all hosts that were refused",
    ),
    (
        "SELECT device_uuid, item_id FROM device WHERE device_uuid IN",
        "an operator names a device as people do",
    ),
    (
        "SELECT handshake_code FROM handshake_code WHERE organization_id",
        "an operator asks about an organization, or deletes it",
    ),
    (
        "SELECT item_id, device_uuid, from_slot, seats FROM device_seats",
        "an export reads everything",
    ),
    ("DELETE FROM organization", "an operator deletes one, and references to it are looked for"),
    ("DELETE FROM admin_session", "when the data was put back, all sessions end"),
];

/// Source files whose statements are of one engine or of its tests, or run once when a database is
/// brought up to date, backed up or checked.
const NOT_OF_EVERY_STORE: [&str; 8] = [
    "check.rs",
    "sqlite/batches.rs",
    "sqlite/migration.rs",
    "sqlite/copy.rs",
    "sqlite/engine.rs",
    "sqlite/inline.rs",
    "sqlite/pages.rs",
    "postgres/",
];

/// Of `sql/recorded.rs`, the one that checks the sums of a simulation.
const OF_SIMULATIONS: &str =
    "SELECT segment.device_uuid, used.segment_id, used.day, used.totals, used.step FROM";

#[test]
fn no_statement_on_sqlite_scans_a_table_or_all_rows_of_an_item() {
    let statements = of_sqlite();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seatmeter.db");
    drop(Location::File(path.clone()).open().unwrap());
    let database = rusqlite::Connection::open(path).unwrap();
    let plan = |statement: &str| {
        let mut asked = database.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
        let nothing = vec![rusqlite::types::Null; asked.parameter_count()];
        let lines = asked.query_map(rusqlite::params_from_iter(nothing), |row| row.get(3)).unwrap();
        lines.collect::<Result<Vec<String>, _>>().unwrap()
    };
    assert!(
        !sqlite_offends("SELECT 1 FROM device WHERE item_id = ?1 AND last_seen_at > 1", &plan)
            .is_empty()
    );
    assert!(!sqlite_offends("SELECT 1 FROM device WHERE last_seen_at > 1", &plan).is_empty());
    assert!(
        !sqlite_offends("SELECT 1 FROM license_file WHERE root_key = ?1 LIMIT 1", &plan).is_empty()
    );
    let offenders = statements.iter().filter(|statement| !is_excepted(statement));
    let offenders: Vec<_> =
        offenders.flat_map(|statement| sqlite_offends(statement, &plan)).collect();
    assert!(offenders.is_empty(), "{}", offenders.join("\n"));
}

#[test]
fn no_statement_on_postgresql_scans_a_table_or_all_rows_of_an_item() {
    let Some(cluster) = Cluster::start(false) else {
        use std::io::Write;
        let _ = writeln!(
            std::io::stderr(),
            "skipped: PostgreSQL (initdb, postgres) is not on this machine"
        );
        return;
    };
    let statements = of_postgres(&cluster);
    let location = Location::Url(cluster.url(&cluster.new_database()));
    let Opened { store, .. } = location.open().unwrap();
    drop(store);
    execute(&location, FILLED);
    let Location::Url(url) = &location else { unreachable!() };
    let mut client = postgres::Client::connect(url, postgres::NoTls).unwrap();
    // As the product's own connections are set.
    client
        .batch_execute(
            "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET \
             jit = off;
             SET plan_cache_mode = force_generic_plan",
        )
        .unwrap();
    let mut offends = |statement: &str| postgres_offends(statement, &mut client);
    assert!(!offends("SELECT 1 FROM device WHERE item_id = $1 AND last_seen_at > 1").is_empty());
    assert!(!offends("SELECT 1 FROM device WHERE last_seen_at > 1").is_empty());
    assert!(
        !offends("SELECT device_uuid FROM device WHERE item_id = $1 ORDER BY last_seen_at LIMIT 1")
            .is_empty()
    );
    let offenders = statements.iter().filter(|statement| !is_excepted(statement));
    let offenders: Vec<_> = offenders.flat_map(|statement| offends(statement)).collect();
    assert!(offenders.is_empty(), "{}", offenders.join("\n"));
}

fn is_excepted(statement: &str) -> bool {
    EXCEPTIONS.iter().any(|(begins, _)| statement.starts_with(begins))
}

/// Return every statement that SQLite prepares while the tests of a store run, each in one line.
fn of_sqlite() -> &'static BTreeSet<String> {
    static STATEMENTS: OnceLock<BTreeSet<String>> = OnceLock::new();
    STATEMENTS.get_or_init(|| {
        let mut tests = Command::new(std::env::current_exe().unwrap());
        let statements = noted("SQLite", tests.args(TESTS).env_remove(POSTGRES));
        require_all("SQLite", &statements);
        statements
    })
}

/// Return every statement of PostgreSQL: what it shares with SQLite, word for word, and what is its
/// own.
pub(crate) fn of_postgres(cluster: &Cluster) -> BTreeSet<String> {
    let mut tests = Command::new(std::env::current_exe().unwrap());
    tests.args(TESTS_ON_POSTGRES).env(POSTGRES, cluster.url("DB"));
    tests.args(["--skip", "what_is_no_database_is_refused", "--skip", "restore::"]);
    let mut statements = noted("PostgreSQL", &mut tests);
    let of_many_rows = statements.iter().filter(|statement| statement.contains("unnest(")).count();
    assert!(of_many_rows > 20, "{of_many_rows} look-ups and insertions of many rows");
    statements.extend(of_sqlite().iter().map(|statement| statement.replace('?', "$")));
    require_all("PostgreSQL", &statements);
    statements
}

/// Return what an engine prepares while these tests run.
fn noted(engine: &str, tests: &mut Command) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let notes = folder.path().join("statements");
    let output = tests.env(VARIABLE, &notes).output().unwrap();
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", told(&output.stdout), told(&output.stderr));
    let notes =
        std::fs::read_to_string(notes).expect("statements were noted: this is a debug build");
    let pairs = notes.lines().map(|line| serde_json::from_str::<(String, String)>(line).unwrap());
    pairs.filter(|(by, _)| by == engine).map(|(_, text)| in_one_line(&text)).collect()
}

/// Require that each statement of the source was prepared.
fn require_all(engine: &str, statements: &BTreeSet<String>) {
    let as_written: Vec<String> = statements.iter().map(|text| text.replace('$', "?")).collect();
    let missing: Vec<_> = in_source(engine)
        .into_iter()
        .filter(|pieces| !as_written.iter().any(|text| holds(text, pieces)))
        .map(|pieces| pieces.join("{…}"))
        .collect();
    assert!(missing.is_empty(), "no test runs these on {engine}:\n{}", missing.join("\n"));
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the pieces stand in the text, one after another, from its begin on.
fn holds(text: &str, pieces: &[String]) -> bool {
    let mut rest = text;
    pieces.iter().enumerate().all(|(number, piece)| {
        let at = rest.find(piece.as_str()).filter(|at| number > 0 || *at == 0);
        at.inspect(|at| rest = &rest[at + piece.len()..]).is_some()
    })
}

/// Return the statements of the source, each as the pieces between what is put in when it runs.
fn in_source(engine: &str) -> Vec<Vec<String>> {
    let store = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/store"));
    let mut files = Vec::new();
    list(store, &mut files);
    let mut statements = Vec::new();
    for file in files {
        let name = file.strip_prefix(store).unwrap().to_str().unwrap();
        let own =
            if engine == "PostgreSQL" { "postgres/connection.rs" } else { "sqlite/connection.rs" };
        if name != own && NOT_OF_EVERY_STORE.iter().any(|part| name.starts_with(part)) {
            continue;
        }
        let source = std::fs::read_to_string(&file).unwrap();
        let product = source.split("#[cfg(test)]").next().unwrap();
        statements.extend(
            texts(product)
                .iter()
                .map(|text| in_one_line(text).replace('$', "?"))
                .filter_map(pieces),
        );
    }
    assert!(statements.len() > 50, "{} statements were found", statements.len());
    statements
}

/// Split a statement where something is put in; `None` when the text is no statement.
fn pieces(text: String) -> Option<Vec<String>> {
    let verbs = ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM "];
    if !verbs.iter().any(|verb| text.starts_with(verb)) || text.starts_with(OF_SIMULATIONS) {
        return None;
    }
    let mut rest = text.as_str();
    let mut pieces = Vec::new();
    while let Some((before, after)) = rest.split_once('{') {
        pieces.push(before.trim().to_owned());
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    pieces.push(rest.trim().to_owned());
    Some(pieces)
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// Return the texts between quotation marks of a Rust source without raw texts.
fn texts(source: &str) -> Vec<String> {
    let lines: Vec<&str> =
        source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let source = lines.join("\n").replace("'\"'", "").replace("\\\"", "").replace("\\\n", "");
    source.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Return what SQLite reads too much for a statement, by its plan.
fn sqlite_offends(statement: &str, plan: &dyn Fn(&str) -> Vec<String>) -> Vec<String> {
    // The others begin, keep and end transactions.
    if !["SELECT", "INSERT", "UPDATE", "DELETE"].iter().any(|verb| statement.starts_with(verb)) {
        return Vec::new();
    }
    let plan = plan(statement);
    let sorts = plan.iter().any(|line| line.contains("TEMP B-TREE"));
    let is_too_much = |line: &&String| {
        let table = line.split(' ').nth(1).unwrap_or_default();
        // One after another in the order of the key, as many as are asked for.
        let is_page = is_page(statement) && !sorts;
        let is_scan =
            line.starts_with("SCAN ") && !line.starts_with("SCAN CONSTANT ROW") && !is_page;
        let is_item =
            line.starts_with("SEARCH ") && line.ends_with("(item_id=?)") && !is_small(table);
        is_scan || is_item || line.contains("AUTOMATIC")
    };
    plan.iter().filter(is_too_much).map(|line| format!("{line}: {statement}")).collect()
}

/// Whether a statement lists a table, without looking for anything in it, up to a limit.
fn is_page(statement: &str) -> bool {
    statement.contains(" LIMIT ") && !statement.contains(" WHERE ")
}

/// Whether an item has few rows in this table; `item` is what statements call the table of items
/// itself.
fn is_small(table: &str) -> bool {
    SMALL.contains(&table) || ["license_item", "item"].contains(&table)
}

/// Return what PostgreSQL reads too much for a statement, by its plan.
fn postgres_offends(statement: &str, client: &mut postgres::Client) -> Vec<String> {
    if !["SELECT", "INSERT", "UPDATE", "DELETE"].iter().any(|verb| statement.starts_with(verb)) {
        return Vec::new();
    }
    let count = (1..20).take_while(|number| statement.contains(&format!("${number}"))).count();
    let nothing = vec!["NULL"; count].join(", ");
    let arguments = if count == 0 { String::new() } else { format!("({nothing})") };
    client.batch_execute(&format!("PREPARE asked AS {statement}")).unwrap();
    let plan =
        client.simple_query(&format!("EXPLAIN (FORMAT JSON) EXECUTE asked{arguments}")).unwrap();
    client.batch_execute("DEALLOCATE asked").unwrap();
    let text = plan.iter().find_map(|message| match message {
        postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let plan: Value = serde_json::from_str(text.unwrap()).unwrap();
    let mut offends = Vec::new();
    look_through(&plan[0]["Plan"], "", is_page(statement), &mut offends);
    offends.into_iter().map(|what| format!("{what}: {statement}")).collect()
}

/// `outer` is the table of the node above: that of a bitmap.
fn look_through(node: &Value, outer: &str, is_page: bool, offends: &mut Vec<String>) {
    let text = |name: &str| node[name].as_str().unwrap_or_default();
    let (kind, condition) = (text("Node Type"), text("Index Cond"));
    let table = node["Relation Name"].as_str().unwrap_or(outer);
    let is_page = is_page && !kind.contains("Sort");
    let by_item =
        condition.split(" AND ").all(|part| column(part) == "item_id") && !is_small(table);
    let is_too_much = match kind {
        "Seq Scan" => true,
        "Index Scan" | "Index Only Scan" | "Bitmap Index Scan" if condition.is_empty() => !is_page,
        "Index Scan" | "Index Only Scan" | "Bitmap Index Scan" => by_item,
        _ => false,
    };
    if is_too_much {
        offends.push(format!("{kind} of {table} by {condition:?}"));
    }
    for below in node["Plans"].as_array().into_iter().flatten() {
        look_through(below, table, is_page, offends);
    }
}

/// Return the column at the head of a condition such as `((item_id = $1)`.
fn column(condition: &str) -> &str {
    condition.trim_start_matches('(').split([' ', '(']).next().unwrap_or_default()
}

/// Rows in every table, nearly all of one item: so many that their order and number matter to a
/// plan.
const FILLED: &str = "
    INSERT INTO organization SELECT 'o' || i, 'O', 'c' || i, 'k' FROM \
    generate_series(1, 2000) AS i;
    INSERT INTO license_file SELECT 'f' || i, 'o' || i, 'k', 'p', 'k', 's', 1, 'k' FROM \
    generate_series(1, 2000) AS i;
    INSERT INTO license_item SELECT 'i' || i, 'f' || i, NULL FROM generate_series(1, 2000) AS i;
    INSERT INTO handshake_code SELECT 'c' || i, 'o' || i, 1, NULL, '{}', 0 FROM \
    generate_series(1, 2000) AS i;
    INSERT INTO handshake_item SELECT 'c' || i, 1, 'i' || i FROM generate_series(1, 2000) AS i;
    INSERT INTO admin_token SELECT 't' || i, 'h' || i, 'viewer', 'o' || i, 1 FROM generate_series(1, 2000) AS i;
    INSERT INTO admin_user SELECT 'u' || i, 'h', 'viewer', '', 1, 1 FROM generate_series(1, 2000) AS i;
    INSERT INTO admin_session SELECT 's' || i, 'u' || i, 1, 1 FROM generate_series(1, 2000) AS i;
    INSERT INTO item_used SELECT 'i' || i, 1, 0, 1 FROM generate_series(1, 2000) AS i;
    INSERT INTO item_held SELECT 'i' || i, 1 FROM generate_series(1, 2000) AS i;
    INSERT INTO item_allowed SELECT 'i' || i, 0, 1, 1 FROM generate_series(1, 2000) AS i;
    INSERT INTO year_excess SELECT 'i' || i, 0, 1 FROM generate_series(1, 2000) AS i;
    INSERT INTO commit_sequence SELECT 's' || i, 1 FROM generate_series(1, 2000) AS i;
    INSERT INTO compacted SELECT 'i' || i, 1 FROM generate_series(1, 2000) AS i;
    INSERT INTO device SELECT 'i1', 'd' || i, 'n', '1', 1, 1, i FROM generate_series(1, 20000) AS i;
    INSERT INTO device_name SELECT 'd' || i, 'n' FROM generate_series(1, 20000) AS i;
    INSERT INTO device_identity \
    SELECT 'd' || i, 'k', 1, 1, 1, 1, '[]', '', '', '', i, 0, 0, 0, 0 FROM \
    generate_series(1, 20000) AS i;
    INSERT INTO foreign_epoch SELECT 'e' || i, 1 FROM generate_series(1, 2000) AS i;
    INSERT INTO device_seats SELECT 'i1', 'd' || i, 1, 1 FROM generate_series(1, 20000) AS i;
    INSERT INTO local_license SELECT 'i1', 'd' || i, 'l' || i, 'c1', i, 1, 1, i, i, 'd' || i, i \
    FROM generate_series(1, 20000) AS i;
    INSERT INTO seat_holder SELECT 'i1', 'd' || i, 'd' || i, 1, i FROM generate_series(1, 20000) \
    AS i;
    INSERT INTO segment SELECT 'i1', 's' || i, 'l' || i, 'd' || i, 'c1', 1 FROM \
    generate_series(1, 20000) AS i;
    INSERT INTO allowance SELECT 'i1', 'd' || i, 0, 1, 1, 1, 0, 0 FROM generate_series(1, 20000) AS i;
    INSERT INTO slot_sum SELECT 'i1', i, 1 FROM generate_series(1, 20000) AS i;
    INSERT INTO usage_day SELECT 'i1', i / 100, 's' || i, 'x' FROM generate_series(1, 20000) AS i;
    INSERT INTO usage_old SELECT 'i1', i / 100, 's' || i, 'x' FROM generate_series(1, 20000) AS i;
    INSERT INTO active_day SELECT 'i1', i / 100, 'd' || i, 'x' FROM generate_series(1, 20000) AS i;
    INSERT INTO audit SELECT i, 1, 'a', 'a', 's', 'd', 'o' || i % 500, 'h' FROM \
    generate_series(1, 20000) AS i;
    INSERT INTO item_day SELECT 'i1', i, 1, 0, 1 FROM generate_series(1, 20000) AS i;
    INSERT INTO last_done SELECT 'w' || i, 1 FROM generate_series(1, 2000) AS i;
    INSERT INTO refusal SELECT 'i1', i / 100, 'd' || i, 'c1', -20120, 1, i, 'd', '', i, 'd', '', \
    '', 'n' || i FROM generate_series(1, 20000) AS i;
    INSERT INTO alert_event SELECT 'e' || i, i, 'fired', 'a' || i, 'quota', 'i1', '', 60, 'o1', \
    'd' FROM generate_series(1, 20000) AS i;
    INSERT INTO alert_delivery SELECT 'mail', 'e' || i, 'done', 1, 0, i, '' FROM \
    generate_series(1, 20000) AS i;
    ANALYZE";
