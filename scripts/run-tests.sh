#!/bin/bash
# All tests in one command: sudo scripts/run-tests.sh [lint] [unit] [fuzz] [regress] [isolation] [e2e]
# Installs what the tests need, runs the suites named (default: all), and ends with "N passed, N failed".
# What belongs here: order, counting, showing failures. What does not: the tests; how each suite is run (Makefile).
#
# Everything is built and run in a copy below /tmp that the user postgres can read, so that the clone may lie anywhere and
# stays clean. Full logs: build/test-logs of the clone.
set -euo pipefail
umask 022

here=$(cd "$(dirname "$0")/.." && pwd)
logs=$here/build/test-logs
suites=(lint unit fuzz regress isolation e2e)
passed=0
failed=0
declare -A begun=()

# shellcheck source=scripts/lib/common.sh
. "$here/scripts/lib/common.sh"
# shellcheck source=scripts/lib/packages.sh
. "$here/scripts/lib/packages.sh"

# count_matches FILE REGEX: number of matching lines.
count_matches() {
	grep -cE "$2" "$1" || true
}

# sum_numbers FILE SED-EXPRESSION: sum of what the expression leaves.
sum_numbers() {
	sed -nE "$2" "$1" | awk '{ n += $1 } END { print n + 0 }'
}

run_lint() {
	"$work/scripts/lint" --strict
}

run_unit() {
	timeout --kill-after=10 300 make -C "$work" PG_CONFIG="$pg_config" -j "$(nproc)" -k unit
}

# Some seconds for each reader of what others wrote, beginning with the inputs that are kept in test/fuzz/corpus.
run_fuzz() {
	timeout --kill-after=10 400 make -C "$work" PG_CONFIG="$pg_config" -j "$(nproc)" -O FUZZ_SECONDS=3 fuzz
}

# on_server SUITE MAKE-ARGUMENT: installcheck on a server of its own, so that a crash in one suite does not take the other along.
# Workers run, but jobs are called by the tests alone, in virtual time (as in make check).
on_server() {
	OBSERV_SERVER_LOG=$work/build/$1.server.log timeout --kill-after=30 500 "$work/scripts/with-server.sh" "$pg_config" shared_preload_libraries=observ -- \
		make -C "$work" PG_CONFIG="$pg_config" "$2" installcheck
}

run_regress() {
	on_server regress ISOLATION=
}

run_isolation() {
	on_server isolation REGRESS=
}

e2e_pytest() {
	(cd "$work" && OBSERV_PREBUILT=1 timeout --kill-after=30 1400 /usr/bin/python3 -m pytest test/e2e -o cache_dir="$work/build/pytest-cache" -rfEs \
		--durations=40 "$@")
}

# Most tests wait most of the time, so there are three for each processor (with two a processor was idle half of the time). On a machine that others use, a deadline may pass: what failed
# is run once more, alone, and said to have been.
run_e2e() {
	e2e_pytest -n "$((3 * $(nproc)))" --dist loadfile && return 0
	echo "### what failed, once more and alone"
	e2e_pytest -n 0 --last-failed --last-failed-no-failures none
}

# count_SUITE LOG: prints "passed failed", one per test of the suite.
count_lint() {
	[ "$1" = 0 ] && echo 1 0 || echo 0 1
}

# A program that crashed has no summary; it counts as one failure.
count_unit() {
	local crashed
	crashed=$(($(count_matches "$2" '^# build/unit/') - $(count_matches "$2" '^\[=+\] [0-9]+ test\(s\) run')))
	echo "$(sum_numbers "$2" 's/^\[  PASSED  \] ([0-9]+) test.*/\1/p')" \
		"$(($(sum_numbers "$2" 's/^\[  FAILED  \] ([0-9]+) test.*/\1/p') + crashed))"
}

# libFuzzer's last line for each program that found nothing.
count_fuzz() {
	echo "$(count_matches "$2" '^Done [0-9]+ runs in ')" "$([ "$1" = 0 ] && echo 0 || echo 1)"
}

count_regress() {
	echo "$(count_matches "$2" ' \.\.\. ok ')" "$(count_matches "$2" ' \.\.\. FAILED')"
}

count_isolation() {
	count_regress "$@"
}

# Passed: at first or alone. Failed: what failed in the last run that there was.
count_e2e() {
	local all last
	all=$(mktemp)
	last=$(mktemp)
	grep -E '^=+ .* in [0-9.]+s' "$2" >"$all" || true
	tail -n 1 "$all" >"$last"
	echo "$(sum_numbers "$all" 's/.*[ =]([0-9]+) passed.*/\1/p')" \
		"$(($(sum_numbers "$last" 's/.*[ =]([0-9]+) failed.*/\1/p') + $(sum_numbers "$last" 's/.*[ =]([0-9]+) errors?.*/\1/p')))"
	rm -f "$all" "$last"
}

