#!/bin/sh
# Who may include whom (see docs/ARCHITECTURE.md):
#   libc <- base <- proto (pure) <- proto (I/O) <- {broker, edge-http, cli, store, fetch <- services/*}
set -eu
cd "$(dirname "$0")/.."
bad=0
deny() { # deny <why> <regex of what is included> <files…>
	why=$1 re=$2
	shift 2
	for f in "$@"; do
		[ -f "$f" ] || continue
		if grep -nHE "^#include [<\"]($re)" "$f"; then
			echo "layer violation: $why" >&2
			bad=1
		fi
	done
}
third='czmq|zmq|msgpack|jansson|sodium|sqlite3|libpq|postgres|microhttpd|curl|yaml|uthash|utlist'
house='proto/|broker/|edge-http/|cli/|store/|fetch/|services/'
deny 'base includes only libc and itself' "$house|$third" base/*.[ch]
deny 'proto knows no daemon' 'broker/|edge-http/|cli/|store/|fetch/|services/|sqlite3|libpq|microhttpd|curl|yaml' proto/*.[ch]
for f in proto/*.[ch]; do
	case ${f##*/} in keys.* | sock.* | loop.* | link.* | client* | worker* | svc*) ;; *)
		deny 'the pure half of proto does no I/O' 'czmq|zmq|sys/|poll|proto/(keys|sock|loop|link|client|worker|svc)' "$f"
		;;
	esac
done
deny 'store and fetch know base, proto and one library each' 'broker/|edge-http/|cli/|services/|sqlite3|microhttpd' store/*.[ch] fetch/*.[ch]
deny 'store knows no HTTP' 'curl|fetch/' store/*.[ch]
deny 'fetch knows no SQL' 'libpq|store/' fetch/*.[ch]
for d in broker edge-http cli services/*; do
	for o in broker edge-http cli services/control-tower services/data-gateway services/data-store services/service-gateway; do
		# shellcheck disable=SC2046
		[ "$d" = "$o" ] || deny "$d must not include $o" "$o/" $(find "$d" -name '*.[ch]')
	done
	# shellcheck disable=SC2046
	case $d in
	services/*) deny "$d reaches Postgres and HTTP servers through store and fetch" 'sqlite3|microhttpd|curl' $(find "$d" -name '*.[ch]') ;;
	broker) deny 'the broker knows no service, no HTTP, no SQL server' 'libpq|microhttpd|curl|yaml|store/|fetch/' $(find "$d" -name '*.[ch]') ;;
	edge-http) deny 'the edge knows no SQL' 'libpq|sqlite3|yaml|curl|store/|fetch/' $(find "$d" -name '*.[ch]') ;;
	cli) deny 'the command line is a client of the bus' 'libpq|sqlite3|microhttpd|yaml|store/|fetch/' $(find "$d" -name '*.[ch]') ;;
	esac
done
deny 'libtaxiway knows base and proto' 'broker/|edge-http/|cli/|store/|fetch/|services/|sqlite3|libpq|microhttpd|curl|yaml' clients/c/*.[ch]
deny 'the public header needs nothing but libc' "$house|$third|base/|clients/" clients/c/taxiway.h
deny 'an example needs the public header alone' "$house|$third|base/|clients/" examples/*.c
deny 'a load of the bench is a client of what it measures' 'broker/|edge-http/|cli/|store/|fetch/|services/' bench/*.[ch] bench/lib/*.[ch] tests/chaos/*.[ch]
deny 'the simulation knows the pure cores alone' 'czmq|zmq|sqlite3|proto/(sock|loop|link|client|worker|svc)|broker/(broker|groups|journal|out|pub|verbs)' tests/sim/*.[ch]
# Decision cores take time and input as arguments: what a header calls Pure includes no socket or loop and calls
# nothing that reads a clock, a database or the network (their formatters may be used).
# shellcheck disable=SC2013
for h in $(grep -lE '(^|[ *])P(ure|URE)[.:]' broker/*.h edge-http/*.h services/*/*.h 2>/dev/null); do
	deny 'a pure core does no I/O' 'czmq|zmq|sys/socket|poll|proto/(sock|loop|link|client|worker|svc)|sqlite3' "$h" "${h%.h}.c"
	if [ -f "${h%.h}.c" ] && grep -nHE '(^|[^A-Za-z0-9_])(clock_(mono|real)_[mu]s|pg_(new|run|query)|fetch_(new|start)|loop_(new|run|now|fd|sock|timer|later)|client_call|worker_(new|sub|ack|nak|reject|reply|fail))\(' "${h%.h}.c"; then
		echo 'layer violation: a pure core reads no clock and calls nobody outside' >&2
		bad=1
	fi
done
[ $bad = 0 ] && echo 'layers ok'
exit $bad
