-- Revert data-gateway:deliveries from pg

BEGIN;

DROP TABLE data_gateway.deliveries;

COMMIT;
