-- Deploy control-tower:triggers to pg

BEGIN;

CREATE SCHEMA control_tower;

-- One row a trigger, however it came.  json, not jsonb: the order of keys and the form of numbers are the
-- sender's and stay so.
CREATE TABLE control_tower.triggers (
	uuid uuid PRIMARY KEY,
	seq bigint NOT NULL, -- position in the journal
	topic text NOT NULL,
	api_version text NOT NULL,
	protocol text NOT NULL,
	plate_rows integer,
	plate_columns integer,
	spec json NOT NULL,
	metadata json,
	source text, -- metadata.source
	bytes integer NOT NULL, -- text of spec and metadata, so that a page can be cut without reading them
	created_at timestamptz NOT NULL,
	CHECK ((plate_rows IS NULL) = (plate_columns IS NULL))
);

CREATE INDEX triggers_created ON control_tower.triggers (created_at DESC, uuid DESC);
CREATE INDEX triggers_api_version ON control_tower.triggers (api_version, created_at DESC, uuid DESC);
CREATE INDEX triggers_protocol ON control_tower.triggers (protocol, created_at DESC, uuid DESC);
CREATE INDEX triggers_source ON control_tower.triggers (source, created_at DESC, uuid DESC);

COMMIT;
