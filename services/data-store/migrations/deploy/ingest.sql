-- Deploy data-store:ingest to pg

BEGIN;

-- SQLSTATE TX001: the lease is someone else's by now; TX002: what was loaded is not what was read.

-- The dataset, leased to `new_owner`; no row while another trigger has it.  The same trigger handed out again means
-- that its worker is lost, or cut off: then the lease moves on at once, and operations.hold stops the old one.
CREATE FUNCTION operations.lease(org text, ds text, tab text, new_owner uuid, trigger_uuid uuid, seconds integer)
RETURNS SETOF operations.datasets
LANGUAGE sql AS $$
	INSERT INTO operations.datasets AS d (organisation, dataset, table_name, owner, lease_until, run)
	VALUES (org, ds, tab, new_owner, now() + make_interval(secs => seconds), trigger_uuid)
	ON CONFLICT (schema_name, table_name) DO UPDATE
	SET owner = excluded.owner, lease_until = excluded.lease_until, run = excluded.run
	WHERE d.owner IS NULL OR d.run = excluded.run OR d.lease_until < now()
	RETURNING d.*
$$;

-- Lock the dataset and make sure that it is still ours.
CREATE FUNCTION operations.hold(ds bigint, run_owner uuid) RETURNS operations.datasets
LANGUAGE plpgsql AS $$
DECLARE
	d operations.datasets;
BEGIN
	SELECT * INTO d FROM operations.datasets WHERE id = ds AND owner = run_owner FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'another run has taken this dataset' USING ERRCODE = 'TX001';
	END IF;
	RETURN d;
END
$$;

-- The content of a file is in the object store.  Answers what is to be done with it: 'processing' load it,
-- 'processed' the current version has it already, 'ignored' leave it.
CREATE FUNCTION operations.register(ds bigint, run_owner uuid, fmt text, name text, digest text, bytes bigint,
	tag text, modified text, address text, OUT file_id bigint, OUT what operations.processing_state)
LANGUAGE plpgsql AS $$
DECLARE
	d operations.datasets := operations.hold(ds, run_owner);
	origin text := d.schema_name || '.' || d.table_name;
BEGIN
	DELETE FROM operations.datafile_registry WHERE source = origin AND file_name = name AND sha256 = '';
	INSERT INTO operations.datafile_registry AS r
		(source, file_name, state, sha256, size, etag, last_modified, url)
	VALUES (origin, name, 'processing', digest, bytes, tag, modified, address)
	ON CONFLICT (source, file_name, sha256) DO UPDATE
	SET updated_timestamp = clock_timestamp(), etag = tag, last_modified = modified, url = address,
		size = coalesce(bytes, r.size), error_message = NULL,
		state = CASE
			WHEN r.state = 'ignored' THEN r.state
			WHEN EXISTS (
				SELECT FROM operations.version_files f
				JOIN operations.dataset_versions v USING (dataset_id, version)
				WHERE f.file_id = r.id AND f.dataset_id = d.id AND f.version = d.version
					AND v.format = fmt
			) THEN 'processed'
			ELSE 'processing'
		END
	RETURNING r.id, r.state INTO file_id, what;
END
$$;

