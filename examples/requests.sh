#!/bin/sh
# Taxiway with curl alone.  TAXI_HTTP is where the edge listens.
set -eu
http=${TAXI_HTTP:-http://127.0.0.1:8080}
json='Content-Type: application/json'

# A trigger for a plate of two wells; its uuid comes back at once, and 202 means it is on disk.
uuid=$(curl -fsS "$http/triggers" -H "$json" -H "Idempotency-Key: $(cat /proc/sys/kernel/random/uuid)" -d '{
  "apiVersion": "OT-2/v1alpha1", "protocol": "PlateTransfer", "plate": {"rows": 1, "columns": 2},
  "spec": [{"volume": 50}, {"volume": 60}], "metadata": {"source": "examples/requests.sh"}}' |
	sed 's/.*"uuid":"\([^"]*\)".*/\1/')
echo "trigger $uuid"
curl -fsS "$http/triggers/$uuid"

# What a worker without a ZeroMQ library does: report, and send rows.
curl -fsS "$http/triggers/$uuid/status" -H "$json" -d '{"status": "running", "by": "curl"}'
receipt=$(curl -fsS "$http/data/batch" -H "$json" -d "{\"uuid\": \"$uuid\", \"rows\": [
  {\"index\": 0, \"data\": {\"absorbance\": 0.42}}, {\"index\": 1, \"data\": {\"absorbance\": 0.44}}]}" |
	sed 's/.*"receipt":"\([^"]*\)".*/\1/')
echo "receipt $receipt"
curl -fsS "$http/receipts/$receipt"

# A service, called through whichever provider is up.
curl -fsS "$http/services/currency_exchange/v1/rates?base=EUR&currencies=USD,GBP"
