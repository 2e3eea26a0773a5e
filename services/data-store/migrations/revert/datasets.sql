-- Revert data-store:datasets from pg

BEGIN;

-- The loaded tables stay: they are the users' data, not ours.
DROP TABLE operations.version_files;
DROP TABLE operations.datafile_registry;
DROP TABLE operations.dataset_versions;
DROP TABLE operations.datasets;
DROP TYPE operations.processing_state;
DROP SCHEMA operations;

COMMIT;
