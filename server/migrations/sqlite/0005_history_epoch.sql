-- Serial of the license that a device has shown last, and in which life of the data it was granted: what is late does not
-- take the place of what came after it.
ALTER TABLE device_history ADD COLUMN shown_serial INTEGER NOT NULL DEFAULT 0;
ALTER TABLE device_history ADD COLUMN epoch TEXT NOT NULL DEFAULT '';
UPDATE device_history SET epoch = (SELECT epoch FROM epoch);
