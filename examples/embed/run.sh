#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh - build embed.c against the installed engine and let two of it ping each other on loopback
#
# usage: [PKG_CONFIG_PATH=PREFIX/lib/pkgconfig] [EMBED_PORT=PORT] examples/embed/run.sh

set -eu
here=$(dirname "$0")
dir=$(mktemp -d)
server=
end() {
	[ -z "$server" ] || kill "$server" 2>/dev/null || :
	rm -rf "$dir"
}
trap end EXIT

# CC may be more than one word
# shellcheck disable=SC2046,SC2086
${CC:-cc} -O2 -D_GNU_SOURCE -o "$dir/embed" "$here/embed.c" $(pkg-config --cflags --libs libwg) ${EMBED_FLAGS:-}

key() { head -c 32 /dev/urandom | base64; }
wgwrap=${WGWRAP:-wgwrap}
a=$(key)
b=$(key)
port=${EMBED_PORT:-$((10000 + $$ % 20000))} # none that the kernel gives to others
"$dir/embed" "$a" "$(echo "$b" | "$wgwrap" pubkey)" $port &
server=$!
sleep 0.2
"$dir/embed" "$b" "$(echo "$a" | "$wgwrap" pubkey)" 0 127.0.0.1 $port
