//! A connection to PostgreSQL, as one of the engines behind [`crate::store::sql`].
//!
//! Rows that are wanted together are requested in one statement: their keys are passed as arrays,
//! one for each column. What has no answer that matters yet, such as a write or a savepoint, waits
//! for the next statement, and goes with it in one flight.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::cluster::Cluster;
use super::link::{Answer, Failure, Known, Message, Parameter};
use super::parameter::{Columns, Encoded, parameters, row};
use super::session::Session;
use super::{ANSWER_TIMEOUT, READ_TIMEOUT};
use crate::error::Error;
use crate::store::sql::{Kind, Row, Sql, Table, Value, Wanted, join};
use crate::store::statements;

/// A connection, and the known state of the transaction on it. The connection can be replaced.
pub(super) struct PgConnection {
    /// The open session; `None` while there is none.
    session: RefCell<Option<Session>>,
    /// The statements by their text, without their parameters' numbers.
    statements: RefCell<HashMap<String, Known>>,
    /// The statements that are sent before the next one.
    queue: RefCell<Vec<Queued>>,
    /// The rows that were asked for before they were wanted, with statement and keys.
    ahead: RefCell<Vec<Ahead>>,
    /// The locked items, each with the number of the savepoint after which it was locked.
    locked: RefCell<HashMap<String, u32>>,
    savepoint: Cell<u32>,
    met_another: Cell<bool>,
    is_lost: Cell<bool>,
    /// The time in which each flight must be answered.
    limit: Cell<Duration>,
    /// The limit of each statement of a transaction that only reads.
    reads_up_to: Cell<Option<Duration>>,
    /// Whether there is such a transaction.
    is_reading: Cell<bool>,
}

/// The statement that tells which standbys a commit waits for. Whether they are there makes no
/// difference: a commit waits until they are.
pub(super) const STANDBY_NAMES: &str = "SHOW synchronous_standby_names";

/// Rows that were asked for before they were wanted.
struct Ahead {
    text: String,
    keys: Vec<Encoded>,
    rows: Vec<Row>,
}

/// A message that waits for the next statement.
enum Queued {
    Simple(String),
    Run(Known, Vec<Encoded>),
}

impl Queued {
    fn message(&self) -> Message<'_> {
        match self {
            Self::Simple(text) => Message::Simple(text),
            Self::Run(statement, parameters) => {
                Message::Run(statement, parameters.iter().map(Encoded::parameter).collect())
            }
        }
    }
}

impl PgConnection {
    pub(super) fn new(session: Option<Session>) -> Self {
        Self {
            session: RefCell::new(session),
            statements: RefCell::default(),
            queue: RefCell::default(),
            ahead: RefCell::default(),
            locked: RefCell::default(),
            savepoint: Cell::new(0),
            met_another: Cell::new(false),
            is_lost: Cell::new(false),
            limit: Cell::new(ANSWER_TIMEOUT),
            reads_up_to: Cell::new(None),
            is_reading: Cell::new(false),
        }
    }

    /// Replace the connection.
    pub(super) fn replace(&self, session: Option<Session>) {
        // The statements are dropped first, because closing them needs the old connection.
        self.statements.borrow_mut().clear();
        *self.session.borrow_mut() = session;
        self.is_lost.set(false);
        self.forget();
    }

    /// Begin a short transaction with the next statement.
    pub(super) fn begin(&self) -> Result<(), Error> {
        let begin = self.with_session(|session| Ok(session.begin.clone()))?;
        self.forget();
        self.later(&begin);
        Ok(())
    }

    /// Let statements of transactions that only read take so long.
    pub(super) fn read_up_to(&self, limit: Duration) {
        self.reads_up_to.set(Some(limit));
    }

