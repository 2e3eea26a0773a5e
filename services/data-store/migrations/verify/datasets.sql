-- Verify data-store:datasets on pg

BEGIN;

SELECT id, organisation, dataset, table_name, schema_name, version, announced, owner, lease_until, run, created_at
FROM operations.datasets
WHERE false;

SELECT dataset_id, version, run, rows, longest_row, columns, format, loaded_at, dropped_at
FROM operations.dataset_versions
WHERE false;

SELECT id, source, file_name, state, error_message, created_timestamp, updated_timestamp, sha256, size, etag,
	last_modified, url, rows, version
FROM operations.datafile_registry
WHERE false;

SELECT dataset_id, version, position, file_id, rows
FROM operations.version_files
WHERE false;

ROLLBACK;
