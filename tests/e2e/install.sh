#!/bin/sh
# SPDX-License-Identifier: MIT
#
# install.sh - make install and make uninstall: everything is there, works from there, and goes again

set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${WGWRAP_BUILD:-$root/build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
echo 1..8
# shellcheck source=tests/e2e/lib/tap.sh
. "$(dirname "$0")/lib/tap.sh"
# relative, since make knows no path with blanks
quietly() { # make's words only when it fails
	make -s -C "$root" BUILD="$(realpath --relative-to="$root" "$build")" "$@" >"$work/log" 2>&1
	status=$?
	[ $status = 0 ] || sed 's/^/# /' "$work/log"
	return $status
}
files() { (cd "$1" && find . ! -type d | sort); }

# 1: a staged root
quietly DESTDIR="$work/stage" PREFIX=/usr install
result $? 'install DESTDIR= PREFIX='
missing=
for file in bin/wgwrap lib/wgwrap/libwgwrap.so lib/libwg.a lib/pkgconfig/libwg.pc include/wgwrap/wg/wg.h \
	share/man/man1/wgwrap.1 share/man/man5/wgwrap.conf.5 share/man/man7/libwgwrap.7 \
	share/bash-completion/completions/wgwrap share/zsh/vendor-completions/_wgwrap \
	share/fish/vendor_completions.d/wgwrap.fish lib/systemd/user/wgwrap@.service lib/systemd/system/wgwrap@.service \
	share/doc/wgwrap/LICENSE share/doc/wgwrap/COPYING.lwip; do
	[ -f "$work/stage/usr/$file" ] || missing="$missing $file"
done
[ -z "$missing" ]
result $? 'every file is where it belongs' "missing:$missing"
wrong=$(find "$work/stage" -type f ! -perm 644 ! -path '*/bin/wgwrap' ! -name libwgwrap.so)
[ -z "$wrong" ] && [ "$(stat -c %a "$work/stage/usr/bin/wgwrap")" = 755 ]
result $? 'modes: 755 the program, 644 the rest' "$wrong"
grep -r -l "$work" "$work/stage" >"$work/named"
[ ! -s "$work/named" ]
result $? 'no file names the staging directory' "$(cat "$work/named")"
quietly DESTDIR="$work/stage" PREFIX=/usr uninstall
left=$(files "$work/stage")
[ -z "$left" ]
result $? 'uninstall leaves no file' "$left"

# 6: another prefix, which is used as it is
touch "$work/mine"
mkdir -p "$work/prefix/lib" && touch "$work/prefix/lib/mine"
quietly PREFIX="$work/prefix" install
out=$(PATH=$work/prefix/bin:$PATH; export PATH; unset WGWRAP_BUILD; "$root/examples/demo.sh" 2>&1)
result $? 'the installed program finds its shared object: the demo' "$out"
man=$(find "$work/prefix/share/man" -type f | wc -l)
[ "$man" = "$(find "$root/cmd" -maxdepth 1 -name '*.[1-9]' | wc -l)" ]
result $? 'all manual pages are installed' "$man"
quietly PREFIX="$work/prefix" uninstall
left=$(files "$work/prefix")
[ "$left" = ./lib/mine ]
result $? 'uninstall leaves the files of others' "$left"
exit $failed
