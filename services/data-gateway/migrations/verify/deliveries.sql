-- Verify data-gateway:deliveries on pg

BEGIN;

SELECT receipt, destination, state, rows, attempts, last_error, next_attempt_at, delivered_at, seq
FROM data_gateway.deliveries WHERE false;

ROLLBACK;
