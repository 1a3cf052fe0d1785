#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check.sh - what wgwrap says about configurations, good and bad, and the key commands
#
# usage: check.sh [--update]; WGWRAP_BUILD names the directory with wgwrap (build)
#
# Every tests/data/config/NAME.conf is given to "wgwrap check"; standard error, standard output and the exit
# status must be NAME.expected. --update writes these files instead (then read what changed).
# Files that an editor would not keep (CRLF, byte order marks, NULs, long lines) are made here.

# shellcheck disable=SC2016  # "$0" is for the inner shell
set -u
umask 077
cd "$(dirname "$0")/../.." || exit 1
wgwrap=$(realpath "${WGWRAP_BUILD:-build}/wgwrap")
root=$PWD
data=$root/tests/data/config
[ -x "$wgwrap" ] || { echo "no $wgwrap: build it first"; exit 77; }

# a directory that only we can search: no file in it is world accessible
work=$(mktemp -d) || exit 1

# the plan comes first, and is known last
# shellcheck disable=SC2317  # called by the trap
finish()
{
	status=$?
	echo "1..$tests"
	cat "$work/results"
	rm -rf "$work"
	[ "$failures" = 0 ] || status=1
	exit "$status"
}
tests=0
failures=0
trap finish EXIT
exec 3>"$work/results"
cp "$data"/*.conf "$work"
cd "$work" || exit 1
export HOME=$work XDG_CONFIG_HOME=$work/config LC_ALL=C
unset WGWRAP_TEST_CONFIG

# result STATUS NAME [DETAILS]: one line of TAP
result()
{
	local details=${3:-}

	tests=$((tests + 1))
	if [ "$1" = 0 ]; then
		echo "ok $tests - $2" >&3
	else
		failures=$((failures + 1))
		echo "not ok $tests - $2" >&3
		echo "# ${details//$'\n'/$'\n'# }" >&3
	fi
}

# skip NAME REASON
skip()
{
	tests=$((tests + 1))
	echo "ok $tests - $1 # SKIP $2" >&3
}

# run COMMAND...: what it says and its exit status, as in the .expected files
run()
{
	local status
	"$@" >out 2>err 3>&-
	status=$?
	cat err out
	echo "exit status $status"
}

# same NAME EXPECTED COMMAND...: the command says exactly that
same()
{
	local name=$1 expected=$2 got
	shift 2
	got=$(run "$@")
	[ "$got" = "$expected" ]
	result $? "$name" "$(diff <(echo "$expected") <(echo "$got"))"
}

# says NAME STATUS PATTERN COMMAND...: the status, and a line on standard error that matches
says()
{
	local name=$1 status=$2 pattern=$3 got
	shift 3
	got=$(run "$@")
	grep -qE -- "$pattern" err && [ "${got##* }" = "$status" ]
	result $? "$name" "expected status $status and $pattern
$got"
}

for conf in *.conf; do
	name=${conf%.conf}
	if [ "${1:-}" = --update ]; then
		run "$wgwrap" check "$conf" >"$data/$name.expected"
		chmod 644 "$data/$name.expected"
	else
		same "$name" "$(cat "$data/$name.expected")" "$wgwrap" check "$conf"
	fi
done
[ "${1:-}" = --update ] && exit 0

minimal=$(cat "$data/minimal.expected")
secret=$(sed -n 's/^PrivateKey = //p' minimal.conf)
preshared=$(sed -n 's/^PresharedKey = //p' everything.conf)

# ---- bytes ----

sed 's/$/\r/' minimal.conf >crlf.conf
same 'CRLF line ends' "$minimal" "$wgwrap" check crlf.conf
{ printf '\357\273\277'; cat minimal.conf; } >bom.conf
says 'byte order mark: read, with a warning' 0 '^wgwrap: warning: bom.conf:1: .*byte order mark' "$wgwrap" check bom.conf
{ printf '\377\376'; sed 's/./&\n/g' minimal.conf | tr '\n' '\0'; } >utf16.conf
says 'UTF-16' 3 '^wgwrap: utf16.conf: the file is UTF-16' "$wgwrap" check utf16.conf
{ cat minimal.conf; printf 'DNS = 1.1.1.1\0\n'; } >nul.conf
says 'NUL byte' 3 "^wgwrap: nul.conf:$(($(wc -l <minimal.conf) + 1)): a NUL byte" "$wgwrap" check nul.conf
printf '%s' "$(cat minimal.conf)" >no-newline.conf
same 'no newline at the end' "$minimal" "$wgwrap" check no-newline.conf
list="$(seq -f '10.77.%g.0/24' -s ', ' 0 255), $(seq -f '10.78.%g.0/24' -s ', ' 0 255)"
sed "s|^AllowedIPs.*|AllowedIPs = ${list//, /,    }|" minimal.conf >long.conf
[ "$(wc -L <long.conf)" -gt 5000 ]
result $? 'the long line is longer than 5,000 characters'
same 'a line of 5,000 characters' "${minimal/10.8.0.0\/24/$list}" "$wgwrap" check long.conf
head -c 4194305 /dev/zero | tr '\0' '#' >huge.conf
says 'a file above 4 MiB' 3 '^wgwrap: huge.conf: larger than 4194304 bytes$' "$wgwrap" check huge.conf

# ---- where it comes from ----

says 'missing file' 3 '^wgwrap: ./nothing.conf: no such file$' "$wgwrap" check ./nothing.conf
shared=', nor /etc/wireguard/nothing.conf'
[ -d /etc/wireguard ] && [ ! -x /etc/wireguard ] && shared='; /etc/wireguard may not be searched'
says 'missing NAME: every place is named' 3 "^wgwrap: nothing: no such file, nor $work/config/wgwrap/nothing.conf$shared$" \
	"$wgwrap" check nothing
says 'a directory' 3 '^wgwrap: cannot read ./config: Is a directory$' bash -c 'mkdir -p config && exec "$0" check ./config' "$wgwrap"
mkdir -p config/wgwrap
cp minimal.conf config/wgwrap/office.conf
same 'NAME in the directory of the user' "$minimal" "$wgwrap" check office
same 'NAME below HOME' "$minimal" bash -c 'mkdir -p .config && cp -r config/wgwrap .config; XDG_CONFIG_HOME= exec "$0" check office' "$wgwrap"
same 'a pipe' "$minimal" bash -c '"$0" check <(cat minimal.conf)' "$wgwrap"
same 'standard input' "$minimal" bash -c 'exec "$0" check - <minimal.conf' "$wgwrap"
says 'standard input closed' 3 '^wgwrap: cannot read standard input: Bad file descriptor$' bash -c 'exec "$0" check - <&-' "$wgwrap"
same 'environment' "$minimal" env WGWRAP_TEST_CONFIG="$(cat minimal.conf)" "$wgwrap" check env:WGWRAP_TEST_CONFIG
says 'environment, not set' 3 '^wgwrap: environment variable WGWRAP_TEST_CONFIG is not set$' "$wgwrap" check env:WGWRAP_TEST_CONFIG
says 'messages name standard input' 3 '^wgwrap: standard input:2: PrivateKey: ' bash -c 'exec "$0" check - <short-key.conf' "$wgwrap"

cp minimal.conf open.conf
chmod 644 open.conf
same 'readable, but not reachable by others: no warning' "$minimal" "$wgwrap" check open.conf
chmod 711 .
says 'world accessible: a warning' 0 '^wgwrap: warning: open.conf is world accessible' "$wgwrap" check open.conf
chmod 700 .
# root reads every file, unless it gives up the capability to
chmod 000 open.conf
unreadable=(env)
if [ "$(id -u)" = 0 ]; then
	caps='-dac_override,-dac_read_search'
	unreadable=(setpriv "--bounding-set=$caps" "--inh-caps=$caps")
fi
if "${unreadable[@]}" cat open.conf >/dev/null 2>&1; then
	skip 'unreadable file' 'every file is readable here'
else
	says 'unreadable file' 3 '^wgwrap: cannot read open.conf: Permission denied$' "${unreadable[@]}" "$wgwrap" check open.conf
fi

# ---- options and statuses ----

same 'check -q prints nothing about a good file' 'exit status 0' "$wgwrap" check -q everything.conf
says '--lenient: an unknown key is a warning' 0 "^wgwrap: warning: unknown-key.conf:5: 'Frobnicate': unknown key$" "$wgwrap" check --lenient unknown-key.conf
says 'check without a file' 2 '^wgwrap: there is no file to check; see "wgwrap help check"$' "$wgwrap" check
says 'check with an unknown option' 2 '^wgwrap: unknown option --frob' "$wgwrap" check --frob minimal.conf
says 'an unknown letter before others' 2 '^wgwrap: unknown option -x; ' "$wgwrap" check -xq minimal.conf
says 'an unknown letter behind others' 2 '^wgwrap: unknown option -x; ' "$wgwrap" check -qx minimal.conf
says 'an option with a value too many' 2 '^wgwrap: --lenient=1: the option takes no value; ' "$wgwrap" check --lenient=1 minimal.conf
says 'a letter without its value' 2 '^wgwrap: -n needs a value; ' "$wgwrap" top -n
says 'help with two commands' 2 '^wgwrap: one command at a time; ' "$wgwrap" help run check
says 'help with an unknown command' 2 "^wgwrap: unknown command 'frob'; " "$wgwrap" help frob
says 'show with two tunnels' 2 "^wgwrap: 'b' is not a field; " "$wgwrap" show a b
says 'show with -c and another tunnel' 2 "^wgwrap: 'b' is not a field; " "$wgwrap" show -c a b
says 'output to a full device' 1 'No space left on device$' bash -c '"$0" check minimal.conf >/dev/full' "$wgwrap"
says 'no arguments' 125 '^wgwrap: usage: ' "$wgwrap"
says 'a misspelt command' 125 "^wgwrap: unknown command 'chekc'; did you mean 'check'\?$" "$wgwrap" chekc minimal.conf
says 'a program instead of a command' 125 '^wgwrap: to run .curl. in a tunnel: wgwrap -c CONF curl$' "$wgwrap" curl
says 'a program with a name like a short command' 125 '^wgwrap: to run .true. in a tunnel: wgwrap -c CONF true$' "$wgwrap" true
says 'a configuration instead of a command' 125 '^wgwrap: -c is missing: wgwrap -c minimal.conf COMMAND$' "$wgwrap" minimal.conf curl
says 'doctor with a configuration for a program' 2 '^wgwrap: -c is missing before minimal.conf' "$wgwrap" doctor minimal.conf
says 'run with a time that stands alone' 125 '^wgwrap: --wait has its time as in --wait=5s' "$wgwrap" -c minimal.conf --wait 5s true
says 'run without -c' 125 '^wgwrap: -c CONF is missing' "$wgwrap" -v true
says 'run without a command' 125 '^wgwrap: there is no command to run' "$wgwrap" -c minimal.conf
says 'run with an unknown option' 125 '^wgwrap: unknown option --frob' "$wgwrap" -c minimal.conf --frob true
says 'run with a bad time' 125 "^wgwrap: --wait: 'soon' is not a time" "$wgwrap" -c minimal.conf --wait=soon true
says 'run with a bad file' 125 '^wgwrap: (error: )?short-key.conf:2: PrivateKey: ' "$wgwrap" -c short-key.conf true
says 'run with a missing file' 125 '^wgwrap: (error: )?./nothing.conf: no such file$' "$wgwrap" -c ./nothing.conf true
"$wgwrap" version | grep -qE '^wgwrap [0-9]+\.[0-9]+\.[0-9]+$'
result $? 'version'
"$wgwrap" help | grep -q '^usage: wgwrap run -c CONF'
result $? 'help'
! "$wgwrap" help | grep -q ' $'
result $? 'no line of help ends with a blank'
[ "$("$wgwrap" --help)" = "$("$wgwrap" help run)" ]
result $? '--help is the help of run'

# every long option is in the usage, the manual and the completion; and these name no other
options=$(sed -n '/long_options\[\]/,/^};/s/.*{"\([a-z0-9-]*\)".*/\1/p' "$root/cmd/run.c" | sort)
[ "$(wc -l <<<"$options")" -gt 15 ]
result $? 'the options were found in the source'
unlisted=$'ipv4\nipv6\nquiet\nverbose' # in the usage by their short form
named=$({ "$wgwrap" help run | grep -oE -- '--[a-z0-9-]+' | sed 's/^--//'; echo "$unlisted"; } | sort -u)
[ "$named" = "$options" ]
result $? 'the usage names the options' "$(diff <(echo "$options") <(echo "$named"))"
named=$(awk '/^\.S[sh]/ { on = /Options of run/ } on' "$root/cmd/wgwrap.1" | grep -E '^\.It Fl' | grep -oE ' -[a-z0-9-]{2,}' | sed 's/^ -//' | sort -u)
[ "$named" = "$options" ]
result $? 'the manual names the options' "$(diff <(echo "$options") <(echo "$named"))"
named=$(sed -n "/'-c --config/,/--version'/{p;/--version'/q}" "$root/cmd/completions/wgwrap.bash" | grep -oE -- '--[a-z0-9-]+' | sed 's/^--//' | sort -u)
[ "$named" = "$options" ]
result $? 'the completion names the options' "$(diff <(echo "$options") <(echo "$named"))"