    /// Begin a transaction that sees the data of one instant, and only reads. A statement may take
    /// so long; without a limit, as long as it takes.
    pub(super) fn begin_snapshot(&self, statement_limit: Option<Duration>) -> Result<(), Error> {
        self.limit.set(statement_limit.map_or(READ_TIMEOUT, |limit| limit + ANSWER_TIMEOUT));
        self.reads_up_to.set(statement_limit);
        if self.is_reading.replace(true) {
            self.later("COMMIT");
        }
        self.batch(&format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {}; SET \
             LOCAL idle_in_transaction_session_timeout = 0",
            statement_limit.unwrap_or_default().as_millis()
        ))
    }

    /// Run statements without parameters and without wanted rows.
    pub(super) fn batch(&self, statements: &str) -> Result<(), Error> {
        self.later(statements);
        self.send_queue()
    }

    /// Run statements without parameters together with the next statement.
    pub(super) fn later(&self, statements: &str) {
        self.queue.borrow_mut().push(Queued::Simple(statements.to_owned()));
    }

    /// Run statements, whatever becomes of those that still wait.
    pub(super) fn batch_anyway(&self, statements: &str) -> Result<(), Error> {
        self.later(statements);
        self.ahead.borrow_mut().clear();
        let last = self.fly(vec![])?.pop();
        last.map_or(Ok(()), |last| last.map(|_| ()).map_err(|error| self.refused(&error)))
    }

    /// Forget the state of the transaction.
    pub(super) fn forget(&self) {
        self.queue.borrow_mut().clear();
        self.ahead.borrow_mut().clear();
        self.locked.borrow_mut().clear();
        self.savepoint.set(0);
        self.met_another.set(false);
    }

    /// Count another savepoint.
    pub(super) fn note_savepoint(&self) {
        self.savepoint.set(self.savepoint.get() + 1);
        self.ahead.borrow_mut().clear();
    }

    /// Forget the locks taken since the savepoint, because rolling back to it releases them.
    pub(super) fn forget_since_savepoint(&self) {
        let savepoint = self.savepoint.get();
        self.locked.borrow_mut().retain(|_, since| *since < savepoint);
    }

    /// Return whether the transaction has conflicted with another one, and would not fail again.
    pub(super) fn met_another(&self) -> bool {
        self.met_another.get()
    }

    /// Return whether the connection can no longer be used.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.get() || self.session.borrow().as_ref().is_none_or(Session::is_closed)
    }

    /// Return the number of the host that the connection goes to.
    pub(super) fn host(&self) -> Option<usize> {
        self.session.borrow().as_ref().map(|session| session.host)
    }

    /// Return the cluster of the session, if it is known.
    pub(super) fn cluster(&self) -> Option<Cluster> {
        self.session.borrow().as_ref().and_then(|session| session.cluster.clone())
    }

    /// Make the transaction durable. Return whether a synchronous standby had to have it, before
    /// and after.
    pub(super) fn commit_on_both(&self) -> Result<bool, Error> {
        let names = self.known(STANDBY_NAMES)?;
        let ask = || Message::Run(&names, Vec::new());
        let answers = self.answers(vec![ask(), Message::Simple("COMMIT"), ask()])?;
        let has_names = |answer: &Answer| {
            let name = answer.rows.first().and_then(|row| row.try_get::<_, &str>(0).ok());
            name.is_some_and(|name| !name.trim().is_empty())
        };
        Ok(answers.first().is_some_and(has_names) && answers.last().is_some_and(has_names))
    }

    /// Return whether the database has sent a warning since the last call.
    pub(super) fn has_warned(&self) -> bool {
        self.session.borrow().as_ref().is_some_and(|session| session.link.has_warned())
    }

    /// Lock these items, and those of these handshake codes, organizations and local licenses.
    pub(super) fn lock_items_of(
        &self,
        items: &[&str],
        codes: &[&str],
        organizations: &[&str],
        licenses: &[&str],
    ) -> Result<(), Error> {
        // Items are locked in order, so that two servers never wait for each other.
        let lock = "SELECT item_id FROM license_item WHERE item_id = ANY(ARRAY(
                SELECT unnest(?1::text[])
                UNION ALL SELECT item_id FROM handshake_item WHERE handshake_code = ANY(?2::text[])
                UNION ALL SELECT item_id FROM organization
                            JOIN handshake_item ON handshake_code = default_handshake_code
                           WHERE organization_id = ANY(?3::text[])
                UNION ALL SELECT item_id FROM local_license WHERE license_id = ANY(?4::text[])))
             ORDER BY item_id FOR UPDATE";
        let lists = [items, codes, organizations, licenses];
        let lists = lists.into_iter().map(Encoded::of_texts).collect::<Result<Vec<_>, _>>()?;
        let parameters = lists.iter().map(Encoded::parameter).collect();
        let since = self.savepoint.get();
        for mut row in self.run(lock, parameters)?.0 {
            self.locked.borrow_mut().insert(row.take(0)?, since);
        }
        Ok(())
    }

    fn with_session<T>(
        &self,
        use_it: impl FnOnce(&Session) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match &*self.session.borrow() {
            Some(session) => use_it(session),
            None => Err(Error::Store("PostgreSQL is not connected".to_owned())),
        }
    }

    /// Return the statement with this text, as it is sent.
    fn known(&self, text: &str) -> Result<Known, Error> {
        if let Some(known) = self.statements.borrow().get(text) {
            return Ok(known.clone());
        }
        // `?1` is `$1` here, and so on.
        let numbered = text.replace('?', "$");
        statements::note("PostgreSQL", &numbered);
        let known = if self.with_session(|session| Ok(session.is_pooled))? {
            Known::Text(numbered.into())
        } else {
            // Within a transaction that failed, nothing can be prepared: it must not begin later.
            self.send_queue()?;
            let prepared =
                self.with_session(|session| Ok(session.link.prepare(&numbered, self.limit.get())))?;
            Known::Named(prepared.map_err(|failure| self.failed(&failure))?)
        };
        self.statements.borrow_mut().insert(text.to_owned(), known.clone());
        Ok(known)
    }

    /// Send what waits and these messages. Return the answer to each.
    fn fly(
        &self,
        messages: Vec<Message<'_>>,
    ) -> Result<Vec<Result<Answer, tokio_postgres::Error>>, Error> {
        let queue = self.queue.take();
        let mut flight: Vec<Message<'_>> = queue.iter().map(Queued::message).collect();
        flight.extend(messages);
        let answers = self.with_session(|session| Ok(session.link.send(&flight, self.limit.get())));
        answers?.map_err(|failure| self.failed(&failure))
    }

    /// Send what waits and these messages. Return what these are answered, if nothing was refused.
    fn answers(&self, messages: Vec<Message<'_>>) -> Result<Vec<Answer>, Error> {
        let count = messages.len();
        let mut answers = Vec::new();
        for answer in self.fly(messages)? {
            answers.push(answer.map_err(|error| self.refused(&error))?);
        }
        Ok(answers.split_off(answers.len().saturating_sub(count)))
    }

    fn send_queue(&self) -> Result<(), Error> {
        if self.queue.borrow().is_empty() { Ok(()) } else { self.answers(vec![]).map(|_| ()) }
    }

    /// Run a statement. Return its rows, and the number of rows that it has changed.
    fn run(&self, text: &str, parameters: Vec<Parameter<'_>>) -> Result<(Vec<Row>, u64), Error> {
        let statement = self.known(text)?;
        let answer = self.answers(vec![Message::Run(&statement, parameters)])?.pop();
        let Answer { rows, changed } = answer.unwrap_or_default();
        Ok((rows.iter().map(row).collect::<Result<_, _>>()?, changed))
    }

    /// Run a statement without wanted rows together with the next one.
    fn run_later(&self, text: &str, parameters: Vec<Encoded>) -> Result<(), Error> {
        let statement = self.known(text)?;
        self.ahead.borrow_mut().clear();
        self.queue.borrow_mut().push(Queued::Run(statement, parameters));
        Ok(())
    }

    /// Return the rows for this statement, if they are here already.
    fn taken(&self, text: &str, keys: &[Encoded]) -> Option<Vec<Row>> {
        let mut ahead = self.ahead.borrow_mut();
        let at = ahead.iter().position(|known| known.text == text && known.keys == keys)?;
        Some(ahead.swap_remove(at).rows)
    }

    /// Record that no answer came, and say so.
    fn failed(&self, failure: &Failure) -> Error {
        if let Failure::Postgres(error) = failure
            && error.code().is_some()
        {
            return self.refused(error);
        }
        self.is_lost.set(true);
        unanswered(failure)
    }

    /// Record what an error means for the transaction and the connection, and convert it.
    fn refused(&self, error: &tokio_postgres::Error) -> Error {
        let state = error.code();
        let other = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::UNIQUE_VIOLATION,
        ];
        if state.is_some_and(|state| other.contains(state)) {
            self.met_another.set(true);
        }
        if state.is_none_or(means_lost) {
            self.is_lost.set(true);
        }
        if state == Some(&SqlState::CHARACTER_NOT_IN_REPERTOIRE) {
            return Error::bad_request(
                "a text has a character that the database cannot keep, such as NUL",
            );
        }
        refused(error)
    }
}

