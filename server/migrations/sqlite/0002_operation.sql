-- What an operator decides, and what the data itself is.

-- Which life of the data this is: a random id, another one after each restore from a backup.
CREATE TABLE epoch (
    only_row    INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    epoch       TEXT NOT NULL,
    begun_at    INTEGER NOT NULL,
    -- A restored server grants only what devices show that they hold, until then.
    careful_until INTEGER NOT NULL
) STRICT;
INSERT INTO epoch VALUES (1, lower(hex(randomblob(16))), 0, 0);
