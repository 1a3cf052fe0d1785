#!/bin/sh
# SPDX-License-Identifier: MIT
#
# signals.sh - signals, job control on a terminal, PID 1, what outlives the command

# shellcheck source=tests/e2e/front/lib/lib.sh
. "$(dirname "$0")/lib/lib.sh"

# A command that notes what it gets
counter="$work/counter"
cat >"$counter" <<-'END'
	#!/bin/sh
	for s in HUP INT USR1 USR2 WINCH; do trap "echo $s >>'$1'" $s; done
	trap 'exit 4' TERM
	echo ready >>"$1"
	while :; do sleep 0.05; done
END
chmod 755 "$counter"

# start NOTE: runs the counter in a process group of its own; the front is $front, its group too
start() {
	rm -f "$1"
	setsid "$wgwrap" -c "$conf" -- "$counter" "$1" >"$work/log" 2>&1 &
	front=$!
	eventually grep -q ready "$1"
}

# (a shell's background jobs ignore SIGINT: that one is in terminal.py)
for s in HUP USR1 USR2 WINCH; do
	start "$work/note"
	kill -$s $front
	eventually grep -q $s "$work/note"
	kill -TERM $front
	wait $front
	is "SIG$s and SIGTERM sent to wgwrap reach the command" "ready $s 4" "$(tr '\n' ' ' <"$work/note")$?"
done

start "$work/note"
kill -s USR1 -- -$front
eventually grep -q USR1 "$work/note"
sleep 0.3
kill -TERM $front
wait $front
is "a signal to the group arrives once" "ready USR1 4" "$(tr '\n' ' ' <"$work/note")$?"

# shellcheck disable=SC2016
run sh -c '(trap "" HUP TERM; for i in $(seq 1000); do [ -e "$1.go" ] && break; sleep 0.05; done; echo late >"$1") \
	</dev/null >/dev/null 2>&1 &' sh "$work/late" 2>"$work/log"
[ ! -e "$work/late" ]
result $? "wgwrap does not wait for daemons"
: >"$work/late.go"
eventually grep -q late "$work/late"
result $? "a daemon lives on"
# shellcheck disable=SC2317  # called by eventually
session_left() {
	for dir in /proc/[0-9]*; do
		if [ "$(readlink "$dir/exe")" = "$wgwrap" ] &&
			tr '\0' ' ' <"$dir/cmdline" | grep -qF "$conf"; then
			return 1
		fi
	done
}
eventually session_left
result $? "supervisor and tunnel process end when nobody is left"

got=$(run sh -c 'sleep 3 >/dev/null 2>&1 & echo word' 2>&1)
is "a daemon does not hold the output open" word "$got"

# The terminal: python's pty gives one, the shell in it does job control
if python3 -c 'import pty' 2>/dev/null; then
	python3 "$(dirname "$0")/lib/terminal.py" "$wgwrap" "$conf" >"$work/terminal" 2>"$work/log"
	is "the terminal's tests run" 0 $?
	while IFS='|' read -r status name; do
		case $status in
		ok) result 0 "$name" ;;
		fail) result 1 "$name" ;;
		*) echo "$name" >>"$work/log" ;;
		esac
	done <"$work/terminal"
else
	skip "job control" "python3 has no pty module here"
fi

if unshare -Urpf --mount-proc true 2>/dev/null; then
	inside="unshare -Urpf --mount-proc"
elif unshare -pf --mount-proc true 2>/dev/null; then
	inside="unshare -pf --mount-proc"
else
	inside=
fi
if [ -n "$inside" ]; then
	for n in 0 5; do
		$inside "$wgwrap" -c "$conf" -- sh -c "exit $n" 2>"$work/log"
		is "as PID 1: exit $n" $n $?
	done
	$inside "$wgwrap" -c "$conf" -- sh -c 'kill -KILL $$' 2>"$work/log"
	is "as PID 1: 128 + N for a signal" 137 $?
	# orphans of the command, and of what is not its descendant, are reaped
	# shellcheck disable=SC2016
	got=$($inside "$wgwrap" -c "$conf" -- sh -c '
		for i in 1 2 3 4 5; do sh -c "sleep 0.2 & exit" & done; wait; sleep 1
		# one that ended just now may wait for its turn
		for i in $(seq 100); do
			n=$(grep -l "^State:.Z" /proc/[0-9]*/status 2>/dev/null | wc -l)
			[ $n = 0 ] && break; sleep 0.2
		done; echo $n' 2>"$work/log")
	is "as PID 1: no zombies" 0 "$got"
	rm -f "$work/note"
	$inside "$wgwrap" -c "$conf" -- "$counter" "$work/note" 2>"$work/log" &
	outer=$!
	eventually grep -q ready "$work/note"
	first=$(cat /proc/$outer/task/$outer/children 2>/dev/null || pgrep -P $outer)
	kill -TERM "$first"
	wait $outer
	is "as PID 1: SIGTERM from outside reaches the command" 4 $?
else
	skip "as PID 1" "no PID namespace here"
fi
finish
