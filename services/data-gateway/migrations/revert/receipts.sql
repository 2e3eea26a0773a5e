-- Revert data-gateway:receipts from pg

BEGIN;

DROP TABLE data_gateway.receipts;
DROP SCHEMA data_gateway;

COMMIT;
