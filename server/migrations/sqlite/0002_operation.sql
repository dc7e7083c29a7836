-- What an operator decides, what is remembered of it, and what the data itself is.

-- Which life of the data this is: a random id, another one after each restore from a backup. Until
-- `careful_until` a restored server grants only what devices show that they hold.
CREATE TABLE epoch (
    only_row      INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    epoch         TEXT NOT NULL,
    careful_until INTEGER NOT NULL
) STRICT;
INSERT INTO epoch VALUES (1, lower(hex(randomblob(16))), 0);

-- A session password as an argon2 hash; `validation` as JSON; `own_order` is 1 when the items are to be used in
-- the order of their positions.
ALTER TABLE handshake_code ADD COLUMN password_hash TEXT;
ALTER TABLE handshake_code ADD COLUMN validation TEXT NOT NULL DEFAULT '{}';
ALTER TABLE handshake_code ADD COLUMN own_order INTEGER NOT NULL DEFAULT 0;

-- Id of the server's key that the file names; '' for files from before there could be several.
ALTER TABLE license_file ADD COLUMN server_key_id TEXT NOT NULL DEFAULT '';

ALTER TABLE license_item ADD COLUMN revoked_at INTEGER;

-- The operator's name for a device wins over the device's own.
CREATE TABLE device_name (
    device_uuid TEXT NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The local license that the device held when it asked for this one; '' for none.
ALTER TABLE local_license ADD COLUMN parent TEXT NOT NULL DEFAULT '';

-- The last local license that a device has shown, for each of its ways of asking (`scope`). Two installations that
-- share a UUID show licenses of different branches.
CREATE TABLE device_history (
    device_uuid     TEXT NOT NULL,
    scope           TEXT NOT NULL,
    shown_license   TEXT NOT NULL,
    PRIMARY KEY (device_uuid, scope)
) STRICT, WITHOUT ROWID;

-- Who changed what; written in the same transaction as the change.
CREATE TABLE audit (
    audit_id INTEGER NOT NULL PRIMARY KEY,
    at       INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    detail   TEXT NOT NULL
) STRICT;

-- Tokens of the admin API: the public part of each, a space, and the argon2 hash of the whole.
CREATE TABLE admin_token (
    name       TEXT NOT NULL PRIMARY KEY,
    token_hash TEXT NOT NULL,
    made_at    INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
