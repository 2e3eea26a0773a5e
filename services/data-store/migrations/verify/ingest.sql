-- Verify data-store:ingest on pg

BEGIN;

SELECT id, last_file FROM operations.current_versions WHERE false;

SELECT 'operations.swap'::regproc, 'operations.claim'::regproc, 'operations.register_failure'::regproc,
	'operations.register'::regproc, 'operations.hold'::regproc, 'operations.lease'::regproc;

ROLLBACK;
