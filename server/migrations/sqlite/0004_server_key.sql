-- Which key the server signs with, since it was rotated: the transaction that changes it writes the audit log, too. The
-- key itself is a file, prepared before; a server that finds the wrong one in use puts the right one in its place.
CREATE TABLE server_key (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    key_id   TEXT NOT NULL
) STRICT;
