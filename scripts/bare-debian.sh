#!/bin/bash
# Tries this working copy on a bare Debian 12: makes a minimal system with debootstrap in a directory, clones the last commit
# into it and runs a command there, in a mount and process name space of its own. Proves that the package lists are complete.
#   scripts/bare-debian.sh DIR [COMMAND ...]        default: scripts/start-monitoring.sh
# DIR.base keeps the pristine system for the next time, DIR is made anew each time and left for a look at its logs.
# OBSERV_DEBIAN_SECURITY= (empty) leaves the security archive out: an older minor version of PostgreSQL is then built for.
# What belongs here: the empty machine. What does not: what is run on it.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/lib/common.sh
. "$here/scripts/lib/common.sh"
dir=${1:?usage: bare-debian.sh DIR [COMMAND ...]}
shift
[ $# -gt 0 ] || set -- scripts/start-monitoring.sh
need_root "$dir" "$@"
command -v debootstrap >/dev/null || fail "debootstrap is not installed" "apt-get install --no-install-recommends debootstrap"
mirror=${OBSERV_DEBIAN_MIRROR:-http://deb.debian.org/debian}

if [ ! -e "$dir.base/etc/debian_version" ]; then
	step "debootstrap in $dir.base"
	rm -rf "$dir.base.new"
	debootstrap --variant=minbase bookworm "$dir.base.new" "$mirror" >"$dir.base.log" 2>&1 ||
		fail "debootstrap failed" "read $dir.base.log"
	cat >"$dir.base.new/etc/apt/sources.list" <<-LIST
		deb $mirror bookworm main
		deb $mirror bookworm-updates main
		${OBSERV_DEBIAN_SECURITY-deb http://deb.debian.org/debian-security bookworm-security main}
	LIST
	mv "$dir.base.new" "$dir.base"
fi
step "a bare system in $dir"
rm -rf --one-file-system "$dir"
cp -a "$dir.base" "$dir"
cp /etc/resolv.conf "$dir/etc/resolv.conf"
git -c safe.directory="$here" clone -q "$here" "$dir/root/observ"
# A home of root's that nobody else may enter is the rule, and a trap for what runs as postgres.
chmod 0700 "$dir/root"
step "$*"
# shellcheck disable=SC2016  # expanded by the inner shell
exec unshare --mount --propagation private --pid --fork --kill-child bash -c '
	dir=$1
	shift
	mount -t proc proc "$dir/proc"
	mount --rbind /sys "$dir/sys"
	mount --rbind /dev "$dir/dev"
	mount -t tmpfs tmpfs "$dir/run"
	exec chroot "$dir" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb \
		env -C /root/observ "$@"' bash "$(cd "$dir" && pwd)" "$@"
