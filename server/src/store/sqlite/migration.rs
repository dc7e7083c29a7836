//! The migration of the tables by numbered scripts, forward only.
//!
//! The number of the last script that ran is SQLite's `user_version`. All missing scripts run in
//! one transaction that is exclusive from its start. Therefore two processes cannot run the same
//! script, and a kill in between leaves the old version intact.

use rusqlite::{Connection, TransactionBehavior};

use crate::error::Error;
use crate::store::sql;

/// All scripts; the number of a script is its place, counted from 1.
const SCRIPTS: [&str; 8] = [
    include_str!("../../../migrations/sqlite/0001_items_devices_usage.sql"),
    include_str!("../../../migrations/sqlite/0002_operation.sql"),
    include_str!("../../../migrations/sqlite/0003_policies.sql"),
    include_str!("../../../migrations/sqlite/0004_server_key.sql"),
    include_str!("../../../migrations/sqlite/0005_history_epoch.sql"),
    include_str!("../../../migrations/sqlite/0006_days.sql"),
    include_str!("../../../migrations/sqlite/0007_old_usage.sql"),
    include_str!("../../../migrations/sqlite/0008_paths.sql"),
];

/// The first version that records in which slots devices were active. Usage that was recorded
/// before is counted at the migration.
const WITH_ACTIVITY: usize = 3;

/// The first version that stores usage and activity by days.
const BY_DAYS: usize = 6;

/// Run the scripts that have not yet run on this database.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    let version = version(&transaction)?;
    if version > SCRIPTS.len() {
        return Err(Error::Setup(format!(
            "the database is of version {version}, this seatmeterd knows versions up to {}. Use \
             the newer \
             seatmeterd that wrote it.",
            SCRIPTS.len()
        )));
    }
    for script in &SCRIPTS[version..] {
        transaction.execute_batch(script)?;
    }
    if version < BY_DAYS {
        sql::bring_to_days(&*transaction)?;
    }
    if version < WITH_ACTIVITY {
        sql::count_activity(&*transaction)?;
    }
    transaction.pragma_update(None, "user_version", SCRIPTS.len() as i64)?;
    Ok(transaction.commit()?)
}

/// Refuse a database with tables of a version other than that of this program.
pub(super) fn require_current(connection: &Connection) -> Result<(), Error> {
    let version = version(connection)?;
    if version == SCRIPTS.len() {
        return Ok(());
    }
    Err(Error::Setup(format!(
        "the database is of version {version}, this seatmeterd reads version {}. Run \"seatmeterd \
         init\" on \
         the data directory to bring an older one up to date, or use a newer seatmeterd.",
        SCRIPTS.len()
    )))
}

fn version(connection: &Connection) -> Result<usize, Error> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(version as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::params;
    use seatmeter_protocol::charge_way::ChargeWay;
    use seatmeter_protocol::license::LicenseItem;

    #[test]
    fn migrating_again_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection.execute("INSERT INTO organization VALUES ('a', 'A', NULL)", []).unwrap();
        migrate(&mut connection).unwrap();
        let rows: u32 =
            connection.query_row("SELECT count(*) FROM organization", [], |r| r.get(0)).unwrap();
        assert_eq!((rows, version(&connection).unwrap()), (1, SCRIPTS.len()));
        require_current(&connection).unwrap();
    }

    /// The database has two devices with 3 and 4 seats in one slot, under an item of 5, from before
    /// there were sums.
    #[test]
    fn what_was_recorded_before_there_were_sums_is_added_up() {
        let mut connection = Connection::open_in_memory().unwrap();
        for script in &SCRIPTS[..2] {
            connection.execute_batch(script).unwrap();
        }
        connection.pragma_update(None, "user_version", 2).unwrap();
        let item = LicenseItem::new("item", ChargeWay::ConcurrentInstance, 5, 0, 1 << 40);
        let definition = serde_json::to_string(&item).unwrap();
        connection
            .execute_batch(
                "INSERT INTO organization VALUES ('o', 'O', NULL);
                 INSERT INTO license_file VALUES ('f', 'o', '', '', '', '', 0, '')",
            )
            .unwrap();
        connection
            .execute("INSERT INTO license_item VALUES ('item', 'f', ?1, NULL)", [definition])
            .unwrap();
        for (device, seats) in [("a", 3), ("b", 4)] {
            connection
                .execute(
                    "INSERT INTO local_license VALUES ('item', ?1, ?1, 'code', 1, ?2, ?2, 1800, \
                     9999, '')",
                    params![device, seats],
                )
                .unwrap();
            connection
                .execute("INSERT INTO segment VALUES ('item', ?1, ?1, ?1, 'code', 0)", [device])
                .unwrap();
            for slot in [11, 12] {
                connection
                    .execute(
                        "INSERT INTO usage VALUES ('item', ?1, ?2, 1, 4, 7)",
                        params![device, slot],
                    )
                    .unwrap();
            }
        }
        migrate(&mut connection).unwrap();
        let number =
            |query: &str| connection.query_row(query, [], |row| row.get::<_, u32>(0)).unwrap();
        assert_eq!(
            number("SELECT sum(serial + seats_asked) FROM local_license WHERE item_id = 'item'"),
            2 + 7
        );
        assert_eq!(number("SELECT used FROM item_used WHERE kind = 1 AND module = 0"), 28);
        assert_eq!(number("SELECT active FROM slot_sum WHERE slot = 11"), 7);
        assert_eq!(
            number("SELECT excess FROM year_excess WHERE year = 0"),
            4,
            "7 - 5 in each of two slots"
        );
    }

    #[test]
    fn a_database_of_a_newer_version_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "user_version", 1 + SCRIPTS.len() as i64).unwrap();
        assert!(migrate(&mut connection).unwrap_err().to_string().contains("newer"));
        assert!(require_current(&connection).is_err());
        let tables: u32 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0)).unwrap();
        assert_eq!(tables, 0);
    }
}