# show_failures SUITE LOG: the part of a log that says what went wrong.
show_failures() {
	local diffs=$work/build/$1/regression.diffs
	if [ -s "$diffs" ]; then
		cp "$diffs" "$logs/$1.diffs"
		head -n 150 "$diffs"
		echo "(all of it: $logs/$1.diffs)"
		[ ! -s "$work/build/$1.server.log" ] || cp "$work/build/$1.server.log" "$logs/$1.server.log"
	elif [ "$1" = e2e ]; then
		# Each failed test's name, assertion and place; servers' logs are in the whole log.
		grep -E '^(E  |_____* .* _____*$|[^ ]+\.py:[0-9]+: |FAILED|ERROR|SKIPPED|=+ .* in )' "$2" | cut -c1-300 | tail -n 150
	elif [ "$1" = unit ]; then
		grep -nE -B8 '^\[  (FAILED|ERROR)|^make.*Error|error:' "$2" | tail -n 100
	else
		tail -n 60 "$2"
	fi
}

# begin_suite NAME: beside those that come before it. A suite of SQL is one session after the other, on one processor.
begin_suite() {
	"run_$1" </dev/null >"$logs/$1.log" 2>&1 &
	begun[$1]=$!
}

# run_suite NAME: runs one suite with its log, adds to the counts.
run_suite() {
	local log=$logs/$1.log rc=0 good bad
	step "$1"
	if [ -n "${begun[$1]:-}" ]; then
		wait "${begun[$1]}" || rc=$?
	else
		begun[$1]=now
		[ "$1" != regress ] || [ -n "${begun[isolation]:-}" ] || [[ " ${suites[*]} " != *" isolation "* ]] || begin_suite isolation
		"run_$1" </dev/null >"$log" 2>&1 || rc=$?
	fi
	read -r good bad < <("count_$1" "$rc" "$log")
	# A suite that broke off without naming a test that failed has failed all the same, and so has one that ran nothing.
	[ "$rc" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
	[ $((good + bad)) -gt 0 ] || bad=1
	passed=$((passed + good))
	failed=$((failed + bad))
	if [ "$bad" -gt 0 ]; then
		echo "--- $1: $bad failed; $log"
		show_failures "$1" "$log"
		echo "---"
	else
		step "$1: $good passed"
		grep -E '^FAILED' "$log" | cut -c1-200 | sed 's/^FAILED/  passed only alone:/' || true
	fi
}

# servers_in_memory: the directory of servers that are thrown away, in memory where there is plenty. A server is a thousand files and so
# is each database with the extension; on a disk, making and removing them took up to half of the time of CREATE EXTENSION.
servers_in_memory() {
	local least=$((8 * 1024 * 1024)) memory room
	memory=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
	room=$(df -k --output=avail /dev/shm 2>/dev/null | tail -n 1)
	unset OBSERV_SERVERS
	[ "${memory:-0}" -ge $least ] && [ "${room:-0}" -ge $least ] || return 0
	OBSERV_SERVERS=$(mktemp -d /dev/shm/observ-tests-XXXXXX)
	export OBSERV_SERVERS
	chmod 0755 "$OBSERV_SERVERS"
}

# prepare: a copy of the sources, built, and a private PostgreSQL with observ installed.
prepare() {
	work=$(mktemp -d /tmp/observ-tests-XXXXXX)
	trap 'rm -rf "$work" ${OBSERV_SERVERS:+"$OBSERV_SERVERS"}' EXIT
	chmod 0755 "$work"
	servers_in_memory
	tar -C "$here" --exclude=./build --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.d' --exclude='*.so' \
		--exclude=./obs-agent --exclude=__pycache__ -cf - . | tar -C "$work" --no-same-owner -xf -
	chmod -R a+rX "$work"
	step "building"
	pg_config=$("$work/scripts/pg-prefix.sh" "$work/build/pg")
	export OBSERV_PG_PREFIX=$work/build/pg
	logged "$logs/build.log" building make -s -C "$work" -j"$(nproc)" PG_CONFIG="$pg_config" all &&
		logged "$logs/build.log" installing make -s -C "$work" PG_CONFIG="$pg_config" install
}

main() {
	local suite
	for suite in "$@"; do
		[[ " ${suites[*]} " == *" $suite "* ]] || fail "there is no suite $suite" "suites: ${suites[*]}"
	done
	need_root "$@"
	forget_pg_variables
	[ $# -eq 0 ] || suites=("$@")
	rm -rf "$logs"
	mkdir -p "$logs"
	install_packages "$logs/packages.log" "${PACKAGES_BUILD[@]}" "${PACKAGES_TEST[@]}"
	if prepare; then
		for suite in "${suites[@]}"; do
			run_suite "$suite"
		done
	else
		failed=1
	fi
	step "logs: $logs"
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ]
}

main "$@"
