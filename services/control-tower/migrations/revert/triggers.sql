-- Revert control-tower:triggers from pg

BEGIN;

DROP TABLE control_tower.triggers;
DROP SCHEMA control_tower;

COMMIT;
