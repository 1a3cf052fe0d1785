#!/bin/sh
# SPDX-License-Identifier: MIT
#
# deps.sh - install the Debian packages that are missing; behind `make deps`
#
# usage: deps.sh [-n] [build] [tests] [matrix] [large] [develop]        (default: build tests)
#
# Root installs with apt-get, an ordinary user through sudo. Where neither works, and with -n, the
# missing packages are printed with what each is for, and the status is 1 if there are any.
# Packages of servers (nginx, sshd) are installed without starting them; the tests start their own.

set -eu

# GROUP PACKAGE PROBE REASON. The probe is a command, or "-" for the package itself; so a tool that
# came from elsewhere, or as another variant of the package, counts as present.
packages() {
	cat <<-'END'
	build    gcc              gcc         the compiler (clang works too)
	build    libc6-dev        -           C library headers
	build    binutils         readelf     reads the names of the libraries that are loaded
	build    make             make        runs the Makefile
	build    pkg-config       pkg-config  finds the libraries
	build    patch            patch       applies stack/patches to lwIP
	build    xz-utils         xz          unpacks lwIP's source
	build    libsodium-dev    -           X25519, ChaCha20-Poly1305, random numbers, wiping
	build    libb2-dev        -           BLAKE2s, the hash of the WireGuard handshake
	build    libinih-dev      -           parses configuration files
	build    libc-ares-dev    -           resolves names through the tunnel
	build    libseccomp-dev   -           writes the system call filters
	build    libhttp-parser-dev -         parses HTTP for the proxies
	optional libssl-dev       -           TLS of proxies (libssl); a faster ChaCha20-Poly1305 (libcrypto)
	optional libipsec-mb-dev  -           the fastest ChaCha20-Poly1305 on x86-64
	tests    check            -           unit tests are Check programs
	tests    python3          python3     runs the end-to-end tests
	tests    util-linux       unshare     namespaces for the end-to-end tests
	tests    iproute2         ip          addresses and routes in those namespaces
	tests    wireguard-go     wireguard-go the peer to test against
	tests    wireguard-tools  wg          configures that peer
	tests    tcpdump          tcpdump     proves that nothing leaves outside the tunnel
	tests    strace           strace      slows the tunnel process down, call by call
	tests    openssl          openssl     makes the test server's certificate
	tests    nginx-light      nginx       web server, with and without TLS
	tests    curl             curl        wrapped client
	tests    wget             wget        wrapped client
	tests    git              git         wrapped client
	tests    openssh-client   ssh         wrapped client
	tests    openssh-server   sshd        server, wrapped and not
	tests    nodejs           node        wrapped client
	tests    bind9-dnsutils   dig         wrapped client
	tests    iperf3           iperf3      wrapped client, both ways
	tests    proxychains4     proxychains4 client of the SOCKS proxy
	tests    netcat-openbsd   nc          wrapped client
	tests    iputils-ping     ping        wrapped client
	tests    mandoc           mandoc      lint of the manual pages
	tests    systemd          systemd-analyze verifies the units
	matrix   python3-jsonschema -         the form of show --json
	matrix   python3-yaml     -           examples/: their YAML
	matrix   yamllint         yamllint    examples/: their YAML
	matrix   shellcheck       shellcheck  examples/: the scripts in them
	matrix   fish             fish        completes wgwrap's words
	matrix   zsh              zsh         completes wgwrap's words
	matrix   rsync            rsync       tests/e2e/matrix: client and daemon
	matrix   mosh             mosh        tests/e2e/matrix: a terminal over UDP
	matrix   tmux             tmux        tests/e2e/matrix: a session that outlives its client
	matrix   aria2            aria2c      tests/e2e/matrix: a file over several connections
	matrix   bind9-host       host        tests/e2e/matrix: names
	matrix   ldnsutils        drill       tests/e2e/matrix: names
	matrix   knot-dnsutils    kdig        tests/e2e/matrix: names
	matrix   unbound          unbound     tests/e2e/matrix: a resolver, wrapped
	matrix   dnsperf          dnsperf     tests/e2e/matrix: many questions at once
	matrix   iputils-tracepath tracepath  tests/e2e/matrix: the hops of a path
	matrix   traceroute       traceroute  tests/e2e/matrix: the hops of a path
	matrix   ncat             ncat        tests/e2e/matrix: one of three netcats
	matrix   netcat-traditional nc.traditional tests/e2e/matrix: one of three netcats
	matrix   socat            socat       tests/e2e/matrix: all kinds of sockets
	matrix   haproxy          haproxy     tests/e2e/matrix: a proxy, wrapped
	matrix   redis-server     redis-server tests/e2e/matrix: client and server
	matrix   redis-tools      redis-cli   tests/e2e/matrix: client and server
	matrix   memcached        memcached   tests/e2e/matrix: a server on TCP and UDP
	matrix   postgresql       psql        tests/e2e/matrix: client and server
	matrix   perl             perl        tests/e2e/matrix: its sockets
	matrix   php-cli          php         tests/e2e/matrix: its sockets
	matrix   ruby             ruby        tests/e2e/matrix: its sockets
	matrix   python3-pip      -           tests/e2e/matrix: an index behind the tunnel
	matrix   apt-utils        apt-ftparchive tests/e2e/matrix: a repository behind the tunnel
	matrix   python3-socks    -           tests/e2e/proxy: datagrams through ASSOCIATE, pip over SOCKS
	matrix   gdb              gdb         tests/e2e/matrix: a debugger, wrapped
	matrix   faketime         faketime    tests/e2e/matrix: another preloaded object
	matrix   libjemalloc2     -           tests/e2e/matrix: another malloc, preloaded
	matrix   libtcmalloc-minimal4 -       tests/e2e/matrix: another malloc, preloaded
	matrix   valgrind         valgrind    tests/e2e/matrix: a checker, wrapped; tests/unit: secrets decide no branch
	matrix   busybox          busybox     tests/e2e/supervised.py: statically linked with glibc
	matrix   musl-tools       musl-gcc    tests/e2e/supervised.py: statically linked with musl
	matrix   golang-go        go          tests/e2e/supervised.py: Go's sockets
	large    npm              npm         tests/e2e/matrix: a registry behind the tunnel
	large    default-jdk-headless javac   tests/e2e/matrix: Java's sockets
	large    chromium         chromium    tests/e2e/matrix: a browser
	large    rustc            rustc       tests/e2e/supervised.py: Rust's sockets
	large    podman           podman      tests/e2e/containers.py
	large    crun             crun        tests/e2e/containers.py: podman's runtime
	large    docker.io        dockerd     tests/e2e/containers.py
	large    prometheus       promtool    judges the metrics
	develop  build-essential  -           make deb
	develop  debhelper        dh          make deb
	develop  lintian          lintian     make check-deb
	develop  microsocks       microsocks  make bench: the bound of a SOCKS proxy
	develop  clang            clang       make fuzz
	develop  clang-tidy       clang-tidy  make tidy
	develop  clang-format     clang-format style
	END
}