-- A file that could not be fetched.
CREATE FUNCTION operations.register_failure(ds bigint, run_owner uuid, name text, address text, why text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	d operations.datasets := operations.hold(ds, run_owner);
BEGIN
	INSERT INTO operations.datafile_registry AS r (source, file_name, state, error_message, sha256, url)
	VALUES (d.schema_name || '.' || d.table_name, name, 'failed', why, '', address)
	ON CONFLICT (source, file_name, sha256) DO UPDATE
	SET updated_timestamp = clock_timestamp(), state = 'failed', error_message = why, url = address;
END
$$;

-- Before a table of a new version is made: one run at a time, and only the one that holds the lease.
CREATE FUNCTION operations.claim(ds bigint, run_owner uuid, ver bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	d operations.datasets;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('operations.datasets', ds));
	SELECT * INTO d FROM operations.datasets WHERE id = ds AND owner = run_owner;
	IF NOT FOUND OR d.version <> ver - 1 THEN
		RAISE EXCEPTION 'another run has taken this dataset' USING ERRCODE = 'TX001';
	END IF;
END
$$;

-- Make a filled table the current version.  `files` were loaded from their objects (rows in `counts`), behind what
-- was carried over from the version before when `carry` is set.
CREATE FUNCTION operations.swap(ds bigint, run_owner uuid, run_uuid uuid, ver bigint, cols jsonb, fmt text,
	longest bigint, carry boolean, files bigint[], counts bigint[]) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	d operations.datasets := operations.hold(ds, run_owner);
	before operations.dataset_versions;
	new_table text := d.table_name || '__v' || ver;
	total bigint;
	filled bigint;
	changed bigint;
BEGIN
	IF d.version <> ver - 1 THEN
		RAISE EXCEPTION 'another run has taken this dataset' USING ERRCODE = 'TX001';
	END IF;
	SELECT * INTO before FROM operations.dataset_versions WHERE dataset_id = ds AND version = d.version;
	INSERT INTO operations.dataset_versions (dataset_id, version, run, rows, longest_row, columns, format)
	VALUES (ds, ver, run_uuid, 0, greatest(longest, CASE WHEN carry THEN before.longest_row END), cols, fmt);
	INSERT INTO operations.version_files (dataset_id, version, position, file_id, rows)
	SELECT ds, ver, row_number() OVER (ORDER BY part, place), file_id, n
	FROM (
		SELECT 1 AS part, f.position AS place, f.file_id, f.rows AS n
		FROM operations.version_files f JOIN operations.datafile_registry r ON r.id = f.file_id
		WHERE carry AND f.dataset_id = ds AND f.version = d.version AND r.file_name NOT IN
			(SELECT file_name FROM operations.datafile_registry WHERE id = ANY (files))
		UNION ALL
		SELECT 2, u.place, u.file_id, u.n FROM unnest(files, counts) WITH ORDINALITY AS u (file_id, n, place)
	) AS parts;

	SELECT coalesce(sum(f.rows), 0) INTO total
	FROM operations.version_files f WHERE f.dataset_id = ds AND f.version = ver;
	-- Identities are given in order and without gaps, so the last one is the number of rows.
	EXECUTE format('SELECT coalesce(max(id), 0) FROM %I.%I', d.schema_name, new_table) INTO filled;
	IF total <> filled THEN
		RAISE EXCEPTION '% rows were read and % loaded', total, filled USING ERRCODE = 'TX002';
	END IF;
	UPDATE operations.dataset_versions SET rows = total WHERE dataset_id = ds AND version = ver;

	UPDATE operations.datafile_registry r
	SET state = 'processed', rows = u.n, version = ver, updated_timestamp = clock_timestamp()
	FROM unnest(files, counts) AS u (file_id, n)
	WHERE r.id = u.file_id AND r.state = 'processing';
	GET DIAGNOSTICS changed = ROW_COUNT;
	IF changed <> cardinality(files) THEN
		RAISE EXCEPTION 'a file is no longer being processed' USING ERRCODE = 'TX001';
	END IF;

	-- Replacing keeps grants and what was built on the view; it can only be done for the same columns.
	IF before.columns IS DISTINCT FROM cols THEN
		EXECUTE format('DROP VIEW IF EXISTS %I.%I', d.schema_name, d.table_name);
	END IF;
	EXECUTE format('CREATE OR REPLACE VIEW %1$I.%2$I AS SELECT * FROM %1$I.%3$I',
		d.schema_name, d.table_name, new_table);
	-- The version before stays one swap long, for readers in the middle of it.
	EXECUTE format('DROP TABLE IF EXISTS %I.%I', d.schema_name, d.table_name || '__v' || (ver - 2));
	UPDATE operations.dataset_versions SET dropped_at = now()
	WHERE dataset_id = ds AND version <= ver - 2 AND dropped_at IS NULL;
	UPDATE operations.datasets SET version = ver WHERE id = ds;
	RETURN total;
END
$$;

-- What dataset.loaded says of the current version.
CREATE VIEW operations.current_versions AS
SELECT d.id, d.organisation, d.dataset, d.schema_name, d.table_name, d.version, d.announced, v.rows, v.longest_row,
	v.format, v.columns, v.loaded_at, v.run,
	(SELECT count(*) FROM operations.version_files f WHERE (f.dataset_id, f.version) = (d.id, d.version)) AS files,
	(SELECT r.file_name FROM operations.version_files f JOIN operations.datafile_registry r ON r.id = f.file_id
		WHERE (f.dataset_id, f.version) = (d.id, d.version) ORDER BY f.position DESC LIMIT 1) AS last_file
FROM operations.datasets d
JOIN operations.dataset_versions v ON (v.dataset_id, v.version) = (d.id, d.version);

COMMIT;
