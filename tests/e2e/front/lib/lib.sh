# SPDX-License-Identifier: MIT
# lib.sh - for the front's scripts: a file without endpoints, so that no peer is needed; TAP, failures with what is in
# $work/log

set -u
build=$(realpath "${WGWRAP_BUILD:-${BUILD:-$(dirname "$0")/../../../build}}")
wgwrap=$build/wgwrap
work=$(mktemp -d) || exit 1
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
export WGWRAP_RUNTIME_DIR="$work/run"
conf=$work/lone.conf

# shellcheck source=tests/e2e/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
log=$work/log

[ -x "$wgwrap" ] || {
	echo "1..0 # SKIP $wgwrap is not built"
	exit 0
}
{
	echo "[Interface]"
	echo "PrivateKey = $("$wgwrap" genkey)"
	echo "Address = 10.9.0.2/32"
	echo "[Peer]"
	echo "PublicKey = $("$wgwrap" genkey | "$wgwrap" pubkey)"
	echo "AllowedIPs = 10.9.0.0/24"
} >"$conf"
chmod 600 "$conf"

# run COMMAND...: runs it wrapped
run() {
	"$wgwrap" -c "$conf" -- "$@"
}

# is NAME WANTED GOT
is() {
	[ "$2" = "$3" ] || echo "wanted: $2; got: $3" >>"$work/log"
	[ "$2" = "$3" ]
	result $? "$1"
}

# eventually COMMAND...: until it succeeds, a minute at most
eventually() {
	for _ in $(seq 3000); do
		if "$@" 2>/dev/null; then return 0; fi
		sleep 0.02
	done
	echo "never: $*" >>"$work/log"
	return 1
}

finish() {
	echo "1..$number"
	exit "$failed"
}