/// Return whether a connection with this error is of no more use.
fn means_lost(state: &SqlState) -> bool {
    let lost = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::DATABASE_DROPPED,
        SqlState::IDLE_SESSION_TIMEOUT,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::READ_ONLY_SQL_TRANSACTION,
        // The session is not the one that has prepared this connection's statements.
        SqlState::INVALID_SQL_STATEMENT_NAME,
        SqlState::DUPLICATE_PSTATEMENT,
    ];
    // Class 08 has the errors of connections, such as those that a pooler makes.
    lost.contains(state) || state.code().starts_with("08")
}

/// Say what the database has refused.
pub(super) fn refused(error: &tokio_postgres::Error) -> Error {
    Error::Store(match error.as_db_error() {
        Some(error) => format!("PostgreSQL says {} ({})", error.message(), error.code().code()),
        None => format!("PostgreSQL does not answer: {error}"),
    })
}

/// Say that no answer came.
pub(super) fn unanswered(failure: &Failure) -> Error {
    match failure {
        Failure::Postgres(error) => refused(error),
        Failure::Late(limit) => {
            Error::Store(format!("PostgreSQL gave no answer within {} s", limit.as_secs_f32()))
        }
    }
}

impl Sql for PgConnection {
    fn execute(&self, statement: &str, values: &[Value<'_>]) -> Result<usize, Error> {
        let changed = self.run(statement, parameters(values))?.1;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    fn query(&self, statement: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        if !self.ahead.borrow().is_empty()
            && let Some(rows) = self.taken(statement, &encoded(values)?)
        {
            return Ok(rows);
        }
        self.run(statement, parameters(values)).map(|(rows, _)| rows)
    }

    fn for_each(
        &self,
        statement: &str,
        values: &[Value<'_>],
        each: &mut dyn FnMut(Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let statement = self.known(statement)?;
        self.send_queue()?;
        let limit = self.limit.get();
        self.with_session(|Session { link, .. }| {
            let rows = link.stream(&statement, &parameters(values), limit);
            let mut rows = rows.map_err(|failure| self.failed(&failure))?;
            while let Some(next) =
                link.next_row(&mut rows, limit).map_err(|failure| self.failed(&failure))?
            {
                each(row(&next)?)?;
            }
            Ok(())
        })
    }

    fn expect<'a>(&self, wanted: &dyn Fn() -> Vec<Wanted<'a>>) -> Result<(), Error> {
        let mut asked = Vec::new();
        for one in wanted() {
            let (text, keys) = match one {
                Wanted::Rows(_, keys) if keys.is_empty() => continue,
                Wanted::Rows(table, keys) => {
                    (find(table), Columns::of(table.key.iter(), &keys)?.encoded()?)
                }
                Wanted::Query(text, values) => (text.to_owned(), encoded(&values)?),
            };
            asked.push((self.known(&text)?, text, keys));
        }
        let messages = asked.iter().map(|(known, _, keys)| {
            Message::Run(known, keys.iter().map(Encoded::parameter).collect())
        });
        let answers = self.answers(messages.collect())?;
        let mut ahead = self.ahead.borrow_mut();
        for ((_, text, keys), answer) in asked.into_iter().zip(answers) {
            let rows = answer.rows.iter().map(row).collect::<Result<_, _>>()?;
            ahead.push(Ahead { text, keys, rows });
        }
        Ok(())
    }

    fn find(&self, table: &Table, keys: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        let text = find(table);
        let columns = Columns::of(table.key.iter(), keys)?;
        if !self.ahead.borrow().is_empty()
            && let Some(rows) = self.taken(&text, &columns.encoded()?)
        {
            return Ok(rows);
        }
        self.run(&text, columns.parameters()).map(|(rows, _)| rows)
    }

    fn put(&self, table: &Table, rows: &[Value<'_>]) -> Result<(), Error> {
        let text = format!(
            "INSERT INTO {} ({}) SELECT * FROM unnest({}) {}",
            table.name,
            table.names(""),
            arrays(table.columns()),
            table.on_conflict()
        );
        self.run_later(&text, Columns::of(table.columns(), rows)?.encoded()?)
    }

    fn remove(&self, table: &Table, keys: &[Value<'_>]) -> Result<(), Error> {
        let text = format!(
            "DELETE FROM {} AS found USING {} WHERE {}",
            table.name,
            wanted(table),
            is_wanted(table)
        );
        self.run_later(&text, Columns::of(table.key.iter(), keys)?.encoded()?)
    }

    fn begin_reading(&self) -> Result<(), Error> {
        self.begin_snapshot(self.reads_up_to.get())
    }

    fn end_reading(&self) -> Result<(), Error> {
        self.is_reading.set(false);
        self.batch("COMMIT")
    }

    fn settle(&self) -> Result<(), Error> {
        self.send_queue()
    }

    fn locked_items(&self) -> Vec<String> {
        let mut items: Vec<String> = self.locked.borrow().keys().cloned().collect();
        items.sort_unstable();
        items
    }

    fn size(&self) -> Result<Option<u64>, Error> {
        let rows = self.run("SELECT pg_database_size(current_database())", vec![])?.0;
        rows.into_iter().next().map(|mut row| row.take(0)).transpose()
    }

    fn lock_items(&self, item_ids: &[&str]) -> Result<(), Error> {
        let mut wanted: Vec<&str> = item_ids.to_vec();
        wanted.retain(|item_id| !self.locked.borrow().contains_key(*item_id));
        if wanted.is_empty() {
            return Ok(());
        }
        // Rows that were read before the lock may be out of date.
        self.ahead.borrow_mut().clear();
        // Items are locked in order, so that two servers never wait for each other.
        let lock =
            "SELECT item_id FROM license_item WHERE item_id = ANY(?1) ORDER BY item_id FOR UPDATE";
        self.run(lock, vec![Encoded::of_texts(&wanted)?.parameter()])?;
        let since = self.savepoint.get();
        self.locked
            .borrow_mut()
            .extend(wanted.into_iter().map(|item_id| (item_id.to_owned(), since)));
        Ok(())
    }

    fn lock_devices(&self, uuids: &[&str]) -> Result<(), Error> {
        // A row that does not exist cannot be locked. Without these locks, two servers could bind
        // a UUID that is new to a key each.
        let reserve = "SELECT pg_advisory_xact_lock(wanted.number)::text FROM \
             (SELECT DISTINCT hashtextextended(uuid, 0) AS number FROM unnest(?1::text[]) AS uuid \
             ORDER BY number) AS wanted";
        let lock = "SELECT device_uuid FROM device_identity WHERE device_uuid = ANY(?1) ORDER BY \
             device_uuid FOR UPDATE";
        // Nothing is read from them: what is locked is read by the next statement.
        for text in [reserve, lock] {
            let statement = self.known(text)?;
            self.queue.borrow_mut().push(Queued::Run(statement, vec![Encoded::of_texts(uuids)?]));
        }
        Ok(())
    }
}

fn encoded(values: &[Value<'_>]) -> Result<Vec<Encoded>, Error> {
    parameters(values).iter().map(|(value, kind)| Encoded::of(*value, kind)).collect()
}

/// Return the statement that looks up rows.
fn find(table: &Table) -> String {
    format!(
        "SELECT {} FROM {} JOIN {} AS found ON {}",
        table.names("found."),
        wanted(table),
        table.name,
        is_wanted(table)
    )
}

/// Return the keys that are looked up, as a table with the name `wanted`.
fn wanted(table: &Table) -> String {
    let names = join(table.key.iter().map(|(name, _)| (*name).to_owned()), ", ");
    format!("unnest({}) AS wanted ({names})", arrays(table.key.iter()))
}

/// Return the condition that a row with the name `found` is one of those.
fn is_wanted(table: &Table) -> String {
    table.is_it(|name| format!("found.{name}"), |_, name| format!("wanted.{name}"))
}

fn arrays<'a>(columns: impl Iterator<Item = &'a (&'static str, Kind)>) -> String {
    let array = |(number, (_, kind)): (usize, &(&str, Kind))| match kind {
        Kind::Integer | Kind::Sum | Kind::Highest | Kind::FirstInteger => {
            format!("${number}::bigint[]")
        }
        Kind::Text | Kind::FirstText => format!("${number}::text[]"),
        Kind::Bytes => format!("${number}::bytea[]"),
    };
    join((1..).zip(columns).map(array), ", ")
}
