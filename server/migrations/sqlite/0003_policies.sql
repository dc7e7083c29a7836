-- What the license rules of all charge ways have to know, beside usage.

-- The name under which a device holds seats: its UUID, in a browser with the origin.
ALTER TABLE local_license ADD COLUMN holder TEXT NOT NULL DEFAULT '';
UPDATE local_license SET holder = device_uuid;
-- A local license says itself from which one it goes on.
ALTER TABLE local_license DROP COLUMN parent;
DELETE FROM device_history;

-- How much is used of each item, by kind and module of pages (0 for scans): the sum over all segments.
CREATE TABLE item_used (
    item_id TEXT NOT NULL,
    kind    INTEGER NOT NULL,
    module  INTEGER NOT NULL,
    used    INTEGER NOT NULL,
    PRIMARY KEY (item_id, kind, module)
) STRICT, WITHOUT ROWID;

INSERT INTO item_used
SELECT item_id, kind, CASE kind WHEN 2 THEN what ELSE 0 END AS module, sum(total)
  FROM usage WHERE kind IN (1, 2) GROUP BY item_id, kind, module;

-- Who holds seats of an item until when; `item_held` is the sum, so that a decision need not add them up.
CREATE TABLE seat_holder (
    item_id     TEXT NOT NULL,
    holder      TEXT NOT NULL,
    device_uuid TEXT NOT NULL,
    seats       INTEGER NOT NULL,
    held_until  INTEGER NOT NULL,
    PRIMARY KEY (item_id, holder)
) STRICT, WITHOUT ROWID;
CREATE INDEX seat_holder_end ON seat_holder (item_id, held_until);

CREATE TABLE item_held (
    item_id TEXT NOT NULL PRIMARY KEY,
    seats   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- As how many instances a device counts, from which slot on.
CREATE TABLE device_seats (
    item_id     TEXT NOT NULL,
    device_uuid TEXT NOT NULL,
    from_slot   INTEGER NOT NULL,
    seats       INTEGER NOT NULL,
    PRIMARY KEY (item_id, device_uuid, from_slot)
) STRICT, WITHOUT ROWID;

INSERT INTO device_seats
SELECT item_id, device_uuid, issued_at / 180 AS from_slot, max(seats) FROM local_license
 GROUP BY item_id, device_uuid, from_slot;

-- The slots in which a device was active, and as how many; see policy/active_slots.rs for the bytes.
CREATE TABLE active_slots (
    item_id     TEXT NOT NULL,
    device_uuid TEXT NOT NULL,
    slots       BLOB NOT NULL,
    PRIMARY KEY (item_id, device_uuid)
) STRICT, WITHOUT ROWID;

-- Active devices, or instances, in each slot; and what that gives to the excess of each license year.
CREATE TABLE slot_sum (
    item_id TEXT NOT NULL,
    slot    INTEGER NOT NULL,
    active  INTEGER NOT NULL,
    PRIMARY KEY (item_id, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE year_excess (
    item_id TEXT NOT NULL,
    year    INTEGER NOT NULL,
    excess  INTEGER NOT NULL,
    PRIMARY KEY (item_id, year)
) STRICT, WITHOUT ROWID;

-- Strict items: what each device may count of each module, and the sums over all devices.
CREATE TABLE allowance (
    item_id     TEXT NOT NULL,
    device_uuid TEXT NOT NULL,
    module      INTEGER NOT NULL,
    serial      INTEGER NOT NULL,
    allowed     INTEGER NOT NULL,
    used        INTEGER NOT NULL,
    PRIMARY KEY (item_id, device_uuid, module)
) STRICT, WITHOUT ROWID;

CREATE TABLE item_allowed (
    item_id TEXT NOT NULL,
    module  INTEGER NOT NULL,
    allowed INTEGER NOT NULL,
    devices INTEGER NOT NULL,
    PRIMARY KEY (item_id, module)
) STRICT, WITHOUT ROWID;
