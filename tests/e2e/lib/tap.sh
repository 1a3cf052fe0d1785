# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# tap.sh - lines of TAP; $failed and $number are for the end
# shellcheck disable=SC2034  # whoever includes this ends by them

number=0
failed=0
log= # a file with what explains the next failure, or none

result() { # status name [text]
	number=$((number + 1))
	if [ "$1" = 0 ]; then echo "ok $number - $2"; else
		echo "not ok $number - $2"
		if [ -n "${3:-}" ]; then printf '%s\n' "$3" | sed 's/^/# /'; fi
		if [ -s "$log" ]; then sed 's/^/# /' "$log"; fi
		failed=1
	fi
	if [ -n "$log" ]; then : >"$log"; fi
}
skip() { # name reason
	number=$((number + 1))
	echo "ok $number - $1 # SKIP $2"
}
