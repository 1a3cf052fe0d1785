#!/bin/sh
# SPDX-License-Identifier: MIT
#
# doctor.sh - what "wgwrap doctor -- PROGRAM" says of programs of each kind

# shellcheck source=tests/e2e/front/lib/lib.sh
. "$(dirname "$0")/lib/lib.sh"

# says NAME PROGRAM PATTERN... - every pattern is in doctor's answer
says()
{
	name=$1
	"$wgwrap" doctor -- "$2" >"$work/log" 2>&1
	shift 2
	for pattern; do
		grep -q -e "$pattern" "$work/log" || {
			result 1 "doctor: $name: $pattern"
			return
		}
	done
	result 0 "doctor: $name"
}

machine=x86-64
[ "$(uname -m)" = aarch64 ] && machine=arm64
by_supervisor="captured by the supervisor"
"$wgwrap" doctor | grep -q '^capture *supervised' || by_supervisor="captured by nothing"

says "a dynamic program" "$(command -v cat)" "file *$machine, 64 bit, dynamically linked" "C library *\(glibc\|musl\) (/lib" \
	"privileges *none" "captured by the shared object" "will fail *raw"
says "a static program" "$build/tests/programs/static" "file *$machine.*statically linked" "C library *linked in" \
	"$by_supervisor.*statically"
# cat, but for the name of its dynamic linker
LC_ALL=C sed -e 's|/lib64/ld-linux-x86-64.so.2|/lib/ld-musl-x86_64.so.1\x00\x00\x00|' \
	-e 's|/lib/ld-linux-aarch64.so.1|/lib/ld-musl-aarch64.so.1\x00|' "$(command -v cat)" >"$work/musl"
chmod 755 "$work/musl"
says "a program of another C library" "$work/musl" "C library *musl (/lib/ld-musl" "$by_supervisor.*another C"
printf '#!/usr/bin/env -S A=b sh -e\n' >"$work/script"
chmod 755 "$work/script"
says "a script run through env" "$work/script" "interpreter *a script, run by $(command -v sh)" "captured by the shared object"
cp "$build/tests/programs/static" "$work/static" # whose path has no blanks
printf '#!%s\n' "$work/static" >"$work/script"
says "a script whose interpreter is static" "$work/script" "$by_supervisor: it is a script whose interpreter $work"
printf '#!/no/such/interpreter\n' >"$work/script"
says "a script whose interpreter is not there" "$work/script" "cannot be executed: /no/such/interpreter, which is to run it, is not there"
cp "$(command -v cat)" "$work/setgid"
chmod 2755 "$work/setgid"
says "a set-group-ID program" "$work/setgid" "privileges *set-group-ID ($(id -g))" "captured by the shared object"
# the machine's number is the two bytes at 18 of the ELF header; 3 is i386
{
	head -c 18 "$build/tests/programs/static"
	printf '\003\000'
	tail -c +21 "$build/tests/programs/static"
} >"$work/i386"
chmod 755 "$work/i386"
says "another architecture" "$work/i386" "is a program for another architecture"
# PATH may have directories that are not for us: then execvp says so, and doctor too
says "what is not there" no-such-program "no-such-program: \(command not found\|Permission denied\)"
if command -v setcap >/dev/null && cp "$(command -v cat)" "$work/capable" && setcap cap_net_raw+ep "$work/capable" 2>/dev/null; then
	says "file capabilities" "$work/capable" "privileges *capabilities of the file: cap_net_raw"
else
	skip "doctor: file capabilities" "setcap is not allowed or not installed"
fi
if command -v go >/dev/null; then
	says "a Go program" "$(command -v go)" "C library.*Go's runtime" "$by_supervisor: it is a Go program"
else
	skip "doctor: a Go program" "go is not installed"
fi
# a mount namespace of its own, where the shared object's place is noexec and the program's is not
mkdir -p "$work/bin" "$work/lib/wgwrap"
cp "$wgwrap" "$work/bin"
as_user=
[ "$(id -u)" = 0 ] || as_user=-Ur
# shellcheck disable=SC2016,SC2086
if unshare $as_user -m mount -t tmpfs -o noexec none "$work/lib/wgwrap" 2>/dev/null; then
	unshare $as_user -m sh -c 'mount -t tmpfs -o noexec none "$1/lib/wgwrap" && cp "$2" "$1/lib/wgwrap" &&
		"$1/bin/wgwrap" doctor -- cat' - "$work" "$build/libwgwrap.so" >"$work/log" 2>&1
	grep -q "^shared object $work/lib/wgwrap/libwgwrap.so$" "$work/log" && grep -q "mounted noexec" "$work/log" &&
		grep -q "$by_supervisor.*it cannot load the shared object" "$work/log"
	result $? "doctor: the shared object on a file system that is mounted noexec"
else
	skip "doctor: the shared object on a file system that is mounted noexec" "needs a mount namespace"
fi
finish
