-- Deploy control-tower:events to pg

BEGIN;

-- No reference to triggers: a status may be recorded before its trigger.
CREATE TABLE control_tower.trigger_events (
	uuid uuid NOT NULL,
	id uuid NOT NULL, -- of the envelope
	seq bigint NOT NULL,
	status text NOT NULL,
	by text,
	at timestamptz NOT NULL,
	detail json,
	PRIMARY KEY (uuid, id)
);

CREATE INDEX trigger_events_order ON control_tower.trigger_events (uuid, seq);

-- The state that the events of a trigger amount to; no row: accepted.
CREATE TABLE control_tower.trigger_states (
	uuid uuid PRIMARY KEY,
	state text NOT NULL,
	rank smallint NOT NULL, -- 3: an end, from which there is no way back
	seq bigint NOT NULL -- of the event that led here
);

CREATE INDEX trigger_states_state ON control_tower.trigger_states (state);

COMMIT;
