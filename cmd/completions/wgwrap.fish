# SPDX-License-Identifier: MIT
#
# wgwrap.fish - completion for fish; install as /usr/share/fish/vendor_completions.d/wgwrap.fish

set -l commands run proxy nc up down reload list show top health check doctor genkey pubkey genpsk version help
set -l fields public-key private-key listen-port fwmark peers preshared-keys endpoints allowed-ips \
    latest-handshakes transfer persistent-keepalive dump

function __wgwrap_configs
    for dir in (set -q XDG_CONFIG_HOME; and echo $XDG_CONFIG_HOME; or echo ~/.config)/wgwrap /etc/wireguard
        for file in $dir/*.conf
            string replace -r '.*/(.*)\.conf$' '$1' -- $file
        end
    end
end

function __wgwrap_running
    wgwrap list -q 2>/dev/null
end

complete -c wgwrap -n "not __fish_seen_subcommand_from $commands" -f -a "$commands"
complete -c wgwrap -s c -l config -r -F -a '(__wgwrap_configs)' -d 'a path, a NAME, - or env:VARIABLE'
complete -c wgwrap -s h -l help -d 'print the usage'

for command in up check
    complete -c wgwrap -n "__fish_seen_subcommand_from $command" -F -a '(__wgwrap_configs)'
end
for command in down reload show top health
    complete -c wgwrap -n "__fish_seen_subcommand_from $command" -f -a '(__wgwrap_running)'
end
complete -c wgwrap -n '__fish_seen_subcommand_from show' -f -a "all $fields"
complete -c wgwrap -n '__fish_seen_subcommand_from show' -l json -d 'as JSON'
complete -c wgwrap -n '__fish_seen_subcommand_from list' -f -s q -l quiet -d 'names only'
complete -c wgwrap -n '__fish_seen_subcommand_from top' -x -s n -l count -d 'so many looks'
complete -c wgwrap -n '__fish_seen_subcommand_from top' -x -s d -l delay -d 'time between two looks'
complete -c wgwrap -n '__fish_seen_subcommand_from health' -l metrics -d 'the metrics'
complete -c wgwrap -n '__fish_seen_subcommand_from health' -r -l listen -d 'serve over HTTP at ADDRESS:PORT or PATH'
complete -c wgwrap -n '__fish_seen_subcommand_from up' -l foreground -d 'stay in the foreground'
complete -c wgwrap -n '__fish_seen_subcommand_from up' -r -l health -d 'serve health over HTTP at ADDRESS:PORT or PATH'
for command in up health
    complete -c wgwrap -n "__fish_seen_subcommand_from $command" -l any-user -d 'answer other users of this host'
    complete -c wgwrap -n "__fish_seen_subcommand_from $command" -l any-address -d 'answer other hosts'
end
complete -c wgwrap -n '__fish_seen_subcommand_from doctor' -l wait -d 'how long the peers are tried'
complete -c wgwrap -n '__fish_seen_subcommand_from doctor' -l no-wait -d 'the peers are not tried'
complete -c wgwrap -n '__fish_seen_subcommand_from doctor' -x -l endpoint -d 'HOST:PORT of the only peer'
complete -c wgwrap -n '__fish_seen_subcommand_from doctor' -x -l listen-port -d 'UDP port to send from'
complete -c wgwrap -n '__fish_seen_subcommand_from doctor' -s 4 -l ipv4 -d 'reach the endpoint over IPv4'
complete -c wgwrap -n '__fish_seen_subcommand_from doctor' -s 6 -l ipv6 -d 'reach the endpoint over IPv6'
complete -c wgwrap -n '__fish_seen_subcommand_from doctor' -l lenient -d 'unknown keys are warnings'
for command in run up
    complete -c wgwrap -n "__fish_seen_subcommand_from $command" -l no-wait -d 'do not wait for a handshake'
