-- Verify data-gateway:receipts on pg

BEGIN;

SELECT receipt, parent, part, last, uuid, rows, seq, accepted_at FROM data_gateway.receipts WHERE false;

ROLLBACK;
