-- The tables of the embedded store.
--
-- Where a table concerns a license item, its key begins with the item, so that it can be spread
-- over several machines by it. Organizations, license files and handshake codes are few and small:
-- every machine would have all of them. Times are Unix seconds. Days are counted from 1970, and
-- each has 480 slots. Each statement finds its rows by a key or an index, however many rows an item
-- has (server/tests/server/plans.rs).

-- `root_key` is the root key that signed the organization's first file: only files that it has
-- signed are accepted.
CREATE TABLE organization (
    organization_id        TEXT NOT NULL PRIMARY KEY,
    name                   TEXT NOT NULL,
    default_handshake_code TEXT,
    root_key               TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The file as the vendor signed it, byte for byte, because devices check the signature themselves.
-- `server_key_id` is the id of the server's key that the file names.
CREATE TABLE license_file (
    file_id         TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization,
    root_key        TEXT NOT NULL,
    payload         TEXT NOT NULL,
    key_id          TEXT NOT NULL,
    signature       TEXT NOT NULL,
    imported_at     INTEGER NOT NULL,
    server_key_id   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX license_file_of_organization ON license_file (organization_id);

-- What an item permits stands only in the signed file, and is read from there each time.
CREATE TABLE license_item (
    item_id    TEXT NOT NULL PRIMARY KEY,
    file_id    TEXT NOT NULL REFERENCES license_file,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX license_item_of_file ON license_item (file_id);

-- The session password is an argon2 hash; `validation` is JSON; `own_order` is 1 when the items are
-- to be used in the order of their positions.
CREATE TABLE handshake_code (
    handshake_code  TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization,
    made_at         INTEGER NOT NULL,
    password_hash   TEXT,
    validation      TEXT NOT NULL DEFAULT '{}',
    own_order       INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE handshake_item (
    handshake_code TEXT NOT NULL REFERENCES handshake_code,
    position       INTEGER NOT NULL,
    item_id        TEXT NOT NULL REFERENCES license_item,
    PRIMARY KEY (handshake_code, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE device (
    item_id         TEXT NOT NULL,
    device_uuid     TEXT NOT NULL,
    friendly_name   TEXT NOT NULL,
    library_version TEXT NOT NULL,
    newest_serial   INTEGER NOT NULL,
    first_seen_at   INTEGER NOT NULL,
    last_seen_at    INTEGER NOT NULL,
    PRIMARY KEY (item_id, device_uuid)
) STRICT, WITHOUT ROWID;
-- An operator names a device, whatever items it works under.
CREATE INDEX device_by_uuid ON device (device_uuid);

-- Every local license that was ever granted: a report may come late and name an old one.
-- `seats_asked` is x of the request; `seats` is what the device got, the highest of its running
-- ones. `holder` is the name under which the device holds seats: its UUID, in a browser with the
-- origin. The device is in the key, because nearly every question about local licenses is about
-- those of one device. An index beside a key that begins with the item would not do: SQLite, which
-- keeps no statistics here, takes the key.
CREATE TABLE local_license (
    item_id        TEXT NOT NULL,
    device_uuid    TEXT NOT NULL,
    license_id     TEXT NOT NULL,
    handshake_code TEXT NOT NULL,
    serial         INTEGER NOT NULL,
    seats_asked    INTEGER NOT NULL,
    seats          INTEGER NOT NULL,
    issued_at      INTEGER NOT NULL,
    valid_until    INTEGER NOT NULL,
    holder         TEXT NOT NULL,
    begun_at       INTEGER NOT NULL,
    PRIMARY KEY (item_id, device_uuid, license_id)
) STRICT, WITHOUT ROWID;
-- `begun_at` is the grant since which the license runs without a break; `issued_at` is the newest one.
-- A report names the local license, not the item.
CREATE INDEX local_license_by_id ON local_license (license_id);
-- The question is whether a device that shows no license has one that runs.
CREATE INDEX local_license_of_device ON local_license (device_uuid);

-- A segment always belongs to one local license, and through it to a device, a handshake code and
-- an item.
CREATE TABLE segment (
    item_id           TEXT NOT NULL,
    segment_id        TEXT NOT NULL,
    license_id        TEXT NOT NULL,
    device_uuid       TEXT NOT NULL,
    handshake_code    TEXT NOT NULL,
    first_reported_at INTEGER NOT NULL,
    PRIMARY KEY (item_id, segment_id)
) STRICT, WITHOUT ROWID;
-- The question is whether this segment is known under another local license.
CREATE INDEX segment_by_id ON segment (segment_id);
-- The question is what one device has reported, or whether it has.
CREATE INDEX segment_of_device ON segment (device_uuid);

-- The totals that a segment counted in a day; they only grow. store/day_totals.rs describes the
-- bytes. The day is before the segment in the key, so that what is written today lies together,
-- however long the history is.
CREATE TABLE usage_day (
    item_id    TEXT NOT NULL,
    day        INTEGER NOT NULL,
    segment_id TEXT NOT NULL,
    totals     BLOB NOT NULL,
    PRIMARY KEY (item_id, day, segment_id)
) STRICT;

-- Usage of days that are long past: thirty days of a segment in a row, with a total for each day
-- and counter. The bytes are those of `usage_day`, with days since `first_day` in place of slots.
CREATE TABLE usage_old (
    item_id    TEXT NOT NULL,
    first_day  INTEGER NOT NULL,
    segment_id TEXT NOT NULL,
    totals     BLOB NOT NULL,
    PRIMARY KEY (item_id, first_day, segment_id)
) STRICT;

-- The day before which usage was compacted so.
CREATE TABLE compacted (
    item_id    TEXT NOT NULL PRIMARY KEY,
    before_day INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The slots of a day in which a device was active, and as how many instances;
-- policy/active_slots.rs describes the bytes.
CREATE TABLE active_day (
    item_id     TEXT NOT NULL,
    day         INTEGER NOT NULL,
    device_uuid TEXT NOT NULL,
    slots       BLOB NOT NULL,
    PRIMARY KEY (item_id, day, device_uuid)
) STRICT, WITHOUT ROWID;

-- How much of each item is used, by kind and module of pages (0 for scans): the sum over all
-- segments.
CREATE TABLE item_used (
    item_id TEXT NOT NULL,
    kind    INTEGER NOT NULL,
    module  INTEGER NOT NULL,
    used    INTEGER NOT NULL,
    PRIMARY KEY (item_id, kind, module)
) STRICT, WITHOUT ROWID;

-- The vendor's corrections of what is used, each as the vendor signed it.
CREATE TABLE correction (
    correction_id TEXT NOT NULL PRIMARY KEY,
    item_id       TEXT NOT NULL,
    module        INTEGER NOT NULL,
    used_before   INTEGER NOT NULL,
    used          INTEGER NOT NULL,
    issued_at     INTEGER NOT NULL,
    applied_at    INTEGER NOT NULL,
    payload       TEXT NOT NULL,
    key_id        TEXT NOT NULL,
    signature     TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX correction_of_item ON correction (item_id, module, issued_at);

-- Who holds seats of an item until when; `item_held` is the sum, so that a decision need not add
-- them up.
CREATE TABLE seat_holder (
    item_id     TEXT NOT NULL,
    holder      TEXT NOT NULL,
    device_uuid TEXT NOT NULL,
    seats       INTEGER NOT NULL,
    held_until  INTEGER NOT NULL,
    PRIMARY KEY (item_id, holder)
) STRICT, WITHOUT ROWID;
CREATE INDEX seat_holder_end ON seat_holder (item_id, held_until);
-- An operator releases a device, under whatever names it holds seats.
CREATE INDEX seat_holder_of_device ON seat_holder (item_id, device_uuid);

CREATE TABLE item_held (
    item_id TEXT NOT NULL PRIMARY KEY,
    seats   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- As how many instances a device counts, and from which slot on.
CREATE TABLE device_seats (
    item_id     TEXT NOT NULL,
    device_uuid TEXT NOT NULL,
    from_slot   INTEGER NOT NULL,
    seats       INTEGER NOT NULL,
    PRIMARY KEY (item_id, device_uuid, from_slot)
) STRICT, WITHOUT ROWID;

-- The active devices, or instances, in each slot, and the excess that they give to each license
-- year.
CREATE TABLE slot_sum (
    item_id TEXT NOT NULL,
    slot    INTEGER NOT NULL,
    active  INTEGER NOT NULL,
    PRIMARY KEY (item_id, slot)
) STRICT, WITHOUT ROWID;

-- Sums of each day, for forecasts and curves: what was counted (by kind and module), the excess, and
-- the highest number of seats held. The batches that change an item maintain them, so that no
-- question has to read the usage of all devices. `kind` is that of the usage, 101 for the excess,
-- 102 for the seats.
CREATE TABLE item_day (
    item_id TEXT NOT NULL,
    day     INTEGER NOT NULL,
    kind    INTEGER NOT NULL,
    module  INTEGER NOT NULL,
    amount  INTEGER NOT NULL,
    PRIMARY KEY (item_id, day, kind, module)
) STRICT, WITHOUT ROWID;

-- Refusals, counted by hour. `item_id` is empty where no item was chosen, `handshake_code` where the
-- request named none that exists, and `device_uuid` for the devices beyond the commonest ones of an
-- hour and item. `detail` and `numbers` are those of the first and of the last refusal; `last_asked`
-- is what the device asked for, and `device_name` how it called itself.
CREATE TABLE refusal (
    item_id        TEXT NOT NULL,
    hour           INTEGER NOT NULL,
    device_uuid    TEXT NOT NULL,
    handshake_code TEXT NOT NULL,
    code           INTEGER NOT NULL,
    refused        INTEGER NOT NULL,
    first_at       INTEGER NOT NULL,
    first_detail   TEXT NOT NULL,
    first_numbers  TEXT NOT NULL,
    last_at        INTEGER NOT NULL,
    last_detail    TEXT NOT NULL,
    last_numbers   TEXT NOT NULL,
    last_asked     TEXT NOT NULL,
    device_name    TEXT NOT NULL,
    PRIMARY KEY (item_id, hour, device_uuid, handshake_code, code)
) STRICT, WITHOUT ROWID;
-- The question is why one device was refused.
CREATE INDEX refusal_of_device ON refusal (device_uuid, hour);
-- A device that was never granted anything has its name here alone.
CREATE INDEX refusal_by_name ON refusal (device_name);

CREATE TABLE year_excess (
    item_id TEXT NOT NULL,
    year    INTEGER NOT NULL,
    excess  INTEGER NOT NULL,
    PRIMARY KEY (item_id, year)
) STRICT, WITHOUT ROWID;

-- For strict items, what each device may count of each module, and the sums over all devices.
CREATE TABLE allowance (
    item_id     TEXT NOT NULL,
    device_uuid TEXT NOT NULL,
    module      INTEGER NOT NULL,
    serial      INTEGER NOT NULL,
    allowed     INTEGER NOT NULL,
    used        INTEGER NOT NULL,
    lost        INTEGER NOT NULL,
    lost_at     INTEGER NOT NULL,
    PRIMARY KEY (item_id, device_uuid, module)
) STRICT, WITHOUT ROWID;

CREATE TABLE item_allowed (
    item_id TEXT NOT NULL,
    module  INTEGER NOT NULL,
    allowed INTEGER NOT NULL,
    devices INTEGER NOT NULL,
    PRIMARY KEY (item_id, module)
) STRICT, WITHOUT ROWID;

-- The operator's name for a device wins over the device's own.
CREATE TABLE device_name (
    device_uuid TEXT NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Who a device is: the key that it came with at first, and its one history with this server. The row
-- outlives the device's seats, because a license that is newer than what the row knows proves that
-- the data was put back. `branch` and `step` are the newest license that the device has shown,
-- `granted_step` the last one granted on that branch, `branches` the highest number of a branch, and
-- `forks` the branches that still matter, as JSON (policy/history.rs). The report keys are secret.
-- The last rollback of the device is 0 where it had none. `several_ways` is 1 where programs of the
-- device ask with different credentials.
CREATE TABLE device_identity (
    device_uuid      TEXT NOT NULL PRIMARY KEY,
    public_key       TEXT NOT NULL,
    branch           INTEGER NOT NULL,
    step             INTEGER NOT NULL,
    granted_step     INTEGER NOT NULL,
    branches         INTEGER NOT NULL,
    forks            TEXT NOT NULL,
    first_contact    TEXT NOT NULL,
    report_key       TEXT NOT NULL,
    prior_report_key TEXT NOT NULL,
    last_heard_at    INTEGER NOT NULL,
    rolled_back_at   INTEGER NOT NULL,
    rollbacks        INTEGER NOT NULL,
    several_ways     INTEGER NOT NULL,
    first_granted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The lives of the data, each with a random id: the one with the highest number is the current one.
-- `cause` is created, restored, operator or rollback. Until `careful_until`, the server grants only
-- what devices show that they hold.
CREATE TABLE epoch (
    number        INTEGER NOT NULL PRIMARY KEY,
    epoch         TEXT NOT NULL UNIQUE,
    begun_at      INTEGER NOT NULL,
    cause         TEXT NOT NULL,
    careful_until INTEGER NOT NULL
) STRICT;
CREATE INDEX epoch_by_cause ON epoch (cause, begun_at);
INSERT INTO epoch VALUES (1, lower(hex(randomblob(16))), unixepoch(), 'created', 0);

-- The epochs of which devices have shown licenses by this server's key, though the data does not
-- know them: of data that was put back since, or of another server with the same key.
CREATE TABLE foreign_epoch (
    epoch   TEXT NOT NULL PRIMARY KEY,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The sequences of commits, and the number of the last commit of each (src/receipt.rs).
CREATE TABLE commit_sequence (
    sequence_id TEXT NOT NULL PRIMARY KEY,
    number      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The highest time of any server of this database, and how often an operator has accepted a clock
-- that was behind it (src/server_time.rs).
CREATE TABLE server_time (
    only_row  INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    newest_at INTEGER NOT NULL,
    accepted  INTEGER NOT NULL
) STRICT;
INSERT INTO server_time VALUES (1, 0, 0);

-- Who changed what; a line is written in the same transaction as the change. `hash` covers the line
-- and the hash of the line before (src/audit_chain.rs). `organization_id` is empty where the change
-- concerns the whole server. Nothing is ever deleted here.
CREATE TABLE audit (
    audit_id        INTEGER NOT NULL PRIMARY KEY,
    at              INTEGER NOT NULL,
    actor           TEXT NOT NULL,
    action          TEXT NOT NULL,
    subject         TEXT NOT NULL,
    detail          TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    hash            TEXT NOT NULL
) STRICT;
CREATE INDEX audit_of_organization ON audit (organization_id, audit_id);

-- Number and hash of the last line. A server that adds a line locks this row, so that several servers add
-- their lines one after another.
CREATE TABLE audit_head (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    audit_id INTEGER NOT NULL,
    hash     TEXT NOT NULL
) STRICT;
INSERT INTO audit_head
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- The tokens of the admin API, each by the SHA-256 of its text. `organization_id` is empty for a token
-- that is good for all organizations. The time of the last use is at most a minute old.
CREATE TABLE admin_token (
    name            TEXT NOT NULL PRIMARY KEY,
    token_digest    TEXT NOT NULL,
    role            TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    made_at         INTEGER NOT NULL,
    expires_at      INTEGER,
    last_used_at    INTEGER,
    revoked_at      INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX admin_token_by_digest ON admin_token (token_digest);
CREATE INDEX admin_token_of_organization ON admin_token (organization_id, name);

-- The people who log in to the admin API. The password is an argon2 hash. `organization_id` is empty
-- for a user who sees all organizations.
CREATE TABLE admin_user (
    name            TEXT NOT NULL PRIMARY KEY,
    password_hash   TEXT NOT NULL,
    role            TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    made_at         INTEGER NOT NULL,
    password_set_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Their sessions, each by the SHA-256 of its id. They are in the database, so that every server of it
-- knows them.
CREATE TABLE admin_session (
    session_digest TEXT NOT NULL PRIMARY KEY,
    name           TEXT NOT NULL,
    begun_at       INTEGER NOT NULL,
    used_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX admin_session_of_user ON admin_session (name, begun_at);

-- When something was done last that leaves nothing else in the database: a backup.
CREATE TABLE last_done (
    what TEXT NOT NULL PRIMARY KEY,
    at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Alerts: a threshold of something, from when it fired until it recovers. A row that has recovered
-- fires again; an operator who re-arms an alert deletes its row. `alert_id` is a digest of kind,
-- subject, what and level. `organization_id` is empty for alerts about the whole server.
-- `muted_until` is 0 for an alert that is told.
CREATE TABLE alert (
    alert_id        TEXT NOT NULL PRIMARY KEY,
    kind            TEXT NOT NULL,
    subject         TEXT NOT NULL,
    what            TEXT NOT NULL,
    level           INTEGER NOT NULL,
    organization_id TEXT NOT NULL,
    fired_at        INTEGER NOT NULL,
    recovered_at    INTEGER,
    muted_until     INTEGER NOT NULL,
    detail          TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What is told of alerts: written with the alert, in the same transaction. `event` is fired, recovered or
-- test.
CREATE TABLE alert_event (
    event_id        TEXT NOT NULL PRIMARY KEY,
    at              INTEGER NOT NULL,
    event           TEXT NOT NULL,
    alert_id        TEXT NOT NULL,
    kind            TEXT NOT NULL,
    subject         TEXT NOT NULL,
    what            TEXT NOT NULL,
    level           INTEGER NOT NULL,
    organization_id TEXT NOT NULL,
    detail          TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_event_by_time ON alert_event (at);
CREATE INDEX alert_event_of_organization ON alert_event (organization_id, at);

-- The state of an event on each channel. A server that tells it moves `next_at` ahead first,
-- so that no other server of this database does the same. `state` is waiting, done or given_up.
CREATE TABLE alert_delivery (
    channel    TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    state      TEXT NOT NULL,
    attempts   INTEGER NOT NULL,
    next_at    INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    last_error TEXT NOT NULL,
    PRIMARY KEY (channel, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_delivery_due ON alert_delivery (state, next_at);

-- The thresholds of an item, in percent with commas between them; the empty id has those of all other
-- items.
CREATE TABLE alert_threshold (
    item_id  TEXT NOT NULL PRIMARY KEY,
    percents TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How many authorizations of an hour were granted and refused under a handshake code.
CREATE TABLE authorization_hour (
    handshake_code TEXT NOT NULL,
    hour           INTEGER NOT NULL,
    granted        INTEGER NOT NULL,
    refused        INTEGER NOT NULL,
    PRIMARY KEY (handshake_code, hour)
) STRICT, WITHOUT ROWID;

-- The key that the server signs with since it was rotated. The transaction that changes it writes
-- the audit log, too. The key itself is a file, prepared before; a server that finds the wrong one
-- in use puts the right one in its place.
CREATE TABLE server_key (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    key_id   TEXT NOT NULL
) STRICT;
