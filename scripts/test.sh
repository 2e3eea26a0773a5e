#!/bin/sh
# Everything CI needs, on a clean clone with nothing running: dependencies, lint, unit tests (address + undefined and
# thread sanitizer), short fuzzing, protocol vectors, system tests on real processes, chaos, and up.sh from nothing.
# All of it builds the tree four times over and takes many minutes; each step says when it began.
#
#   scripts/test.sh            all of it
#   scripts/test.sh STEP…      some of: lint unit fuzz system chaos up
set -eu
case ${1-} in -h | --help)
	sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
	exit 0
	;;
esac
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- lint unit fuzz system chaos up
for s in "$@"; do # now, not after the steps before it
	case $s in lint | unit | fuzz | system | chaos | up) ;; *)
		echo "test.sh: unknown step '$s'; there are: lint unit fuzz system chaos up" >&2
		exit 2
		;;
	esac
done
scripts/deps.sh
export WERROR=1
jobs=$(nproc)
started=$(date +%s)

step() { printf '\n== %s  (%s s)\n' "$*" "$(($(date +%s) - started))"; }
# make -s: only what goes wrong and what the tests say.
mk() { make -s -j"$jobs" "$@"; }
py() { /usr/bin/python3 -m pytest -q -p no:cacheprovider --color=no "$@"; }

for s in "$@"; do
	case $s in
	lint)
		step lint
		mk lint
		;;
	unit)
		step 'unit tests, address and undefined sanitizer'
		mk BUILD=asan all units
		make -s BUILD=asan check
		step 'simulation of the scheduling core, 10,000 seeds'
		mk BUILD=asan sim
		step 'unit tests, thread sanitizer'
		mk BUILD=tsan units
		make -s BUILD=tsan check
		;;
	fuzz)
		step "fuzzers, ${FUZZ_SECS:-20} s each"
		mk fuzzers
		mk FUZZ_SECS="${FUZZ_SECS:-20}" fuzz
		;;
	system)
		step 'vectors and system tests, on the address sanitizer build'
		mk BUILD=asan all examples
		TAXI_BIN=build/asan/bin TAXI_SLOW=3 py -n 4 tests/interop tests/system
		;;
	chaos)
		step 'chaos on the release build: that the verdict can be no, a short bout, a whole installation'
		mk BUILD=release all hand
		make -s BUILD=release chaos-prove ROUNDS="${ROUNDS:-25}"
		make -s chaos-house
		;;
	up)
		step 'up.sh from nothing, twice'
		mk BUILD=release all
		TAXI_BIN=build/release/bin py tests/interop/test_install.py tests/up # the first says more of a build that is for others
		;;
	esac
done
step 'all green'
