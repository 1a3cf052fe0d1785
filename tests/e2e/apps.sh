#!/bin/bash
# SPDX-License-Identifier: MIT
#
# apps.sh - AllowedApps, DisallowedApps: which programs use the tunnel
#
# 198.51.100.1 is an address of this namespace and in no AllowedIPs: who reaches it is outside of the tunnel.

set -u
cd "$(dirname "$0")/../.." || exit 1
bin=$(realpath "${WGWRAP_BUILD:-build}")
if [ -z "${WGWRAP_TEST_APPS:-}" ]; then
	[ -x "$bin/wgwrap" ] || { echo "1..0 # SKIP no $bin/wgwrap"; exit 0; }
	command -v curl >/dev/null || { echo '1..0 # SKIP curl is not installed'; exit 0; }
	how=(unshare -n)
	[ "$(id -u)" = 0 ] || how=(unshare -Urn)
	"${how[@]}" ip link add t0 type veth peer name t1 2>/dev/null || { echo '1..0 # SKIP no network namespace here'; exit 0; }
	WGWRAP_TEST_APPS=1 exec "${how[@]}" "$0"
fi

ip link set lo up
ip link add out0 type veth peer name out1
ip address add 198.51.100.1/32 dev out0
ip link set out0 up
dir=$(mktemp -d)
server=
# shellcheck disable=SC2317  # called by the trap
finish()
{
	[ -z "$server" ] || kill "$server"
	rm -rf "$dir"
}
trap finish EXIT
umask 077
mkdir "$dir/run" "$dir/site"
export XDG_RUNTIME_DIR=$dir/run
echo outside >"$dir/site/index.html"
/usr/bin/python3 -u -m http.server --bind 198.51.100.1 --directory "$dir/site" 8000 >"$dir/log" 2>&1 &
server=$!
for _ in $(seq 600); do grep -q Serving "$dir/log" && break; sleep 0.1; done
public=$("$bin/wgwrap" genkey | "$bin/wgwrap" pubkey)
curl=$(realpath "$(command -v curl)")
n=0
failed=0

# check NAME LINES EXPECTED COMMAND...: a session whose [Peer] has LINES; what curl gets, or nothing
check()
{
	local name=$1 lines=$2 expected=$3 got
	shift 3
	# a key of its own: nothing of the last session is shared
	printf '[Interface]\nPrivateKey = %s\nAddress = 10.77.0.2/32\n[Peer]\nPublicKey = %s\nAllowedIPs = 10.77.0.0/16\n%s\n' \
		"$("$bin/wgwrap" genkey)" "$public" "$lines" >"$dir/peer.conf"
	got=$(timeout 120 "$bin/wgwrap" -q -c "$dir/peer.conf" -- "$@" 2>"$dir/err")
	n=$((n + 1))
	if [ "$got" = "$expected" ]; then
		echo "ok $n - $name"
	else
		failed=1
		echo "not ok $n - $name"
		echo "# got \"$got\"; $(tr '\n' ' ' <"$dir/err")"
	fi
}

get=(curl -sS --noproxy '*' -m 60 http://198.51.100.1:8000/)
# in the tunnel nobody answers
nothing=(curl -sS --noproxy '*' -m 5 http://198.51.100.1:8000/)
echo 1..8
check 'without lists all use the tunnel' '' '' "${nothing[@]}"
check 'a disallowed program does not' 'DisallowedApps = curl' outside "${get[@]}"
check 'another one does' 'DisallowedApps = wget' '' "${nothing[@]}"
check 'with AllowedApps those use it' 'AllowedApps = wget, curl' '' "${nothing[@]}"
check 'and no others' 'AllowedApps = wget' outside "${get[@]}"
check 'by path, as a comment of WireSock' "#@ws:DisallowedApps = $curl" outside "${get[@]}"
check 'by directory' "DisallowedApps = $(dirname "$curl")/" outside "${get[@]}"
check 'in a child with a cleared environment' 'DisallowedApps = curl' outside sh -c "env -i $curl -sS -m 60 http://198.51.100.1:8000/"
exit $failed
