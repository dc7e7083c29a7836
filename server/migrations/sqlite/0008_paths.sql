-- Each statement goes by a key or an index to the rows that it is about, however many an item has
-- (server/tests/server/plans.rs).

-- Nearly every question about local licenses is about those of one device, so the device stands in the key. An index beside a
-- key that begins with the item would not do: SQLite, which keeps no statistics here, takes the key.
CREATE TABLE license_of_device (
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
    PRIMARY KEY (item_id, device_uuid, license_id)
) STRICT, WITHOUT ROWID;
INSERT INTO license_of_device
SELECT item_id, device_uuid, license_id, handshake_code, serial, seats_asked, seats, issued_at, valid_until, holder
  FROM local_license ORDER BY item_id, device_uuid, license_id;
DROP TABLE local_license;
ALTER TABLE license_of_device RENAME TO local_license;
-- A report names the local license, not the item.
CREATE INDEX local_license_by_id ON local_license (license_id);

-- An operator releases a device, under whatever names it holds seats.
CREATE INDEX seat_holder_of_device ON seat_holder (item_id, device_uuid);
-- An operator names a device, whatever items it works under.
CREATE INDEX device_by_uuid ON device (device_uuid);
-- An organization's first file says whose root key it trusts.
CREATE INDEX license_file_of_organization ON license_file (organization_id);
