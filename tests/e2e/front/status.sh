#!/bin/sh
# SPDX-License-Identifier: MIT
#
# status.sh - exit statuses and the command's surroundings

# shellcheck source=tests/e2e/front/lib/lib.sh
. "$(dirname "$0")/lib/lib.sh"

for n in 0 1 7 125 255; do
	run sh -c "exit $n" 2>"$work/log"
	is "exit $n is passed on" $n $?
done
# The shell's own way of telling a signal is 128 + N; that it was a signal is told by Python.
for name in TERM KILL INT ABRT; do
	python3 - "$wgwrap" -c "$conf" -- sh -c "kill -$name \$\$" >"$work/log" 2>&1 <<-'END'
		import signal, subprocess, sys
		status = subprocess.run(sys.argv[1:], check=False).returncode
		wanted = -getattr(signal, "SIG" + sys.argv[-1].split("-")[1].split()[0])
		print(f"return code {status}, wanted {wanted}")
		sys.exit(status != wanted)
	END
	result $? "SIG$name that ends the command ends wgwrap"
done

run no-such-command 2>"$work/log"
is "command not found: 127" 127 $?
run "$work" 2>"$work/log"
is "a directory: 126" 126 $?
run "$conf" 2>"$work/log"
is "not executable: 126" 126 $?
printf '#!/no/such/interpreter\n' >"$work/script"
chmod 755 "$work/script"
words=$(run "$work/script" 2>&1)
is "an interpreter that is not there: 127, as the shell says" 127 $?
is "which one that is, is said" "wgwrap: $work/script: /no/such/interpreter, which is to run it, is not there" "$words"
printf 'exit 9\n' >"$work/plain"
chmod 755 "$work/plain"
run "$work/plain" 2>"$work/log"
is "a script without #!: run by sh, as execvp does" 9 $?

is "statically linked: runs" "hello" "$(run "$build/tests/programs/static" 2>"$work/log")"
sudo=$(command -v sudo || command -v su)
if [ "$(id -u)" != 0 ] && [ -u "$sudo" ]; then
	run "$sudo" true >"$work/log" 2>&1
	status=$?
	grep -q 'wgwrap: .*set-user-ID' "$work/log" || status="no sentence"
	is "set-user-ID root: runs without privilege, and a sentence says so" 1 "$status"
else
	skip "set-user-ID root: runs without privilege, and a sentence says so" "needs an ordinary user and sudo or su"
fi

# with a tunnel process that runs already: it would refuse to start
run sleep 60 2>"$work/log" &
holder=$!
eventually sh -c 'ls "$1" | grep -q "\.q$"' - "$WGWRAP_RUNTIME_DIR"
silent=
for n in 5 6 7 8 9 10 11 12; do
	# shellcheck disable=SC2016
	words=$(sh -c 'ulimit -n "$1" && exec "$2" -c "$3" true' - "$n" "$wgwrap" "$conf" 2>&1) ||
		[ -n "$words" ] || silent="$silent $n"
done
kill "$holder"
wait "$holder"
is "too few descriptors: whoever fails says why" "" "$silent"

is "nothing on standard output but the command's" "word" "$(run echo word 2>"$work/log")"
is "nothing on standard error" "" "$(run true 2>&1)"
is "standard input is the command's" "line" "$(echo line | run cat 2>"$work/log")"
is "the configuration can come from standard input, which then is at its end" "0" \
	"$("$wgwrap" -c - -- wc -c <"$conf" 2>"$work/log")"

# shellcheck disable=SC2016
states='for n in 0 1 2; do [ -e /proc/$$/fd/$n ] && exit 1; done; exit 5'
run sh -c "$states" <&- >&- 2>&-
is "closed standard descriptors stay closed" 5 $?
# shellcheck disable=SC3045
(ulimit -n 64 && run sh -c 'exit 5') 2>"$work/log"
is "ulimit -n 64" 5 $?
# shellcheck disable=SC3045
(ulimit -n 24 && WGWRAP_RUNTIME_DIR="$work/few" run true) 2>"$work/log"
is "ulimit -n 24: one line says why not" "125 wgwrap: the tunnel process needs 32 descriptors; ulimit -n allows 24" \
	"$? $(cat "$work/log")"
