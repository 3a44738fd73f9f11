#!/bin/bash
# make check-asan: builds everything with AddressSanitizer and UndefinedBehaviorSanitizer in build/asan, then runs the unit
# tests, the regress and isolation lists and the e2e tests in $OBSERV_ASAN_E2E (globs; default: those of the agent and of delivery) on it.
# What does not belong here: how tests are run without sanitizers (Makefile, run-tests.sh).
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
work=$here/build/asan
log=$work/log
# shellcheck source=scripts/lib/common.sh
. "$here/scripts/lib/common.sh"

flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1"
rm -rf "$work/src" "$log"
mkdir -p "$work/src" "$log"
tar -C "$here" --exclude=./build --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.d' --exclude='*.so' \
	--exclude=./obs-agent --exclude=__pycache__ -cf - . | tar -C "$work/src" -xf -
pg_config=$("$here/scripts/pg-prefix.sh" "$work/pg")

# Bitcode is left out: sanitized code is not for inlining into queries.
run_make=(make -C "$work/src" with_llvm=no COPT="$flags" PG_CONFIG="$pg_config")

step "building with sanitizers"
for target in all install; do
	logged "$log/build" "making $target" "${run_make[@]}" -j2 "$target" ||
		fail "the sanitized build failed" "read $log/build"
done

rc=0
step "unit tests"
logged "$log/unit" "running unit tests" "${run_make[@]}" unit || rc=1

# PostgreSQL itself is not instrumented, and does not start with libasan preloaded (bindtextdomain() then waits for ever for
# a lock of its own; Debian 12). So the run-time library comes with observ.so: accesses to stack and globals are checked, those
# to the server's own heap are not.
gcc -Wall -Werror -O1 -shared -fPIC -o "$work/asan_server.so" "$here/scripts/lib/asan_server.c"
export OBSERV_SERVER_ENV="LD_PRELOAD=$work/asan_server.so"
step "regress and isolation"
rm -f "$here/build/server.log" "$work/src/build/server.log"
logged "$log/regress" "running regress and isolation" timeout -k 10 3600 "$work/src/scripts/with-server.sh" "$pg_config" \
	shared_preload_libraries=observ -- \
	make -C "$work/src" with_llvm=no PG_CONFIG="$pg_config" installcheck || rc=1
if grep -nE 'AddressSanitizer|runtime error:' "$work/src/build/server.log"; then
	rc=1
fi

# What a program still holds when it ends is no leak of a program that runs for months; unit tests look for those.
delivery=$(printf 'test/e2e/test_%s.py ' 'notifier*' channels pagers_delivery transfers)
read -ra globs <<<"${OBSERV_ASAN_E2E:-test/e2e/test_agent*.py $delivery}"
mapfile -t files < <(cd "$work/src" && for glob in "${globs[@]}"; do compgen -G "$glob"; done)
if [ ${#files[@]} -gt 0 ]; then
	step "e2e: ${files[*]}"
	logged "$log/e2e" "running e2e" env -C "$work/src" OBSERV_PREBUILT=1 OBSERV_PG_PREFIX="$work/pg" \
		COPT="$flags" with_llvm=no ASAN_OPTIONS=detect_leaks=0 \
		timeout -k 10 7200 /usr/bin/python3 -m pytest -q -p no:cacheprovider -n 2 --dist loadfile "${files[@]}" || rc=1
fi
if [ $rc -eq 0 ]; then
	step "no findings"
else
	step "there are findings; logs: $log"
fi
exit $rc
