#!/bin/bash
# Makes a private, relocatable copy of Debian's PostgreSQL 15 (60 MB, a second) and prints the path of its pg_config.
# What is installed with `make PG_CONFIG=$(scripts/pg-prefix.sh DIR) install` is seen by servers started from DIR only,
# so that tests and several working copies never touch the system's PostgreSQL or each other.
# Works because every PostgreSQL program finds its other directories relative to its own (make_relative_path()).
# What does not belong here: starting servers (test/e2e/harness does that), installing packages (scripts/lib does that).
set -eu
dir=${1:?usage: pg-prefix.sh DIR [MAJOR]}
major=${2:-15}
for need in "/usr/lib/postgresql/$major/bin/postgres" "/usr/include/postgresql/$major/server/postgres.h"; do
	if [ ! -e "$need" ]; then
		echo "pg-prefix.sh: $need is missing" >&2
		echo "hint: apt-get install --no-install-recommends postgresql-$major postgresql-server-dev-$major" >&2
		exit 1
	fi
done
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
stamp="$dir/.copied-$("/usr/lib/postgresql/$major/bin/postgres" --version | tr -c 'A-Za-z0-9.\n' _)"
# Extensions that tests need come along; one that is installed later makes the copy anew.
[ ! -e "/usr/lib/postgresql/$major/lib/pg_cron.so" ] || stamp="$stamp-pg_cron"
if [ ! -e "$stamp" ]; then
	rm -rf "${dir:?}/usr" "$dir"/.copied-*
	mkdir -p "$dir/usr/lib/postgresql" "$dir/usr/share/postgresql" "$dir/usr/include"
	cp -a "/usr/lib/postgresql/$major" "$dir/usr/lib/postgresql/"
	cp -a "/usr/share/postgresql/$major" "$dir/usr/share/postgresql/"
	cp -a /usr/include/postgresql "$dir/usr/include/"
	# An observ that the system already has must not leak into the copy.
	rm -rf "$dir/usr/lib/postgresql/$major/lib/observ.so" "$dir/usr/lib/postgresql/$major/lib/bitcode/observ"* \
		"$dir/usr/share/postgresql/$major/extension/observ"*
	touch "$stamp"
fi
echo "$dir/usr/lib/postgresql/$major/bin/pg_config"
