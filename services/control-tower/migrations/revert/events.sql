-- Revert control-tower:events from pg

BEGIN;

DROP TABLE control_tower.trigger_states;
DROP TABLE control_tower.trigger_events;

COMMIT;
