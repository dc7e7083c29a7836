-- When the licence that a device has shown last was granted, and in which life of the data: what is late does not take the
-- place of what came after it.
ALTER TABLE device_history ADD COLUMN shown_issued_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE device_history ADD COLUMN epoch TEXT NOT NULL DEFAULT '';
UPDATE device_history SET epoch = (SELECT epoch FROM epoch);
