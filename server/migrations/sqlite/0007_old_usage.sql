-- Usage of days that are long past, thirty days of a segment in a row: a total for each day and counter in place of one for
-- each slot. The bytes are those of `usage_day`, with days since `first_day` in place of slots.
CREATE TABLE usage_old (
    item_id    TEXT NOT NULL,
    first_day  INTEGER NOT NULL,
    segment_id TEXT NOT NULL,
    totals     BLOB NOT NULL,
    PRIMARY KEY (item_id, first_day, segment_id)
) STRICT;

-- Up to which day, not with it, that was done.
CREATE TABLE compacted (
    item_id    TEXT NOT NULL PRIMARY KEY,
    before_day INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
