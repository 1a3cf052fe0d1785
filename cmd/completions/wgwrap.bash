# SPDX-License-Identifier: MIT
#
# wgwrap.bash - completion for bash; install as /usr/share/bash-completion/completions/wgwrap
#
# After the options of run the command completes as it does by itself, where bash-completion is
# loaded; else by the names of commands and files.

# _wgwrap_configs WORD: files, and the NAMEs that -c looks for
_wgwrap_configs()
{
	local word=$1 dir file

	mapfile -t COMPREPLY < <(compgen -f -- "$word")
	for dir in "${XDG_CONFIG_HOME:-$HOME/.config}/wgwrap" /etc/wireguard; do
		for file in "$dir"/*.conf; do
			[ -e "$file" ] || continue
			file=${file##*/}
			[[ ${file%.conf} == "$word"* ]] && COMPREPLY+=("${file%.conf}")
		done
	done
}

# _wgwrap_words WORD LIST: words of the list
_wgwrap_words()
{
	mapfile -t COMPREPLY < <(compgen -W "$2" -- "$1")
}

# _wgwrap_value: what is known of an option's value at the cursor; 1: there is none. bash splits --config=x into
# three words; right behind the sign that is the word to complete
_wgwrap_value()
{
	local word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]}

	if [ "$word" = = ]; then
		word=
	elif [ "$option" = = ]; then
		option=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	case $option in
	-c | --config) _wgwrap_configs "$word" ;;
	--users | --tls-cert | --tls-key | --pcap | --log-file) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	--capture) _wgwrap_words "$word" 'auto supervisor preload' ;;
	--resolve) _wgwrap_words "$word" 'auto ipv4 ipv6' ;;
	--dns) _wgwrap_words "$word" system ;;
	--log-format) _wgwrap_words "$word" 'human json' ;;
	*) return 1 ;;
	esac
}

# _wgwrap_command INDEX: the command of run starts at that word
_wgwrap_command()
{
	if declare -F _command_offset >/dev/null; then
		_command_offset "$1"
	elif [ "$COMP_CWORD" = "$1" ]; then
		mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
	fi
}

_wgwrap_run()
{
	local word=${COMP_WORDS[COMP_CWORD]} i=$1

	# step over the options that are complete
	while [ "$i" -lt "$COMP_CWORD" ]; do
		case ${COMP_WORDS[i]} in
		--)
			_wgwrap_command $((i + 1))
			return
			;;
		-c | --config | --linger | --direct | --exit-node | --route | --dns | --mtu | --endpoint | --listen-port | \
			--capture | --keep-fd | --pcap | --log-file | --log-format)
			[ $((i + 1)) = "$COMP_CWORD" ] && break
			i=$((i + 2))
			# bash splits --config=x into three words
			[ "${COMP_WORDS[i - 1]}" = = ] && i=$((i + 1))
			;;
		--wait)
			i=$((i + 1))
			[ "${COMP_WORDS[i]}" = = ] && i=$((i + 2))
			;;
		-*)
			i=$((i + 1))
			;;
		*)
			_wgwrap_command "$i"
			return
			;;
		esac
	done

	if [ "$i" != "$COMP_CWORD" ]; then # an option before it is not complete
		_wgwrap_value
	elif [[ $word == -* ]]; then
		_wgwrap_words "$word" '-c --config --wait --no-wait --linger --direct --exit-node --route --dns --mtu --endpoint
			--listen-port -4 --ipv4 -6 --ipv6 --join --no-restart --lenient --capture --allow-leaks
			--isolate --keep-fd --pcap
			--log-file --log-format -q --quiet -v --verbose -h --help -V --version'
	else
		_wgwrap_command "$i"
	fi
}

# Options that proxy and nc share with run
_wgwrap_tunnel='--config --wait --linger --direct --exit-node --route --dns --mtu --endpoint --listen-port --ipv4 --ipv6 --join
	--no-restart --lenient --pcap --log-file --log-format --quiet --verbose --help --connect-timeout --resolve'

# _wgwrap_proxy OWN-OPTIONS
_wgwrap_proxy()
{
	local word=${COMP_WORDS[COMP_CWORD]}

	_wgwrap_value && return
	[[ $word == -* ]] && _wgwrap_words "$word" "$1 $_wgwrap_tunnel"
}

# _wgwrap_running OPTIONS [WORDS]: the tunnels that run, and WORDS
_wgwrap_running()
{
	local word=${COMP_WORDS[COMP_CWORD]}

	if [[ $word == -* ]]; then
		_wgwrap_words "$word" "$1"
	else
		_wgwrap_words "$word" "$(wgwrap list -q 2>/dev/null) ${2-}"
	fi
}

_wgwrap()
{
	local word=${COMP_WORDS[COMP_CWORD]}
	local commands='run proxy nc up down reload list show top health check doctor genkey pubkey genpsk version help'

	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ] && [[ $word != -* ]]; then
		_wgwrap_words "$word" "$commands"
		return
	fi
	case ${COMP_WORDS[1]} in
	run) _wgwrap_run 2 ;;
	-*) _wgwrap_run 1 ;;
	proxy)
		_wgwrap_proxy '--listen --socks5 --http --sni --dynamic --local --remote --users --tls-cert --tls-key --any-user
			--allow-open-proxy'
		;;
	nc) _wgwrap_proxy '' ;;
	check)
		if [[ $word == -* ]]; then
			_wgwrap_words "$word" '-q --quiet --lenient --help'
		else
			_wgwrap_configs "$word"
		fi
		;;
	doctor)
		if _wgwrap_value; then
			:
		elif [[ $word == -* ]]; then
			_wgwrap_words "$word" '-c --config --wait --no-wait --endpoint --listen-port --ipv4 --ipv6 --lenient --help'
		else
			mapfile -t COMPREPLY < <(compgen -c -- "$word")
		fi
		;;
	up)
		if _wgwrap_value; then
			:
		elif [[ $word == -* ]]; then
			_wgwrap_words "$word" '--foreground --health --any-user --any-address -c --config --wait --no-wait
				--exit-node --route --mtu --endpoint --listen-port --ipv4 --ipv6 --lenient --pcap --log-file --log-format
				--quiet --verbose --help'
		else
			_wgwrap_configs "$word"
		fi
		;;
	down | reload) _wgwrap_running '--help' ;;
	list) _wgwrap_words "$word" '-q --quiet --help' ;;
	show) _wgwrap_running '--json --help' 'all dump public-key private-key listen-port fwmark peers
		preshared-keys endpoints allowed-ips latest-handshakes transfer persistent-keepalive' ;;
	top) _wgwrap_running '-n --count -d --delay --help' ;;
	health) _wgwrap_running '--metrics --listen --any-user --any-address --help' ;;
	help) _wgwrap_words "$word" "$commands" ;;
	esac
}

complete -o filenames -F _wgwrap wgwrap
