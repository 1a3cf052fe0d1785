#!/bin/sh
# SPDX-License-Identifier: MIT
#
# embed.sh - the engine as it is installed: examples/embed builds against it and works

set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${WGWRAP_BUILD:-$root/build}
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
trap 'exit 1' HUP INT TERM

# runs a command with a port that no other script has until that has ended
with_port='
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
from lib.world import free_port
sys.exit(subprocess.run(sys.argv[2:], env={**os.environ, "EMBED_PORT": str(free_port())}).returncode)'

echo 1..2
flags=
# what a build with sanitisers needs shows in its objects
if nm "$build/libwg.a" 2>/dev/null | grep -q __asan_; then flags=-fsanitize=address,undefined; fi
# relative, since make knows no path with blanks
if make -s -C "$root" BUILD="$(realpath --relative-to="$root" "$build")" PREFIX="$prefix" install-engine >"$prefix/log" 2>&1 &&
	PKG_CONFIG_PATH=$prefix/lib/pkgconfig WGWRAP=$build/wgwrap EMBED_FLAGS="-Wall -Wextra -Werror $flags" \
		python3 -c "$with_port" "$root/tests/e2e" "$root/examples/embed/run.sh" >>"$prefix/log" 2>&1 && [ "$(grep -c '^reply' "$prefix/log")" = 3 ]; then
	echo "ok 1 - a program that embeds the engine, from the installed files"
else
	echo "not ok 1 - a program that embeds the engine, from the installed files"
	sed 's/^/# /' "$prefix/log"
	exit 1
fi

# only the libraries that the engine loads have names here
mkdir "$prefix/bin"
cat >"$prefix/bin/readelf" <<END
#!/bin/sh
case \$2 in *IPSec_MB*) echo '(SONAME) [libIPSec_MB.so.1]' ;; *) exit 1 ;; esac
END
chmod +x "$prefix/bin/readelf"
plan() { PATH=$prefix/bin:$PATH make -n -C "$root" BUILD="$prefix/other" "$prefix/other/$1" >"$prefix/log" 2>&1; }
if plan libwg.a && ! plan libwgw.a && grep -q 'cannot tell the name of libcares.so' "$prefix/log"; then
	echo "ok 2 - the engine is built without the libraries that the rest loads, and the rest is not"
else
	echo "not ok 2 - the engine is built without the libraries that the rest loads, and the rest is not"
	sed 's/^/# /' "$prefix/log"
	exit 1
fi