"$wgwrap" -c "$conf" -- sh -c 'echo up; exec sleep 600' >"$work/keeper" 2>&1 & # not run(): its own process is to be ended
keeper=$!
eventually grep -q up "$work/keeper"
# shellcheck disable=SC3045
(ulimit -n 24 && run sh -c 'exit 5') 2>"$work/log"
is "ulimit -n 24 where a tunnel process runs" 5 $?
kill "$keeper"
wait "$keeper"
# shellcheck disable=SC3045
(ulimit -l 0 && run sh -c 'exit 5') 2>"$work/log"
is "RLIMIT_MEMLOCK 0" 5 $?
# shellcheck disable=SC3045
said=$( (ulimit -S -f 0 && run sh -c 'ulimit -S -f && exit 5') 2>&1 || echo $?)
is "ulimit -S -f 0, which the command has, too" "0,5" "$(echo "$said" | paste -sd,)"
said=$( (ulimit -f 0 && run true) 2>&1 || echo $?)
case $said in "wgwrap: files may have 0 bytes "*125) status=0 ;; *) status=1 ;; esac
echo "$said" >"$work/log"
result $status "ulimit -f 0: one line says why not"
(echo warned | http_proxy=http://127.0.0.1:8080/ run cat >"$work/said") 2>&1 | :
is "standard error that nobody reads" warned "$(cat "$work/said")"
# but for what a build with sanitizers is told
env -i ${ASAN_OPTIONS:+"ASAN_OPTIONS=$ASAN_OPTIONS"} "$wgwrap" -c "$conf" -- sh -c 'exit 5' 2>"$work/log"
is "an empty environment" 5 $?
# its runtime directory is the user's own, where the tunnel's name is the same; a directory that is empty then was made by it
for place in "/run/user/$(id -u)/wgwrap" "/dev/shm/wgwrap-$(id -u)" "/tmp/wgwrap-$(id -u)"; do
	for name in "$WGWRAP_RUNTIME_DIR"/*.lock; do
		rm -f "$place/$(basename "$name" .lock)".*
	done
	rmdir "$place" 2>/dev/null || true
done

# a user of its own for each limit: tunnel processes live on for a moment, and count
if [ "$(id -u)" = 0 ]; then
	bin=$work/bin
	mkdir "$bin"
	cp "$wgwrap" "$build/libwgwrap.so" "$bin"
	chmod 755 "$bin" "$bin"/*
	for n in 1 2 3 4 5 6 7 8; do
		user=$((20000 + $$ % 4000 * 10 + n)) # nor does another run of this script have it
		mkdir -m 700 "$work/run-$n"
		chown $user "$work/run-$n"
		prlimit --nproc=$n setpriv --reuid=$user --regid=$user --clear-groups \
			env WGWRAP_RUNTIME_DIR="$work/run-$n" "$bin/wgwrap" -c - -- sh -c "exit 5" <"$conf" >"$work/said" 2>&1
		echo "$n processes: status $?, lines: $(grep -c '^wgwrap: cannot ' "$work/said") of $(wc -l <"$work/said")"
		cat "$work/said" >>"$work/log"
	done >"$work/limits"
	cat "$work/limits" >>"$work/log"
	! grep -v -e 'status 5, lines: 0 of 0$' -e 'status 125, lines: 1 of 1$' "$work/limits" &&
		grep -q 'status 5,' "$work/limits" && grep -q 'status 125,' "$work/limits"
	result $? "a limit of processes: the command runs, or one line says what could not be started"
else
	skip "a limit of processes: the command runs, or one line says what could not be started" \
		"needs root, to be a user without processes"
fi

for name in "with space" "with:colon" "with\$dollar"; do
	mkdir "$work/$name"
	cp "$wgwrap" "$build/libwgwrap.so" "$work/$name"
	got=$("$work/$name/wgwrap" -c "$conf" -- grep -c "$work/$name/libwgwrap.so" /proc/self/maps 2>"$work/log")
	[ "${got:-0}" -gt 0 ]
	result $? "the library is loaded from a path $name"
done
got=$(http_proxy=http://127.0.0.1:8080/ run true 2>&1)
case $got in "wgwrap: http_proxy "*) status=0 ;; *) status=1 ;; esac
echo "$got" >"$work/log"
result $status "a proxy on loopback is warned about"

# shellcheck disable=SC2016
sees_all=$((0x$(sed -n 's/^CapEff:[[:blank:]]*//p' /proc/self/status) >> 19 & 1)) # CAP_SYS_PTRACE, which a container's root lacks
if [ "$sees_all" = 1 ]; then
	# the supervisor changes it beside the command's start
	cwd='for n in $(seq 100); do d=$(readlink /proc/$PPID/cwd); [ "$d" = / ] && break; sleep 0.1; done; echo "$d"'
	is "the supervisor's working directory is /" / "$(run sh -c "$cwd" 2>"$work/log")"
else
	skip "the supervisor's working directory is /" "only CAP_SYS_PTRACE may see it"
fi
# shellcheck disable=SC2016
if [ "$(id -u)" = 0 ]; then
	skip "the command cannot look into the supervisor" "root can"
else
	run sh -c 'cat /proc/$PPID/environ || ls /proc/$PPID/fd || exit 5' >"$work/log" 2>&1
	is "the command cannot look into the supervisor" 5 $?
fi
finish
