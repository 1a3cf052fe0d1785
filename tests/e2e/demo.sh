#!/bin/sh
# SPDX-License-Identifier: MIT
#
# demo.sh - the demo shows a page that came through the tunnel

set -eu
echo 1..4
cd "$(dirname "$0")/../.."
out=$(WGWRAP_BUILD=${WGWRAP_BUILD:-$PWD/build} examples/demo.sh 2>&1) && status=0 || status=$?
check() { # number name grep-pattern
	if [ $status = 0 ] && printf '%s\n' "$out" | grep -q "$3"; then echo "ok $1 - $2"; else
		echo "not ok $1 - $2"
		printf '%s\n' "status $status" "$out" | sed 's/^/# /'
		failed=1
	fi
}
failed=0
check 1 "the page arrives" '^<h1>This page came through a WireGuard tunnel'
check 2 "the server sees the client's tunnel address" '^10\.77\.0\.2 .*GET / '
check 3 "the file is described" '10\.77\.0\.0/24'
check 4 "the tunnel's state is shown" 'tunnel is up: 1 of 1 peers'
exit $failed
