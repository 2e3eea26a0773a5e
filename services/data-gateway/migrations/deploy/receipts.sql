-- Deploy data-gateway:receipts to pg

BEGIN;

CREATE SCHEMA data_gateway;

-- One row an accepted envelope of rows.in, also one that no destination could read: then uuid is null.
CREATE TABLE data_gateway.receipts (
	receipt uuid PRIMARY KEY, -- the envelope's id
	parent uuid NOT NULL, -- what the caller was given: the receipt itself, or that of the whole stream
	part integer, -- of a stream: which piece, from 0
	last boolean, -- of a stream: no piece follows
	uuid uuid, -- the trigger's
	rows integer NOT NULL,
	seq bigint NOT NULL, -- position in the journal
	accepted_at timestamptz NOT NULL
);

CREATE INDEX receipts_parent ON data_gateway.receipts (parent);
CREATE INDEX receipts_uuid ON data_gateway.receipts (uuid, seq DESC) WHERE coalesce(part, 0) = 0;

COMMIT;
