-- Revert data-store:ingest from pg

BEGIN;

DROP VIEW operations.current_versions;
DROP FUNCTION operations.swap;
DROP FUNCTION operations.claim;
DROP FUNCTION operations.register_failure;
DROP FUNCTION operations.register;
DROP FUNCTION operations.hold;
DROP FUNCTION operations.lease;

COMMIT;
