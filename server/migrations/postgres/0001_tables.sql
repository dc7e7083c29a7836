-- The tables of a seatmeter server, as they are in version 1 on PostgreSQL.
--
-- They say what those of the embedded store say (migrations/sqlite tells the reasons), in what PostgreSQL and the engines
-- that speak its protocol have in common: whole numbers of 64 bits, texts, bytes, primary keys, plain indexes. No sequences,
-- foreign keys, triggers, partitions or extensions. Where a table concerns a license item its key begins with the item, so
-- that it can be spread over machines by it.

CREATE TABLE organization (
    organization_id        TEXT NOT NULL PRIMARY KEY,
    name                   TEXT NOT NULL,
    default_handshake_code TEXT,
    root_key               TEXT NOT NULL
);

CREATE TABLE license_file (
    file_id         TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    root_key        TEXT NOT NULL,
    payload         TEXT NOT NULL,
    key_id          TEXT NOT NULL,
    signature       TEXT NOT NULL,
    imported_at     BIGINT NOT NULL,
    server_key_id   TEXT NOT NULL
);
CREATE INDEX license_file_of_organization ON license_file (organization_id);

CREATE TABLE license_item (
    item_id    TEXT NOT NULL PRIMARY KEY,
    file_id    TEXT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX license_item_of_file ON license_item (file_id);

CREATE TABLE handshake_code (
    handshake_code  TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    made_at         BIGINT NOT NULL,
    password_hash   TEXT,
    validation      TEXT NOT NULL DEFAULT '{}',
    own_order       BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE handshake_item (
    handshake_code TEXT NOT NULL,
    position       BIGINT NOT NULL,
    item_id        TEXT NOT NULL,
    PRIMARY KEY (handshake_code, position)
);

CREATE TABLE device (
    item_id         TEXT NOT NULL,
    device_uuid     TEXT NOT NULL,
    friendly_name   TEXT NOT NULL,
    library_version TEXT NOT NULL,
    newest_serial   BIGINT NOT NULL,
    first_seen_at   BIGINT NOT NULL,
    last_seen_at    BIGINT NOT NULL,
    PRIMARY KEY (item_id, device_uuid)
);
CREATE INDEX device_by_uuid ON device (device_uuid);

CREATE TABLE local_license (
    item_id        TEXT NOT NULL,
    device_uuid    TEXT NOT NULL,
    license_id     TEXT NOT NULL,
    handshake_code TEXT NOT NULL,
    serial         BIGINT NOT NULL,
    seats_asked    BIGINT NOT NULL,
    seats          BIGINT NOT NULL,
    issued_at      BIGINT NOT NULL,
    valid_until    BIGINT NOT NULL,
    holder         TEXT NOT NULL,
    begun_at       BIGINT NOT NULL,
    PRIMARY KEY (item_id, device_uuid, license_id)
);
CREATE INDEX local_license_by_id ON local_license (license_id);
CREATE INDEX local_license_of_device ON local_license (device_uuid);

CREATE TABLE segment (
    item_id           TEXT NOT NULL,
    segment_id        TEXT NOT NULL,
    license_id        TEXT NOT NULL,
    device_uuid       TEXT NOT NULL,
    handshake_code    TEXT NOT NULL,
    first_reported_at BIGINT NOT NULL,
    PRIMARY KEY (item_id, segment_id)
);
CREATE INDEX segment_by_id ON segment (segment_id);
CREATE INDEX segment_of_device ON segment (device_uuid);

CREATE TABLE usage_day (
    item_id    TEXT NOT NULL,
    day        BIGINT NOT NULL,
    segment_id TEXT NOT NULL,
    totals     BYTEA NOT NULL,
    PRIMARY KEY (item_id, day, segment_id)
);

CREATE TABLE usage_old (
    item_id    TEXT NOT NULL,
    first_day  BIGINT NOT NULL,
    segment_id TEXT NOT NULL,
    totals     BYTEA NOT NULL,
    PRIMARY KEY (item_id, first_day, segment_id)
);

CREATE TABLE compacted (
    item_id    TEXT NOT NULL PRIMARY KEY,
    before_day BIGINT NOT NULL
);

CREATE TABLE active_day (
    item_id     TEXT NOT NULL,
    day         BIGINT NOT NULL,
    device_uuid TEXT NOT NULL,
    slots       BYTEA NOT NULL,
    PRIMARY KEY (item_id, day, device_uuid)
);

CREATE TABLE item_used (
    item_id TEXT NOT NULL,
    kind    BIGINT NOT NULL,
    module  BIGINT NOT NULL,
    used    BIGINT NOT NULL,
    PRIMARY KEY (item_id, kind, module)
);

CREATE TABLE correction (
    correction_id TEXT NOT NULL PRIMARY KEY,
    item_id       TEXT NOT NULL,
    module        BIGINT NOT NULL,
    used_before   BIGINT NOT NULL,
    used          BIGINT NOT NULL,
    issued_at     BIGINT NOT NULL,
    applied_at    BIGINT NOT NULL,
    payload       TEXT NOT NULL,
    key_id        TEXT NOT NULL,
    signature     TEXT NOT NULL
);
CREATE INDEX correction_of_item ON correction (item_id, module, issued_at);

CREATE TABLE seat_holder (
    item_id     TEXT NOT NULL,
    holder      TEXT NOT NULL,
    device_uuid TEXT NOT NULL,
    seats       BIGINT NOT NULL,
    held_until  BIGINT NOT NULL,
    PRIMARY KEY (item_id, holder)
);
CREATE INDEX seat_holder_end ON seat_holder (item_id, held_until);
CREATE INDEX seat_holder_of_device ON seat_holder (item_id, device_uuid);

CREATE TABLE item_held (
    item_id TEXT NOT NULL PRIMARY KEY,
    seats   BIGINT NOT NULL
);

CREATE TABLE device_seats (
    item_id     TEXT NOT NULL,
    device_uuid TEXT NOT NULL,
    from_slot   BIGINT NOT NULL,
    seats       BIGINT NOT NULL,
    PRIMARY KEY (item_id, device_uuid, from_slot)
);

CREATE TABLE slot_sum (
    item_id TEXT NOT NULL,
    slot    BIGINT NOT NULL,
    active  BIGINT NOT NULL,
    PRIMARY KEY (item_id, slot)
);

CREATE TABLE item_day (
    item_id TEXT NOT NULL,
    day     BIGINT NOT NULL,
    kind    BIGINT NOT NULL,
    module  BIGINT NOT NULL,
    amount  BIGINT NOT NULL,
    PRIMARY KEY (item_id, day, kind, module)
);

CREATE TABLE refusal (
    item_id        TEXT NOT NULL,
    hour           BIGINT NOT NULL,
    device_uuid    TEXT NOT NULL,
    handshake_code TEXT NOT NULL,
    code           BIGINT NOT NULL,
    refused        BIGINT NOT NULL,
    first_at       BIGINT NOT NULL,
    first_detail   TEXT NOT NULL,
    first_numbers  TEXT NOT NULL,
    last_at        BIGINT NOT NULL,
    last_detail    TEXT NOT NULL,
    last_numbers   TEXT NOT NULL,
    last_asked     TEXT NOT NULL,
    device_name    TEXT NOT NULL,
    PRIMARY KEY (item_id, hour, device_uuid, handshake_code, code)
);
CREATE INDEX refusal_of_device ON refusal (device_uuid, hour);
CREATE INDEX refusal_by_name ON refusal (device_name);

CREATE TABLE year_excess (
    item_id TEXT NOT NULL,
    year    BIGINT NOT NULL,
    excess  BIGINT NOT NULL,
    PRIMARY KEY (item_id, year)
);

CREATE TABLE allowance (
    item_id     TEXT NOT NULL,
    device_uuid TEXT NOT NULL,
    module      BIGINT NOT NULL,
    serial      BIGINT NOT NULL,
    allowed     BIGINT NOT NULL,
    used        BIGINT NOT NULL,
    lost        BIGINT NOT NULL,
    lost_at     BIGINT NOT NULL,
    PRIMARY KEY (item_id, device_uuid, module)
);

CREATE TABLE item_allowed (
    item_id TEXT NOT NULL,
    module  BIGINT NOT NULL,
    allowed BIGINT NOT NULL,
    devices BIGINT NOT NULL,
    PRIMARY KEY (item_id, module)
);

CREATE TABLE device_name (
    device_uuid TEXT NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL
);

CREATE TABLE device_identity (
    device_uuid      TEXT NOT NULL PRIMARY KEY,
    public_key       TEXT NOT NULL,
    branch           BIGINT NOT NULL,
    step             BIGINT NOT NULL,
    granted_step     BIGINT NOT NULL,
    branches         BIGINT NOT NULL,
    forks            TEXT NOT NULL,
    first_contact    TEXT NOT NULL,
    report_key       TEXT NOT NULL,
    prior_report_key TEXT NOT NULL,
    last_heard_at    BIGINT NOT NULL,
    rolled_back_at   BIGINT NOT NULL,
    rollbacks        BIGINT NOT NULL,
    several_ways     BIGINT NOT NULL,
    first_granted_at BIGINT NOT NULL
);

CREATE TABLE epoch (
    number        BIGINT NOT NULL PRIMARY KEY,
    epoch         TEXT NOT NULL UNIQUE,
    begun_at      BIGINT NOT NULL,
    cause         TEXT NOT NULL,
    careful_until BIGINT NOT NULL
);
CREATE INDEX epoch_by_cause ON epoch (cause, begun_at);

CREATE TABLE foreign_epoch (
    epoch   TEXT NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL
);

CREATE TABLE commit_sequence (
    sequence_id TEXT NOT NULL PRIMARY KEY,
    number      BIGINT NOT NULL
);

CREATE TABLE server_time (
    only_row  BIGINT NOT NULL PRIMARY KEY,
    newest_at BIGINT NOT NULL,
    accepted  BIGINT NOT NULL
);
INSERT INTO server_time VALUES (1, 0, 0);

CREATE TABLE audit (
    audit_id        BIGINT NOT NULL PRIMARY KEY,
    at              BIGINT NOT NULL,
    actor           TEXT NOT NULL,
    action          TEXT NOT NULL,
    subject         TEXT NOT NULL,
    detail          TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    hash            TEXT NOT NULL
);
CREATE INDEX audit_of_organization ON audit (organization_id, audit_id);

CREATE TABLE audit_head (
    only_row BIGINT NOT NULL PRIMARY KEY,
    audit_id BIGINT NOT NULL,
    hash     TEXT NOT NULL
);
INSERT INTO audit_head
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

CREATE TABLE admin_token (
    name            TEXT NOT NULL PRIMARY KEY,
    token_digest    TEXT NOT NULL,
    role            TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    made_at         BIGINT NOT NULL,
    expires_at      BIGINT,
    last_used_at    BIGINT,
    revoked_at      BIGINT
);
CREATE UNIQUE INDEX admin_token_by_digest ON admin_token (token_digest);
CREATE INDEX admin_token_of_organization ON admin_token (organization_id, name);

CREATE TABLE admin_user (
    name            TEXT NOT NULL PRIMARY KEY,
    password_hash   TEXT NOT NULL,
    role            TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    made_at         BIGINT NOT NULL,
    password_set_at BIGINT NOT NULL
);

CREATE TABLE admin_session (
    session_digest TEXT NOT NULL PRIMARY KEY,
    name           TEXT NOT NULL,
    begun_at       BIGINT NOT NULL,
    used_at        BIGINT NOT NULL
);
CREATE INDEX admin_session_of_user ON admin_session (name, begun_at);

CREATE TABLE last_done (
    what TEXT NOT NULL PRIMARY KEY,
    at   BIGINT NOT NULL
);

CREATE TABLE alert (
    alert_id        TEXT NOT NULL PRIMARY KEY,
    kind            TEXT NOT NULL,
    subject         TEXT NOT NULL,
    what            TEXT NOT NULL,
    level           BIGINT NOT NULL,
    organization_id TEXT NOT NULL,
    fired_at        BIGINT NOT NULL,
    recovered_at    BIGINT,
    muted_until     BIGINT NOT NULL,
    detail          TEXT NOT NULL
);

CREATE TABLE alert_event (
    event_id        TEXT NOT NULL PRIMARY KEY,
    at              BIGINT NOT NULL,
    event           TEXT NOT NULL,
    alert_id        TEXT NOT NULL,
    kind            TEXT NOT NULL,
    subject         TEXT NOT NULL,
    what            TEXT NOT NULL,
    level           BIGINT NOT NULL,
    organization_id TEXT NOT NULL,
    detail          TEXT NOT NULL
);
CREATE INDEX alert_event_by_time ON alert_event (at);
CREATE INDEX alert_event_of_organization ON alert_event (organization_id, at);

CREATE TABLE alert_delivery (
    channel    TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    state      TEXT NOT NULL,
    attempts   BIGINT NOT NULL,
    next_at    BIGINT NOT NULL,
    last_at    BIGINT NOT NULL,
    last_error TEXT NOT NULL,
    PRIMARY KEY (channel, event_id)
);
CREATE INDEX alert_delivery_due ON alert_delivery (state, next_at);

CREATE TABLE alert_threshold (
    item_id  TEXT NOT NULL PRIMARY KEY,
    percents TEXT NOT NULL
);

CREATE TABLE authorization_hour (
    handshake_code TEXT NOT NULL,
    hour           BIGINT NOT NULL,
    granted        BIGINT NOT NULL,
    refused        BIGINT NOT NULL,
    PRIMARY KEY (handshake_code, hour)
);

CREATE TABLE server_key (
    only_row BIGINT NOT NULL PRIMARY KEY,
    key_id   TEXT NOT NULL
);

-- The cluster that the data was in when a server last connected; see src/store/postgres/cluster.rs.
CREATE TABLE database_cluster (
    only_row          BIGINT NOT NULL PRIMARY KEY,
    system_identifier TEXT NOT NULL,
    timeline          BIGINT NOT NULL
);

-- Rows that are written again and again leave room on their page for their next version, so that no
-- index has to be written (99 % of the updates instead of 73 %). A table of which little is live is
-- vacuumed early: otherwise, a row that every transaction writes has thousands of dead versions.
ALTER TABLE item_used SET (fillfactor = 75, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
ALTER TABLE item_held SET (fillfactor = 75, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
ALTER TABLE item_allowed SET (fillfactor = 75, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
ALTER TABLE year_excess SET (fillfactor = 75, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
ALTER TABLE commit_sequence SET (fillfactor = 75, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
ALTER TABLE server_time SET (fillfactor = 75, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
ALTER TABLE audit_head SET (fillfactor = 75, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
ALTER TABLE compacted SET (fillfactor = 75, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
ALTER TABLE slot_sum SET (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE usage_day SET (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE active_day SET (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE local_license SET (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE seat_holder SET (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE allowance SET (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE device_identity SET (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE device SET (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02);
