-- Verify control-tower:triggers on pg

BEGIN;

SELECT uuid, seq, topic, api_version, protocol, plate_rows, plate_columns, spec, metadata, source, bytes, created_at
FROM control_tower.triggers
WHERE false;

ROLLBACK;
