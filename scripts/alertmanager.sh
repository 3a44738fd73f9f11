#!/bin/bash
# Runs Debian's prometheus-alertmanager in place of this script: taken out of its package, which is fetched once into build/alertmanager, not installed: no
# service, no user, nothing outside of build/. For the tests and benchmarks that run it beside observ.
#   scripts/alertmanager.sh --config.file=… …      scripts/alertmanager.sh --version
set -euo pipefail

cd "$(dirname "$0")/.."
directory=$PWD/build/alertmanager

download() {
	apt-get -qq -o APT::Sandbox::User=root download prometheus-alertmanager
}

fetch() {
	local work
	mkdir -p build
	work=$(mktemp -d build/alertmanager.XXXXXX)
	# shellcheck disable=SC2064  # the directory as it is called now
	trap "rm -rf '$work'" EXIT
	# apt drops its rights where it can, and must be able to write here all the same.
	(cd "$work" && { download || { apt-get -qq update && download; }; }) >&2
	dpkg -x "$work"/prometheus-alertmanager_*.deb "$work/root"
	# Whole or not at all; somebody else may have been faster.
	mv -T "$work/root" "$directory" || [ -x "$directory/usr/bin/prometheus-alertmanager" ]
}

[ -x "$directory/usr/bin/prometheus-alertmanager" ] || fetch
# It reads templates in /usr/share, wherever the program is: its own /usr/share is put there, for this process only.
options=(--mount)
[ "$(id -u)" = 0 ] || options+=(--map-root-user)
# shellcheck disable=SC2016  # what $1 and $@ are, the inner shell knows
exec unshare "${options[@]}" sh -c 'mount --bind "$1/usr/share" /usr/share && shift && exec "$@"' sh "$directory" "$directory/usr/bin/prometheus-alertmanager" "$@"
