# Debian packages: which ones observ needs, and installing the missing ones without disturbing what is there.
# What belongs here: apt and dpkg. What does not: building. Needs common.sh.
# shellcheck shell=bash disable=SC2034  # the lists are used by the scripts that source this file

PACKAGES_BUILD=(gcc libc6-dev make postgresql-15 postgresql-server-dev-15 libpq-dev libyaml-dev libcurl4-openssl-dev libssl-dev)
PACKAGES_TEST=(git python3 python3-pytest python3-pytest-xdist python3-psycopg python3-aiosmtpd openssl postgresql-15-cron libcmocka-dev libclang-rt-14-dev clang-format-14 cppcheck shellcheck procps)

# missing_packages NAME...: those that are not installed, one a line.
missing_packages() {
	local package
	for package in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
	done
}

# same_version NAME...: asks for postgresql-server-dev-15 in the version of the installed server where apt has it, so that
# headers and server agree.
same_version() {
	local server package
	server=$(dpkg-query -W -f '${Version}' postgresql-15 2>/dev/null || true)
	for package in "$@"; do
		if [ "$package" = postgresql-server-dev-15 ] && [ -n "$server" ] &&
			apt-cache madison "$package" | grep -qF " $server "; then
			package="$package=$server"
		fi
		echo "$package"
	done
}

# Without this, Debian makes a cluster "main" on port 5432 and starts it when the server package comes to a machine for the
# first time. observ has a cluster of its own, and a port that nobody asked for should stay closed.
DROP_IN=/etc/postgresql-common/createcluster.d/observ-quick-start.conf
DROP_IN_MADE=

prevent_main_cluster() {
	[ -n "$(missing_packages postgresql-15)" ] || return 0
	[ -d "${DROP_IN%/*}" ] || { mkdir -p "${DROP_IN%/*}" && DROP_IN_MADE=1; }
	echo "create_main_cluster = false # only while observ installs postgresql-15" >"$DROP_IN"
}

allow_main_cluster() {
	rm -f "$DROP_IN"
	[ -z "$DROP_IN_MADE" ] || rmdir --ignore-fail-on-non-empty "${DROP_IN%/*}" 2>/dev/null || true
	DROP_IN_MADE=
}

# apt_plan LOG NAME...: what apt-get would do; refuses a plan that removes packages or upgrades the server, because that
# restarts every cluster of the machine.
apt_plan() {
	local log=$1 plan
	shift
	plan=$(apt-get install -s --no-install-recommends --no-upgrade "$@" 2>&1) || {
		printf '%s\n' "$plan" >>"$log"
		printf '%s\n' "$plan" | grep -E '^(E:|Err)' >&2 || true
		fail "apt-get has no way to install: $*" \
			"observ is made for Debian 12 (bookworm); this machine says: $(. /etc/os-release && echo "$PRETTY_NAME")" \
			"look at the output of: apt-get install --no-install-recommends $*" "log: $log"
	}
	printf '%s\n' "$plan" >>"$log"
	if printf '%s\n' "$plan" | grep -qE '^Remv |^Inst postgresql-[0-9]+ \['; then
		printf '%s\n' "$plan" | grep -E '^Remv |^Inst postgresql-[0-9]+ \[' >&2
		fail "installing $* would remove packages, or upgrade a PostgreSQL server and restart its clusters" \
			"do it yourself at a time that suits you: apt-get install --no-install-recommends $*" \
			"then run $0 again"
	fi
}

# install_packages LOG NAME...: installs what is missing and nothing else; quiet when nothing is.
install_packages() {
	local log=$1 missing wanted
	shift
	mapfile -t missing < <(missing_packages "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null || fail "packages are missing and there is no apt-get: ${missing[*]}" \
		"install them with the package manager of this system, then run $0 again"
	step "installing packages: ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	logged "$log" "updating package lists" apt-get -q -o DPkg::Lock::Timeout=120 update ||
		step "  apt-get update failed; going on with the lists there are"
	mapfile -t wanted < <(same_version "${missing[@]}")
	apt_plan "$log" "${wanted[@]}"
	trap allow_main_cluster EXIT
	prevent_main_cluster
	logged "$log" "installing packages" apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends \
		--no-upgrade "${wanted[@]}" || fail "apt-get could not install: ${wanted[*]}" \
		"look at the end of $log, repair it (often: apt-get update, or a proxy for apt), then run $0 again"
	allow_main_cluster
	trap - EXIT
}
