-- Deploy data-store:datasets to pg

BEGIN;

CREATE SCHEMA operations;

CREATE TYPE operations.processing_state AS ENUM ('processing', 'failed', 'processed', 'ignored');

-- The catalogue: what may be read through the API, and who is loading it.  The rows of version N are in the table
-- "<schema>"."<table>__vN"; "<schema>"."<table>" is a view of the current one.
CREATE TABLE operations.datasets (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	organisation text NOT NULL CHECK (organisation ~ '^[a-z][a-z0-9_]{0,62}$'),
	dataset text NOT NULL CHECK (dataset ~ '^[a-z][a-z0-9_]{0,62}$'),
	table_name text NOT NULL CHECK (table_name ~ '^[A-Za-z][A-Za-z0-9_]{0,39}$'),
	schema_name text NOT NULL GENERATED ALWAYS AS (organisation || '.' || dataset) STORED,
	version bigint NOT NULL DEFAULT 0, -- 0: nothing was loaded yet
	announced bigint NOT NULL DEFAULT 0, -- the last version whose dataset.loaded was published
	owner uuid, -- who may change it, until then
	lease_until timestamptz,
	run uuid, -- the trigger it is leased for
	created_at timestamptz NOT NULL DEFAULT now(),
	UNIQUE (schema_name, table_name),
	CHECK (octet_length(organisation || '.' || dataset) <= 63),
	CHECK (num_nulls(owner, lease_until, run) IN (0, 3))
);

CREATE TABLE operations.dataset_versions (
	dataset_id bigint NOT NULL REFERENCES operations.datasets,
	version bigint NOT NULL CHECK (version > 0),
	run uuid NOT NULL, -- the trigger that asked for it
	rows bigint NOT NULL,
	longest_row bigint NOT NULL, -- bytes, as they stood in the file
	columns jsonb NOT NULL, -- [{name, type}], without the hidden ones
	format text NOT NULL, -- digest of what decides how a file becomes rows
	loaded_at timestamptz NOT NULL DEFAULT now(),
	dropped_at timestamptz, -- its table is gone
	PRIMARY KEY (dataset_id, version)
);

-- One row for each content a file ever had; sha256 is '' where it could not be fetched.
CREATE TABLE operations.datafile_registry (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	source text NOT NULL, -- organisation.dataset.table
	file_name text NOT NULL,
	state operations.processing_state NOT NULL,
	error_message text,
	created_timestamp timestamptz NOT NULL DEFAULT now(),
	updated_timestamp timestamptz NOT NULL DEFAULT now(),
	sha256 text NOT NULL CHECK (sha256 ~ '^([0-9a-f]{64})?$'),
	size bigint,
	etag text NOT NULL DEFAULT '',
	last_modified text NOT NULL DEFAULT '',
	url text NOT NULL,
	rows bigint,
	version bigint, -- the last version it was loaded into
	UNIQUE (source, file_name, sha256),
	CHECK ((state = 'failed') = (error_message IS NOT NULL))
);

CREATE INDEX datafile_registry_state ON operations.datafile_registry (state, id DESC);

-- What each version is made of, in the order of its rows.
CREATE TABLE operations.version_files (
	dataset_id bigint NOT NULL,
	version bigint NOT NULL,
	position bigint NOT NULL,
	file_id bigint NOT NULL REFERENCES operations.datafile_registry,
	rows bigint NOT NULL,
	PRIMARY KEY (dataset_id, version, position),
	UNIQUE (dataset_id, version, file_id),
	FOREIGN KEY (dataset_id, version) REFERENCES operations.dataset_versions
);

COMMIT;