end
for command in run proxy nc up
    set -l seen "__fish_seen_subcommand_from $command"
    complete -c wgwrap -n $seen -l wait -d 'wait for the first handshake'
    complete -c wgwrap -n $seen -x -l mtu -d 'of the tunnel'
    complete -c wgwrap -n $seen -x -l endpoint -d 'HOST:PORT of the only peer'
    complete -c wgwrap -n $seen -x -l exit-node -d 'all that has no other way goes to that peer'
    complete -c wgwrap -n $seen -x -l route -d 'CIDR=PEER: goes to that peer'
    complete -c wgwrap -n $seen -x -l listen-port -d 'UDP port to send from'
    complete -c wgwrap -n $seen -s 4 -l ipv4 -d 'reach the endpoint over IPv4'
    complete -c wgwrap -n $seen -s 6 -l ipv6 -d 'reach the endpoint over IPv6'
    complete -c wgwrap -n $seen -l lenient -d 'unknown keys are warnings'
    complete -c wgwrap -n $seen -r -l pcap -d 'write the packets in the tunnel'
    complete -c wgwrap -n $seen -r -l log-file -d "wgwrap's own words go there"
    complete -c wgwrap -n $seen -x -l log-format -a 'human json' -d 'their form'
    complete -c wgwrap -n $seen -s q -l quiet -d 'fewer words'
    complete -c wgwrap -n $seen -s v -l verbose -d 'more words'
end
for command in run proxy nc
    set -l seen "__fish_seen_subcommand_from $command"
    complete -c wgwrap -n $seen -x -l direct -d 'destinations outside the tunnel'
    complete -c wgwrap -n $seen -x -l dns -a system -d 'name servers'
    complete -c wgwrap -n $seen -x -l linger -d 'wait for delivery'
    complete -c wgwrap -n $seen -l join -d 'use the tunnel process that runs'
    complete -c wgwrap -n $seen -l no-restart -d 'do not start the tunnel process again'
end
for command in proxy nc
    set -l seen "__fish_seen_subcommand_from $command"
    complete -c wgwrap -n $seen -x -l connect-timeout -d 'how long a destination is tried'
    complete -c wgwrap -n $seen -x -l resolve -a 'auto ipv4 ipv6' -d 'addresses that are tried'
end
set -l seen '__fish_seen_subcommand_from proxy'
complete -c wgwrap -n $seen -x -l listen -d 'SOCKS and HTTP at [ADDRESS:]PORT or unix:PATH'
complete -c wgwrap -n $seen -x -s D -l dynamic -d 'SOCKS 5 and 4a'
complete -c wgwrap -n $seen -x -l socks5 -d 'SOCKS 5 and 4a'
complete -c wgwrap -n $seen -x -l http -d 'HTTP'
complete -c wgwrap -n $seen -x -l sni -d 'TLS, to the server that the client names'
complete -c wgwrap -n $seen -x -s L -l local -d 'a port of this host leads into the tunnel'
complete -c wgwrap -n $seen -x -s R -l remote -d 'a port of the tunnel leads to this host'
complete -c wgwrap -n $seen -r -l users -d 'names and passwords'
complete -c wgwrap -n $seen -r -l tls-cert -d 'clients speak TLS: its certificate'
complete -c wgwrap -n $seen -r -l tls-key -d 'the key of the certificate'
complete -c wgwrap -n $seen -l any-user -d 'serve other users of this host'
complete -c wgwrap -n $seen -l allow-open-proxy -d 'a listener beyond loopback may be without users'
set -l seen '__fish_seen_subcommand_from run'
complete -c wgwrap -n $seen -x -l capture -a 'auto supervisor preload' -d 'how calls reach the tunnel'
complete -c wgwrap -n $seen -l allow-leaks -d 'run even without a filter'
complete -c wgwrap -n $seen -l isolate -d 'a network namespace as well'
complete -c wgwrap -n $seen -x -l keep-fd -d 'an inherited socket that stays open'
complete -c wgwrap -s V -l version -d 'print the version'
complete -c wgwrap -n '__fish_seen_subcommand_from run' -f -a '(__fish_complete_subcommand --fcs-skip=2)'
