-- Usage and activity by days. The day stands before the segment or device, so that what is written today lies together,
-- however long the history is. Days are counted from 1970, each has 480 slots.

-- What a segment counted in a day; see store/day_totals.rs for the bytes. It takes the place of `usage`, whose rows are
-- brought over by the program.
CREATE TABLE usage_day (
    item_id    TEXT NOT NULL,
    day        INTEGER NOT NULL,
    segment_id TEXT NOT NULL,
    totals     BLOB NOT NULL,
    PRIMARY KEY (item_id, day, segment_id)
) STRICT;

-- The slots of a day in which a device was active, and as how many; see policy/active_slots.rs for the bytes. It takes
-- the place of `active_slots`.
CREATE TABLE active_day (
    item_id     TEXT NOT NULL,
    day         INTEGER NOT NULL,
    device_uuid TEXT NOT NULL,
    slots       BLOB NOT NULL,
    PRIMARY KEY (item_id, day, device_uuid)
) STRICT, WITHOUT ROWID;
