#!/bin/sh
# Calls we do not make, and sizes we keep.
set -eu
cd "$(dirname "$0")/.."
bad=0
files=$(git ls-files '*.c' '*.h' | grep -vE '^tests/fuzz/')
ban() { # ban <why> <regex> <files allowed, as a regex>
	# shellcheck disable=SC2046,SC2086
	if grep -nHE "$2" $(printf '%s\n' $files | grep -vE "$3") | grep -vE ':\s*(/?\*|//)'; then
		echo "style: $1" >&2
		bad=1
	fi
}
call='(^|[^A-Za-z0-9_>.])'
ban 'unbounded or unsafe libc call' "$call(strcpy|strcat|sprintf|vsprintf|strncpy|strncat|strtok|gets|alloca|atoi|atol|atof|system|popen|localtime|gmtime|asctime|ctime|rand|srand|signal|mktemp|tmpnam)\\(" '^tests/'
ban 'no sleeping' "$call(sleep|usleep|nanosleep)\\(" '^(bench|tests)/'
ban 'numbers are parsed in base/str.c' "${call}strto(l|ul|ll|ull|d|f|imax|umax)\\(" '^(base/str\.c|tests/)'
ban 'sockets are made in proto/sock.c' 'zsock_new|zmq_socket\(|zmq_ctx_new' '^(proto/sock\.c|tests/|bench/)'
ban 'frames are not strings' 'zstr_recv|zmsg_popstr|zframe_strdup' '^$'
ban 'bytes of a peer are scanned first (proto/mp.c, proto/doc.c)' 'msgpack_unpack' '^(proto/(mp|doc)\.c|tests/)'
ban 'allocate through base (xcalloc, buf) outside base, proto and broker' "$call(malloc|calloc|realloc|strdup|strndup|asprintf)\\(" '^(base|proto|broker|tests|bench)/'
ban 'exit belongs to main and to base/die' "${call}(abort|assert)\\(" '^tests/'
ban 'unfinished work' '\b(TODO|FIXME|XXX)\b' '^$'
# uthash's macros nest deeper than our code may, so depth is counted here in tabs and not by clang-tidy.
# shellcheck disable=SC2046,SC2086
if grep -nHE '^	{6,7}[a-z}]' $(printf '%s\n' $files | grep '\.c$' | grep -v '^tests/'); then
	echo 'style: nested more than four deep' >&2
	bad=1
fi
for f in $files; do
	n=$(wc -l <"$f")
	if [ "$n" -gt 800 ]; then
		echo "$f: $n lines, over 800" >&2
		bad=1
	fi
	case $f in *.c) awk -v f="$f" '
		/^\{/ { s = NR }
		/^\}/ { if (s && NR - s + 1 > 82) { print f ":" s ": function of " NR - s - 1 " lines, over 80"; e = 1 } s = 0 }
		END { exit e }' "$f" >&2 || bad=1 ;;
	esac
done
[ $bad = 0 ] && echo 'style ok'
exit $bad
