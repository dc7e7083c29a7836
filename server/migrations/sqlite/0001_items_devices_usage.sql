-- License files and what is granted from them; devices; usage.
--
-- Where a table concerns a license item its key begins with the item, so that it can be spread over several
-- machines by it. Organizations, license files and handshake codes are few and small: every machine would
-- have all of them. Times are Unix seconds.

CREATE TABLE organization (
    organization_id        TEXT NOT NULL PRIMARY KEY,
    name                   TEXT NOT NULL,
    default_handshake_code TEXT
) STRICT, WITHOUT ROWID;

-- As the vendor signed it, byte for byte: devices check the signature themselves.
CREATE TABLE license_file (
    file_id         TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization,
    root_key        TEXT NOT NULL,
    payload         TEXT NOT NULL,
    key_id          TEXT NOT NULL,
    signature       TEXT NOT NULL,
    imported_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `definition` is the item as it stands in the license file, as JSON.
CREATE TABLE license_item (
    item_id    TEXT NOT NULL PRIMARY KEY,
    file_id    TEXT NOT NULL REFERENCES license_file,
    definition TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE handshake_code (
    handshake_code  TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organization,
    made_at         INTEGER NOT NULL
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

-- Every local license that was ever granted: a report may come late and name an old one.
-- `seats_asked` is x of the request; `seats` is what the device got, the highest of its running ones.
CREATE TABLE local_license (
    item_id        TEXT NOT NULL,
    license_id     TEXT NOT NULL,
    device_uuid    TEXT NOT NULL,
    handshake_code TEXT NOT NULL,
    serial         INTEGER NOT NULL,
    seats_asked    INTEGER NOT NULL,
    seats          INTEGER NOT NULL,
    issued_at      INTEGER NOT NULL,
    valid_until    INTEGER NOT NULL,
    PRIMARY KEY (item_id, license_id)
) STRICT, WITHOUT ROWID;

-- "Which authorizations of this device are running?"
CREATE INDEX local_license_running ON local_license (item_id, device_uuid, valid_until, seats_asked);
-- A report names the local license, not the item.
CREATE INDEX local_license_by_id ON local_license (license_id);

-- A segment belongs to one local license for good, and through it to a device, a handshake code and an item.
CREATE TABLE segment (
    item_id           TEXT NOT NULL,
    segment_id        TEXT NOT NULL,
    license_id        TEXT NOT NULL,
    device_uuid       TEXT NOT NULL,
    handshake_code    TEXT NOT NULL,
    first_reported_at INTEGER NOT NULL,
    PRIMARY KEY (item_id, segment_id)
) STRICT, WITHOUT ROWID;

-- "Is this segment known under another local license?"
CREATE INDEX segment_by_id ON segment (segment_id);

-- Totals, never differences: only ever raised. `kind` and `what` as on the wire.
CREATE TABLE usage (
    item_id    TEXT NOT NULL,
    segment_id TEXT NOT NULL,
    slot       INTEGER NOT NULL,
    kind       INTEGER NOT NULL,
    what       INTEGER NOT NULL,
    total      INTEGER NOT NULL CHECK (total >= 0),
    PRIMARY KEY (item_id, segment_id, slot, kind, what)
) STRICT, WITHOUT ROWID;
