#!/bin/sh
# SPDX-License-Identifier: MIT
#
# embed.sh - the engine as it is installed: examples/embed builds against it and works

set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${WGWRAP_BUILD:-$root/build}
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT

echo 1..1
flags=
# what a build with sanitisers needs shows in its objects
if nm "$build/libwg.a" 2>/dev/null | grep -q __asan_; then flags=-fsanitize=address,undefined; fi
if make -s -C "$root" BUILD="$build" PREFIX="$prefix" install-engine >"$prefix/log" 2>&1 &&
	PKG_CONFIG_PATH=$prefix/lib/pkgconfig WGWRAP=$build/wgwrap EMBED_FLAGS="-Wall -Wextra -Werror $flags" \
		"$root/examples/embed/run.sh" >>"$prefix/log" 2>&1 && [ "$(grep -c '^reply' "$prefix/log")" = 3 ]; then
	echo "ok 1 - a program that embeds the engine, from the installed files"
else
	echo "not ok 1 - a program that embeds the engine, from the installed files"
	sed 's/^/# /' "$prefix/log"
	exit 1
fi
