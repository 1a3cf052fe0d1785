#!/bin/sh
# SPDX-License-Identifier: MIT
#
# demo.sh - curl through a WireGuard tunnel between two ordinary processes, on loopback
#
# One wgwrap is the peer, with a small web server behind it; another runs curl. Neither needs root, a TUN device
# or a namespace. Keys are made for this run. `make demo` builds first; WGWRAP_BUILD names the build,
# without it the wgwrap of $PATH is shown.

set -eu

if [ -n "${WGWRAP_BUILD:-}" ]; then PATH=$WGWRAP_BUILD:$PATH; fi
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/wgwrap-demo.XXXXXX")
server=
finish() {
	status=$?
	[ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || :
	[ "$status" = 0 ] || sed 's/^/server: /' "$dir/server.log" >&2 || :
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

show() {
	printf '\n$ %s\n' "$*"
	"$@"
}

# A UDP port that nobody uses, of those that the kernel gives to nobody by itself
port=$(python3 -c 'import random, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    port = random.randrange(10000, 32768)
    try: s.bind(("", port)); break
    except OSError: pass
print(port)')

# Fills in a template; its keys exist only in this directory.
fill() { # template private-key public-key
	sed -e "s|@PRIVATE@|$2|" -e "s|@PUBLIC@|$3|" -e "s|@PSK@|$psk|" -e "s|@PORT@|$port|" "$here/$1.conf.in"
}
umask 077
cd "$dir"
server_key=$(wgwrap genkey) client_key=$(wgwrap genkey) psk=$(wgwrap genpsk)
server_pub=$(echo "$server_key" | wgwrap pubkey) client_pub=$(echo "$client_key" | wgwrap pubkey)
fill server "$server_key" "$client_pub" >server.conf
fill client "$client_key" "$server_pub" >client.conf
mkdir site
echo '<h1>This page came through a WireGuard tunnel.</h1>' >site/index.html

show wgwrap version
show wgwrap check client.conf

printf '\n$ wgwrap -c server.conf python3 -m http.server 8080 &\n'
: >server.log
wgwrap -c server.conf python3 -u -m http.server --directory site 8080 >>server.log 2>&1 &
server=$!
tries=600
until grep -q 'Serving HTTP' server.log; do
	kill -0 "$server" 2>/dev/null || exit 1
	tries=$((tries - 1)) && [ $tries -gt 0 ] && sleep 0.1
done

show wgwrap -v -c client.conf curl -sS --noproxy '*' http://10.77.0.1:8080/

printf "\nThe server's log has the client's tunnel address:\n"
grep GET server.log