# ---- the READMEs of folders ----

# each C file is named in its folder's README.md or in that of the folder above; src/repr's operations in preload's
unnamed=
for file in "$root"/stack/*.c "$root"/src/*/*.c "$root"/preload/*.c "$root"/cmd/*.c "$root"/tests/behaviours/*.c; do
	folder=$(dirname "$file")
	cat "$folder/README.md" "$folder/../README.md" "$root/preload/README.md" 2>/dev/null >readmes
	grep -qF "\`$(basename "$file")\`" readmes || unnamed="$unnamed ${file#"$root"/}"
done
[ -z "$unnamed" ]
result $? "each file is in its folder's table" "missing:$unnamed"
# and a table names no file that is not there
stale=
for readme in "$root"/stack/README.md "$root"/src/*/README.md "$root"/cmd/README.md; do
	for name in $(sed -n 's/^| \(.*`\) |.*/\1/p' "$readme" | grep -oE '`[a-z0-9_]+\.[ch]`' | tr -d '\`'); do
		[ -e "$(dirname "$readme")/$name" ] || stale="$stale ${readme#"$root"/}:$name"
	done
done
[ -z "$stale" ]
result $? 'a table names no file that is gone' "gone:$stale"

# ---- keys ----

"$wgwrap" genkey >own.key 2>err
[ ! -s err ] && [ "$(wc -c <own.key)" = 45 ]
result $? 'genkey: one line of 44 characters, nothing else' "$(cat err own.key)"
[ "$("$wgwrap" genkey)" != "$("$wgwrap" genkey)" ] && [ "$("$wgwrap" genpsk)" != "$("$wgwrap" genpsk)" ]
result $? 'no two keys are equal'
first=$(base64 -d own.key | od -An -tu1 -N1)
last=$(base64 -d own.key | od -An -tu1 -j31)
[ $((first & 7)) = 0 ] && [ $((last & 192)) = 64 ]
result $? 'genkey: clamped'
# RFC 7748, section 6.1: Alice's keys
alice=$(printf '\x77\x07\x6d\x0a\x73\x18\xa5\x7d\x3c\x16\xc1\x72\x51\xb2\x66\x45\xdf\x4c\x2f\x87\xeb\xc0\x99\x2a\xb1\x77\xfb\xa5\x1d\xb9\x2c\x2a' | base64)
public=$(printf '\x85\x20\xf0\x09\x89\x30\xa7\x54\x74\x8b\x7d\xdc\xb4\x3e\xf7\x5a\x0d\xbf\x3a\x0d\x26\x38\x1a\xf4\xeb\xa4\xa9\x8e\xaa\x9b\x4e\x6a' | base64)
[ "$("$wgwrap" pubkey <<<"$alice")" = "$public" ]
result $? "pubkey: RFC 7748's vector"
if command -v wg >/dev/null; then
	[ "$("$wgwrap" pubkey <own.key)" = "$(wg pubkey <own.key)" ]
	result $? 'pubkey: as wg(8)'
else
	skip 'pubkey: as wg(8)' 'wg is not installed'
fi
says 'pubkey: not a key' 1 '^wgwrap: standard input is not a key' bash -c 'exec "$0" pubkey <<<"${1}A"' "$wgwrap" "$alice"
says 'genkey: a world accessible file' 0 'world accessible' bash -c 'umask 022; "$0" genkey >open.key' "$wgwrap"
says 'genkey: a full device' 1 'No space left on device$' bash -c '"$0" genkey >/dev/full' "$wgwrap"

# ---- nothing secret ----

for conf in *.conf; do "$wgwrap" check "$conf"; "$wgwrap" check --lenient "$conf"; done >everything.said 2>&1
[ "$(wc -l <everything.said)" -gt 500 ] && ! grep -qF -e "$secret" -e "${secret:4:20}" -e "$preshared" -e "${preshared:4:20}" everything.said
result $? 'no output holds a private or preshared key'
exit 0