have() { # package probe
	if [ "$2" = - ]; then
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
	else
		PATH=$PATH:/usr/sbin:/sbin command -v "$2" >/dev/null 2>&1
	fi
}

# Prints the missing packages of the groups named, as lines of packages().
missing() {
	packages | while read -r group package probe reason; do
		case " $* " in *" $group "*) ;; *) continue ;; esac
		have "$package" "$probe" || printf '%s %s %s\n' "$group" "$package" "$reason"
	done
}

report() {
	echo "These packages are missing:"
	missing "$@" | while read -r group package reason; do
		printf '  %-17s %-9s %s\n' "$package" "($group)" "$reason"
	done
}

# Installs "$@" without starting the daemons among them, where nobody has decided that already.
install_packages() {
	policy=/usr/sbin/policy-rc.d
	if [ -e $policy ]; then policy=; fi
	if [ -n "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' | $root tee $policy >/dev/null
		$root chmod 755 $policy
		trap '$root rm -f $policy' EXIT
		trap 'exit 1' HUP INT TERM
	fi
	$root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

dry=
if [ "${1:-}" = -n ]; then dry=1; shift; fi
[ $# -gt 0 ] || set -- build tests
case " $* " in *" build "*) wanted="$* optional" ;; *) wanted=$* ;; esac

# Word splitting is what these lists are for.
# shellcheck disable=SC2086,SC2046
{
	if [ -z "$(missing $wanted)" ]; then
		echo "deps: nothing is missing ($*)"
		exit 0
	fi
	if [ "$(id -u)" = 0 ]; then
		root=
	elif command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
		root=sudo
	else
		dry=1
	fi
	if [ -n "$dry" ] || ! command -v apt-get >/dev/null 2>&1; then
		report $wanted
		echo "On Debian or Ubuntu, as root: apt-get install" \
			"$(missing $wanted | cut -d' ' -f2 | tr '\n' ' ')"
		exit 1
	fi

	$root apt-get update
	set -- $(missing $wanted | grep -v '^optional' | cut -d' ' -f2)
	[ $# -eq 0 ] || install_packages "$@"
	# An optional package that this release or machine does not have is no error.
	for package in $(missing optional | cut -d' ' -f2); do
		case " $wanted " in *" optional "*) ;; *) continue ;; esac
		if apt-cache show "$package" >/dev/null 2>&1; then
			install_packages "$package"
		else
			echo "deps: $package does not exist here; going on without it"
		fi
	done
}
