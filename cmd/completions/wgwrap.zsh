#compdef wgwrap
# SPDX-License-Identifier: MIT
#
# wgwrap.zsh - completion for zsh; install as /usr/share/zsh/site-functions/_wgwrap

_wgwrap_configs()
{
	local -a names
	names=(${XDG_CONFIG_HOME:-$HOME/.config}/wgwrap/*.conf(N:t:r) /etc/wireguard/*.conf(N:t:r))
	_alternative 'files:file:_files' "names:configuration:($names)"
}

_wgwrap_running()
{
	local -a names
	names=(${(f)"$(wgwrap list -q 2>/dev/null)"})
	compadd -a "$@" names
}

_wgwrap()
{
	local context state state_descr line
	typeset -A opt_args
	local -a commands shared run_only running dialling
	commands=(
		'run:run a command in the tunnel'
		'proxy:serve SOCKS, HTTP and forwards through the tunnel'
		'nc:connect standard input and output through the tunnel'
		'up:start a tunnel that stays without commands'
		'down:end what up began'
		'reload:take over what has changed in a file'
		'list:the running tunnels'
		'show:the state of running tunnels'
		'top:watch the open connections'
		'health:whether tunnels work'
		'check:say what is wrong with a file'
		'doctor:what this machine allows, and whether peers answer'
		'genkey:print a new private key'
		'pubkey:print the public key of a private key'
		'genpsk:print a new preshared key'
		'version:print the version'
		'help:print the usage'
	)
	shared=(
		'(-c --config)'{-c,--config}'[the configuration]:configuration:_wgwrap_configs'
		'--wait=-[wait for the first handshake]::time'
		'--mtu[of the tunnel]:bytes' '--endpoint[of the only peer]:host\:port'
		'--listen-port[UDP port to send from]:port'
		'(-4 --ipv4)'{-4,--ipv4}'[reach the endpoint over IPv4]'
		'(-6 --ipv6)'{-6,--ipv6}'[reach the endpoint over IPv6]'
		'--exit-node[all that has no other way]:peer' '*--route[destinations of a peer]:cidr=peer'
		'--lenient[unknown keys are warnings]' '--pcap[write the packets in the tunnel]:file:_files'
		'--log-file[own words go there]:file:_files' '--log-format[their form]:format:(human json)'
		'*'{-q,--quiet}'[fewer words]' '*'{-v,--verbose}'[more words]'
		'(-h --help)'{-h,--help}'[print the usage]'
	)
	run_only=(
		'--no-wait[do not wait]'
		'--linger=[wait for delivery]:time' '*--direct=[goes outside]:cidr' '*--dns=[name servers]:address' '--join'
		'--no-restart' '--capture[how calls reach the tunnel]:way:(auto supervisor preload)'
		'--allow-leaks[run even without a filter]' '--isolate[a network namespace as well]'
		'*--keep-fd[an inherited socket that stays open]:descriptor' '(-V --version)'{-V,--version}'[print the version]'
	)
	dialling=(
		'--linger=[wait for delivery]:time' '*--direct=[goes outside]:cidr' '*--dns=[name servers]:address' '--join'
		'--no-restart' '--connect-timeout=[how long a destination is tried]:time'
		'--resolve=[addresses that are tried]:family:(auto ipv4 ipv6)'
	)
	running=('(-c --config)'{-c,--config}'[the configuration]:configuration:_wgwrap_configs'
		'(-h --help)'{-h,--help}'[print the usage]' '1:tunnel:_wgwrap_running')

	if ((CURRENT == 2)) && [[ $words[2] != -* ]]; then
		_describe command commands
		return
	fi
	case $words[2] in
	-*)
		_arguments -S $shared $run_only '*::command:_normal'
		return
		;;
	esac
	shift words
	((CURRENT--))
	case $words[1] in
	run)
		_arguments -S $shared $run_only '*::command:_normal'
		;;
	up)
		_arguments $shared '--no-wait[do not wait]' '--foreground[stay in the foreground]' \
			'--health[serve health over HTTP]:address or path:_files' '--any-user' '--any-address' \
			'1:configuration:_wgwrap_configs'
		;;
	proxy)
		_arguments $shared $dialling '*--listen[SOCKS and HTTP]:listener' \
			'*'{-D,--dynamic,--socks5}'[SOCKS 5 and 4a]:listener' '*--http[HTTP]:listener' \
			'*--sni[TLS, to the server that the client names]:listener' \
			'*'{-L,--local}'[a port of this host leads into the tunnel]:forward' \
			'*'{-R,--remote}'[a port of the tunnel leads to this host]:forward' \
			'--users[names and passwords]:file:_files' '--any-user[serve other users of this host]' \
			'--tls-cert[clients speak TLS: its certificate]:file:_files' \
			'--tls-key[the key of the certificate]:file:_files' \
			'--allow-open-proxy[a listener beyond loopback may be without users]'
		;;
	nc) _arguments $shared $dialling '1:host:_hosts' '2:port' ;;
	check) _arguments '(-q --quiet)'{-q,--quiet} '--lenient' '1:configuration:_wgwrap_configs' ;;
	doctor)
		_arguments -S '(-c --config)'{-c,--config}'[the configuration]:configuration:_wgwrap_configs' \
			'--wait=-[how long the peers are tried]::time' '--no-wait[they are not tried]' \
			'--endpoint[of the only peer]:host\:port' '--listen-port[UDP port to send from]:port' \
			'(-4 --ipv4)'{-4,--ipv4}'[reach the endpoint over IPv4]' \
			'(-6 --ipv6)'{-6,--ipv6}'[reach the endpoint over IPv6]' '--lenient[unknown keys are warnings]' \
			'1:command:_command_names -e'
		;;
	down | reload) _arguments $running ;;
	list) _arguments '(-q --quiet)'{-q,--quiet}'[names only]' ;;
	show)
		_arguments $running '--json[as JSON]' '2:field:(dump public-key private-key listen-port fwmark peers
			preshared-keys endpoints allowed-ips latest-handshakes transfer persistent-keepalive)'
		;;
	top) _arguments $running '(-n --count)'{-n,--count}'[so many looks]:number' '(-d --delay)'{-d,--delay}'[between two looks]:time' ;;
	health)
		_arguments $running '--metrics[the metrics]' '--listen[serve over HTTP]:address or path:_files' \
			'--any-user[answer other users of this host]' '--any-address[answer other hosts]'
		;;
	help) _describe command commands ;;
	esac
}

_wgwrap "$@"
