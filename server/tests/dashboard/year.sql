-- A year of use and 10 000 devices, as the server itself would have stored them. Names are chosen to
-- break pages: markup, a direction of text, emoji, and long words without a space.
PRAGMA foreign_keys = off;
BEGIN;
CREATE TEMP TABLE clock AS SELECT unixepoch() AS now, unixepoch() / 86400 AS today;
CREATE TEMP TABLE number AS
  WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
  SELECT i, printf('%08x%024x', (i * 2654435761) % 4294967296, i) AS uuid FROM n;
CREATE TEMP TABLE past AS
  WITH RECURSIVE n(d) AS (SELECT 0 UNION ALL SELECT d + 1 FROM n WHERE d < 330)
  SELECT today - d AS day, (today - d + 3) % 7 < 5 AS works,
         ((today - d) * 7919) % 97 AS chance FROM n, clock;

-- Devices of the tills, and the same ones in other items.
INSERT INTO device
SELECT 'tills', uuid,
       CASE i
         WHEN 0 THEN '<script>alert(1)</script>'
         WHEN 1 THEN char(0x5e7, 0x5d5, 0x5e4, 0x5d4) || ' 7'
         WHEN 2 THEN 'till ' || char(0x1f4e6, 0x1f469, 0x200d, 0x1f4bb)
         WHEN 3 THEN replace(printf('%.120c', 'x'), 'x', 'w')
         WHEN 4 THEN '"><img src=x onerror=alert(2)>'
         WHEN 5 THEN 'a' || char(0x202e) || 'b' || char(0x2066)
         ELSE printf('till %04d', i)
       END,
       '0.1.0', 1, now - 300 * 86400 + i, now - i * 7
  FROM number, clock;
INSERT INTO local_license
SELECT 'tills', uuid, uuid, 'CODE', 1, 1, 1, now - i * 7, now + 30 * 86400, uuid, now - i * 700
  FROM number, clock WHERE i < 9200;
INSERT INTO seat_holder
SELECT 'tills', uuid, uuid, 1, now + 30 * 86400 + i FROM number, clock WHERE i < 9200;
INSERT INTO item_held SELECT 'tills', 9200;
INSERT INTO device_identity
SELECT uuid, '', 1, 1, 1, 1, '', uuid, '', '', now - i * 7, 0, 0, 0, now - 300 * 86400
  FROM number, clock;
INSERT INTO device SELECT 'floor', uuid, printf('terminal %02d', i), '0.1.0', 1, now - 300 * 86400, now
  FROM number, clock WHERE i < 40;
INSERT INTO local_license
SELECT 'floor', uuid, 'f' || uuid, 'CODE', 1, 1, 1, now, now + 86400, uuid, now
  FROM number, clock WHERE i < 40;

-- What was used.
INSERT INTO item_day SELECT 'scans', day, 1, 0, CASE WHEN works THEN 200 + chance * 3 ELSE 20 END FROM past;
INSERT INTO item_used SELECT 'scans', 1, 0, sum(amount) FROM item_day WHERE item_id = 'scans';
INSERT INTO item_day SELECT 'pages', day, 2, 1, CASE WHEN works THEN 20 + chance ELSE 0 END FROM past;
INSERT INTO item_day SELECT 'pages', day, 2, 8, CASE WHEN works THEN 10 + chance / 2 ELSE 0 END FROM past;
INSERT INTO item_used SELECT 'pages', 2, module, sum(amount) FROM item_day WHERE item_id = 'pages' GROUP BY module;
INSERT INTO item_day SELECT 'tills', day, 102, 0, 9200 - (today - day) * 20 + chance FROM past, clock;
CREATE TEMP TABLE slot AS
  WITH RECURSIVE n(s) AS (SELECT 160 UNION ALL SELECT s + 1 FROM n WHERE s < 359) SELECT s FROM n;
INSERT INTO slot_sum
SELECT 'floor', day * 480 + s,
       8 + (chance + s * 31) % 9 + CASE WHEN s BETWEEN 195 AND 235 THEN max(0, chance - 70) / 3 ELSE 0 END
  FROM past, slot WHERE works;
INSERT INTO slot_sum
SELECT 'instances', day * 480 + s, 2 + (chance + s * 17) % 7 FROM past, slot WHERE works AND s % 2 = 0;
INSERT INTO item_day
SELECT 'floor', slot / 480, 101, 0, sum(max(0, active - 20)) FROM slot_sum
 WHERE item_id = 'floor' GROUP BY slot / 480;
INSERT INTO year_excess SELECT 'floor', 0, sum(amount) FROM item_day WHERE item_id = 'floor' AND kind = 101;

-- Usage by code, device and symbology: 5 of one and 3 of another, at nine and at ten each day.
INSERT INTO segment SELECT 'scans', 's' || i, uuid, uuid, 'CODE', now - 300 * 86400
  FROM number, clock WHERE i < 12;
INSERT INTO usage_day
SELECT 'scans', day, 's' || i, X'0201010102B4010005140103' FROM past, number WHERE i < 12 AND works;

-- Refusals.
INSERT INTO refusal
SELECT CASE i % 3 WHEN 0 THEN 'floor' WHEN 1 THEN 'tills' ELSE '' END, now / 3600 - i % 300, uuid, 'CODE',
       CASE i % 3 WHEN 0 THEN -20130 WHEN 1 THEN -20120 ELSE -20101 END, 1 + i % 5, now - i * 900,
       'item "floor" has N = 20 and 20 devices are active: <b>try again</b> in the next slot',
       '{}', now - i * 900 + 60, 'item "floor" has N = 20 and 21 devices are active', '{}', '{}',
       CASE i WHEN 0 THEN '<script>alert(1)</script>' ELSE printf('till %04d', i) END
  FROM number, clock WHERE i < 1200;

-- Alerts that are past, one that stays until it is re-armed, and how they were told.
INSERT INTO alert
SELECT printf('%024x', i), 'quota', 'scans', 'scans', i, 'acme', now - i * 86400, now - i * 86400 + 3600, 0,
       'item "scans" has used ' || i || ' % of its quota: <b>ask the vendor</b>'
  FROM number, clock WHERE i BETWEEN 1 AND 70;
INSERT INTO alert
SELECT printf('%024x', 999), 'rolled_back', '"><img src=x onerror=alert(2)>', '', 0, '', now - 9000, NULL, 0,
       'the data was put back: <script>alert(3)</script> ' || char(0x202e) || 'see "epochs"'
  FROM clock;
INSERT INTO alert_event
SELECT printf('%024x', 1000 + i), now - i * 86400, CASE i % 2 WHEN 0 THEN 'fired' ELSE 'recovered' END,
       printf('%024x', i), 'quota', 'scans', 'scans', i, 'acme', 'item "scans" has used ' || i || ' %'
  FROM number, clock WHERE i BETWEEN 1 AND 70;
INSERT INTO alert_delivery
SELECT 'mail', printf('%024x', 1000 + i), CASE i % 3 WHEN 0 THEN 'done' WHEN 1 THEN 'waiting' ELSE 'given_up' END,
       1 + i % 9, now + 86400, now - i * 86400,
       CASE i % 3 WHEN 0 THEN '' ELSE 'mail.example:587: <i>the connection was refused</i>' END
  FROM number, clock WHERE i BETWEEN 1 AND 60;
COMMIT;
