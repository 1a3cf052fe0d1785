#!/bin/sh
# SPDX-License-Identifier: MIT
#
# sharing.sh - who shares a tunnel process with whom, and what wgwrap says

# shellcheck source=tests/e2e/front/lib/lib.sh
. "$(dirname "$0")/lib/lib.sh"

# shellcheck disable=SC2016
abstract='echo "$WGWRAP_SESSION" | cut -d: -f4'

# none ends before the last one has begun
# shellcheck disable=SC2317  # called by eventually
all_run() { [ "$(cat "$work"/name.* | wc -l)" = 30 ]; }
for i in $(seq 30); do
	run sh -c "$abstract; until [ -e '$work/over' ]; do sleep 0.2; done" >"$work/name.$i" 2>>"$work/log" &
done
eventually all_run
touch "$work/over"
wait
is "30 commands started at once share one tunnel process" 1 "$(cat "$work"/name.* | sort -u | wc -l)"
is "and all of them ran" 30 "$(cat "$work"/name.* | wc -l)"
is "each with a token of its own" 2 \
	"$(for i in 1 2; do run sh -c 'echo "$WGWRAP_SESSION" | cut -d: -f2' 2>>"$work/log"; done | sort -u | wc -l)"

# told STATUS WANTED PATTERN NAME: the status is right, and $work/log says PATTERN
told() {
	grep -qE "$3" "$work/log" || echo "no $3 in the lines above" >>"$work/log"
	[ "$1" = "$2" ] && grep -qE "^wgwrap: .*$3" "$work/log"
	result $? "$4"
}

# not run: $! would be a shell
"$wgwrap" -c "$conf" -- sh -c 'echo up; exec sleep 600' >"$work/up" 2>&1 &
keeper=$!
eventually grep -q up "$work/up"
"$wgwrap" --mtu=1300 -c "$conf" -- true 2>"$work/log"
told $? 125 '[+] mtu 1300' "other settings while it runs: 125, and what differs"
"$wgwrap" --mtu=1300 --join -c "$conf" -- sh -c 'exit 5' 2>"$work/log"
is "--join uses it as it is" 5 $?
"$wgwrap" --pcap="$work/pcap" -c "$conf" -- sh -c 'exit 5' 2>"$work/log"
told $? 5 "pcap: nothing is recorded" "--pcap cannot be added to it, and a line says so"
WGWRAP_RUNTIME_DIR=$work/elsewhere "$wgwrap" --mtu=1300 -c "$conf" -- sh -c 'exit 5' 2>"$work/log"
is "another runtime directory has another tunnel process" 5 $?
kill $keeper
wait $keeper 2>/dev/null
"$wgwrap" --mtu=1300 -c "$conf" -- sh -c 'exit 5' 2>"$work/log"
is "an idle tunnel process makes room for other settings" 5 $?

"$wgwrap" -c "$conf" -- "$wgwrap" -c "$conf" -- sh -c "$abstract" >"$work/inner" 2>"$work/log"
run sh -c "$abstract" >"$work/outer" 2>>"$work/log"
[ -s "$work/inner" ] && ! cmp -s "$work/inner" "$work/outer"
result $? "inside a session there is another tunnel process"

rm -f "$work/file"
PATH=/usr/bin:/bin "$wgwrap" --log-file="$work/file" --log-format=json -c "$conf" -- no-such-command 2>"$work/log"
is "a log file takes the words from standard error" "127 0" "$? $(wc -c <"$work/log")"
python3 -c 'import json, sys; print([json.loads(line)["level"] for line in open(sys.argv[1])])' "$work/file" \
	>"$work/log" 2>&1
is "JSON lines are JSON" "['error']" "$(cat "$work/log")"
"$wgwrap" --log-format=json -c "$conf" -- "$(printf 'no-\377\200"\033')" 2>"$work/line"
python3 -c 'import json, sys; print(ascii(json.loads(open(sys.argv[1], "rb").read())["message"]))' "$work/line" \
	>"$work/log" 2>&1
is "also of a name that is not UTF-8" "'no-\\ufffd\\ufffd\"\\x1b: command not found'" "$(cat "$work/log")"
"$wgwrap" --log-file="$work/none/file" -c "$conf" -- true 2>"$work/log"
told $? 125 "none/file" "a log file that cannot be written: 125"

# What is in the way of a runtime directory: everything
if unshare -Urm true 2>/dev/null; then inside="unshare -Urm"; else inside="unshare -m"; fi
if $inside mount -t tmpfs tmpfs /mnt 2>/dev/null; then
	mkdir "$work/build"
	# shellcheck disable=SC2016
	$inside sh -c '
		for d in /dev/shm /run /tmp; do
			# the build may lie in /tmp, too
			[ "$d" = /tmp ] && mount --bind "$1" /mnt && mount --bind "$2" /mnt/build
			mount -t tmpfs -o ro tmpfs $d
		done
		export WGWRAP_RUNTIME_DIR= XDG_RUNTIME_DIR=/dev/null
		exec /mnt/build/wgwrap -c /mnt/lone.conf -- sh -c "echo \$WGWRAP_SESSION | cut -d: -f5; exit 5"' \
		sh "$work" "$(dirname "$wgwrap")" >"$work/out" 2>"$work/log"
	status=$?
	[ "$status" = 5 ] && [ "$(cat "$work/out")" = "" ] && grep -q "^wgwrap: no runtime directory" "$work/log"
	result $? "without any runtime directory a command has a tunnel process of its own"
else
	skip "without any runtime directory" "no mount namespace here"
fi
finish
