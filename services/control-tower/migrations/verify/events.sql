-- Verify control-tower:events on pg

BEGIN;

SELECT uuid, id, seq, status, by, at, detail FROM control_tower.trigger_events WHERE false;
SELECT uuid, state, rank, seq FROM control_tower.trigger_states WHERE false;

ROLLBACK;
