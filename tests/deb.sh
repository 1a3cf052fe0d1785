#!/bin/sh
# SPDX-License-Identifier: MIT
#
# deb.sh - the packages of `make deb`: judged by lintian, installed, used and removed
#
# usage: deb.sh DIRECTORY-WITH-PACKAGES
#
# Installing needs root. It is done on an overlay over this system's root, which goes away with the
# test's mount namespace: this system is not changed.

set -u
# shellcheck source=tests/e2e/lib/tap.sh
. "$(dirname "$0")/e2e/lib/tap.sh"
cd "$1" || exit 1

# One copy of each is here: `make deb` starts with an empty directory.
deb=$(echo "$PWD"/wgwrap_*_*.deb)
dev=$(echo "$PWD"/libwg-dev_*_*.deb)
version=$(dpkg-deb -f "$deb" Version)

has=$(dpkg-deb -c "$deb" | awk '{ print $6 }')
missing=
for file in bin/wgwrap lib/wgwrap/libwgwrap.so share/man/man1/wgwrap.1.gz share/man/man5/wgwrap.conf.5.gz \
	share/man/man7/libwgwrap.7.gz lib/systemd/user/wgwrap@.service share/zsh/vendor-completions/_wgwrap \
	share/bash-completion/completions/wgwrap share/fish/vendor_completions.d/wgwrap.fish; do
	printf '%s\n' "$has" | grep -qx "./usr/$file" || missing="$missing $file"
done
[ -z "$missing" ]
result $? 'the package holds everything' "missing:$missing"

# Those that are linked, and those that are loaded by a name that is written in the program.
depends=$(dpkg-deb -f "$deb" Depends)
program=$(mktemp)
dpkg-deb --fsys-tarfile "$deb" | tar -xO ./usr/bin/wgwrap >"$program"
needed=$(readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
loaded=$(grep -ao 'lib[A-Za-z_]*\.so\.[0-9.]*' "$program" | sort -u)
rm -f "$program"
# Which of the packages that hold $* are not in $depends
missing_of() {
	for soname in "$@"; do
		packages=$(dpkg -S "*/$soname" 2>/dev/null | sed 's/:.*//')
		named=
		for package in $packages; do
			case ", $depends, " in *", $package, "* | *", $package ("*) named=1 ;; esac
		done
		[ -n "$named" ] || echo "$soname of ${packages:-no package}"
	done
}
# shellcheck disable=SC2046,SC2086  # names without blanks
{
	optional=$(echo "$loaded" | grep -E '^lib(ssl|crypto|IPSec_MB)\.')
	missing=$(missing_of $needed $(echo "$loaded" | grep -vxF "$optional"))
	[ -z "$missing" ] && [ "$(echo "$needed $loaded" | wc -w)" -ge 5 ]
	result $? 'it depends on the libraries that it links and loads' "missing: $missing in $depends"
	depends=$(dpkg-deb -f "$deb" Recommends)
	missing=$(missing_of $optional)
	[ -z "$missing" ] && [ -n "$optional" ]
	result $? 'it recommends those that it can do without' "missing: $missing in $depends"
}

dpkg-deb --fsys-tarfile "$deb" | tar -xO ./usr/share/doc/wgwrap/copyright | grep -q 'The name of the author may not be used'
result $? "lwIP's licence is in it"

if command -v lintian >/dev/null; then
	# run as root, it says that it had rather not be
	words=$(lintian --fail-on error,warning "$PWD"/*.changes 2>&1 | grep -v '^running with root')
	[ -z "$words" ]
	result $? 'lintian finds nothing' "$words"
else
	skip 'lintian finds nothing' 'lintian is not installed'
fi

# shellcheck disable=SC2016  # the inner shells expand
# Runs $1 where / is an overlay over this system's; nothing of it stays.
on_overlay() {
	unshare -m sh -c '
		set -e
		mount --make-rprivate /
		mount -t tmpfs tmpfs "$1"
		mkdir "$1/upper" "$1/work" "$1/root"
		mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
		for dir in dev proc sys; do mount --rbind "/$dir" "$1/root/$dir"; done
		mount -t tmpfs -o mode=1777 tmpfs "$1/root/tmp"
		mkdir "$1/root/tmp/debs"
		cp "$2" "$3" "$1/root/tmp/debs"
		exec chroot "$1/root" sh -c "$4"' sh "$work" "$deb" "$dev" "$1"
}

# shellcheck disable=SC2016
used='set -e
cd /tmp/debs
list() { find /usr /etc /lib/systemd /var/lib -xdev -not -path "/var/lib/dpkg*" | sort; }
list >/tmp/before
dpkg --purge wgwrap libwg-dev >/dev/null 2>&1 || :
dpkg -i --force-confnew ./*.deb >/tmp/said
[ "$(/usr/bin/wgwrap version)" = "wgwrap $(dpkg-query -W -f "\${Version}" wgwrap)" ]
pkg-config --exists libwg
setpriv --reuid=65534 --regid=65534 --clear-groups env -i PATH=/usr/bin:/bin HOME=/tmp \
	sh /usr/share/doc/wgwrap/examples/demo.sh >/tmp/demo 2>&1 || { cat /tmp/demo; exit 1; }
grep "came through a WireGuard tunnel" /tmp/demo
# what it was built with may be installed for man-db and others to note
dpkg --purge wgwrap libwg-dev >>/tmp/said
list >/tmp/after
diff /tmp/before /tmp/after'

name='installed, the demo run by an ordinary user, removed without a trace'
if [ "$(id -u)" != 0 ]; then
	skip "$name" 'needs root'
elif dpkg-query -W wgwrap >/dev/null 2>&1; then
	skip "$name" 'wgwrap is installed here'
else
	work=$(mktemp -d)
	if why=$(on_overlay true 2>&1); then
		words=$(on_overlay "$used" 2>&1) && status=0 || status=$?
		result "$status" "$name" "$words"
	else
		skip "$name" "no overlay here: $why"
	fi
	rmdir "$work"
fi
echo "1..$number"
echo "# $version"
exit $failed
