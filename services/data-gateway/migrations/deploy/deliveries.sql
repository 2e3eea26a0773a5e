-- Deploy data-gateway:deliveries to pg

BEGIN;

-- The last word of each destination about each envelope.  No reference to receipts: a report may be recorded first.
CREATE TABLE data_gateway.deliveries (
	receipt uuid NOT NULL,
	destination text NOT NULL,
	state text NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')), -- pending: an attempt failed
	rows integer, -- null: a dead letter does not say
	attempts integer,
	last_error text,
	next_attempt_at timestamptz,
	delivered_at timestamptz,
	seq bigint NOT NULL, -- of the report: an earlier one never replaces a later one
	PRIMARY KEY (receipt, destination)
);

COMMIT;
