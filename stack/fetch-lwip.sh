#!/bin/sh
# SPDX-License-Identifier: MIT
#
# fetch-lwip.sh - put the pinned lwIP source into a directory, patched
#
# usage: fetch-lwip.sh WORKDIR DEST PATCH...
#
# WORKDIR keeps the downloaded archive and apt's private state; DEST becomes the source tree with
# every PATCH applied in the order given. Needs no root and leaves the system's apt alone.
#
# Where the source comes from, first match wins:
#   LWIP_SRC=DIR       an unpacked lwIP 2.2.1; copied, then patched (the caller vouches for it)
#   LWIP_ARCHIVE=FILE  the Debian .orig.tar.xz or the project's lwip-2.2.1.zip; its SHA-256 decides
#   otherwise          Debian's source package, through the machine's own apt
#
# The last one asks apt which archive this system is installed from, and adds for this one download
# a source index of the same archive with the same keyring, suite trixie (bookworm has lwIP 2.1.3).
# LWIP_SUITE names another suite. The archive is used only if its SHA-256 is the pinned one.

set -eu

DEBIAN_SHA256=83729c274c499d3348e9fbbe043a3113f3fa8953e7efddc7c21c7fcbb1f2b7b1
# As two independent projects record it; this path has not been tried (CRLF line ends inside).
RELEASE_SHA256=7b622662dba2383d71f874f2e494b54ae948531559c17acbe75797966d646878
DEBIAN_TAR=lwip_2.2.1+dfsg1.orig.tar.xz
SUITE=${LWIP_SUITE:-trixie}

die() {
	printf 'fetch-lwip: %s\n' "$1" >&2
	shift
	for line; do printf '            %s\n' "$line" >&2; done
	exit 1
}

need() {
	command -v "$1" >/dev/null 2>&1 || die "$1 is missing" "install it: apt install $2"
}

sha256() {
	sha256sum "$1" | cut -d' ' -f1
}

# Prints "SOURCES-FILE:ENTRY" of the archive that this system is installed from.
own_archive() {
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	apt-get indextargets --no-release-info 'Created-By: Packages' 'Component: main' \
		--format '$(RELEASE) $(SOURCESENTRY)' 2>/dev/null |
		awk -v release="$codename" '$1 == release { print $2; exit }'
}

# Prints entry number $2 of sources file $1 as a source-only entry of $SUITE, keyring included.
source_entry() {
	case $1 in
	*.sources)
		# deb822 stanzas: change the three fields, keep Signed-By and options
		awk -v want="$2" -v suite="$SUITE" '
			/^[[:space:]]*$/ { if (inside) { inside = 0 } next }
			/^#/ { next }
			!inside { inside = 1; stanza++ }
			stanza != want { next }
			/^[^[:space:]]/ { field = tolower($1); sub(/:.*/, "", field) }
			field == "types" || field == "suites" || field == "components" ||
				field == "architectures" || field == "enabled" { next }
			{ print }
			END { print "Types: deb-src\nSuites: " suite "\nComponents: main" }
		' "$1" ;;
	*)
		# one-line form: deb [options] URI SUITE COMPONENT...
		awk -v want="$2" -v suite="$SUITE" '
			NR != want { next }
			{
				i = 2; options = ""
				if ($2 ~ /^\[/)
					do { options = options $i " " } while ($(i++) !~ /\]$/)
				print "deb-src " options $i " " suite " main"
			}
		' "$1" ;;
	esac
}

# Downloads $DEBIAN_TAR into directory $1.
download() {
	command -v apt-get >/dev/null 2>&1 ||
		die "this system has no apt to fetch lwIP's source with" \
			"get lwIP 2.2.1 yourself and say: make LWIP_SRC=DIR or LWIP_ARCHIVE=FILE"
	entry=$(own_archive)
	[ -n "$entry" ] ||
		die "apt does not know the archive this system is installed from" \
			"get lwIP 2.2.1 yourself and say: make LWIP_SRC=DIR or LWIP_ARCHIVE=FILE"
	file=${entry%:*}
	number=${entry##*:}
	case $file in
	*.sources) list=$1/apt/lwip.sources ;;
	*) list=$1/apt/lwip.list ;;
	esac
	rm -rf "$1/apt"
	mkdir -p "$1/apt/lists/partial" "$1/apt/cache/archives/partial" "$1/apt/parts"
	source_entry "$file" "$number" >"$list"

	set -- "$1" -q -o "Dir::State=$1/apt" -o "Dir::State::lists=$1/apt/lists" \
		-o "Dir::Cache=$1/apt/cache" -o "Dir::Etc::sourcelist=$list" \
		-o "Dir::Etc::sourceparts=$1/apt/parts" -o "APT::Sandbox::User=$(id -un)" \
		-o APT::Get::List-Cleanup=0 -o Debug::NoLocking=1
	dir=$1
	shift
	apt-get "$@" -o APT::Update::Error-Mode=any update >"$dir/apt/log" 2>&1 || {
		tail -n 5 "$dir/apt/log" >&2
		die "cannot read the source index of suite $SUITE (all of it: $dir/apt/log)" \
			"LWIP_SUITE names another suite; LWIP_SRC=DIR or LWIP_ARCHIVE=FILE need no network"
	}
	(cd "$dir" && apt-get "$@" source --download-only --tar-only lwip) >>"$dir/apt/log" 2>&1 || {
		tail -n 5 "$dir/apt/log" >&2
		die "cannot download lwIP's source package (all of it: $dir/apt/log)"
	}
	[ -f "$dir/$DEBIAN_TAR" ] ||
		die "suite $SUITE has another version of lwIP than $DEBIAN_TAR" \
			"LWIP_SRC=DIR or LWIP_ARCHIVE=FILE can give it instead"
	rm -rf "$dir/apt"
}

# Unpacks archive $1 into directory $2 if its checksum is one of the pinned ones.
unpack() {
	case $(sha256 "$1") in
	"$DEBIAN_SHA256")
		need xz xz-utils
		tar -xJf "$1" -C "$2" --strip-components=1 ;;
	"$RELEASE_SHA256")
		need unzip unzip
		unzip -q "$1" -d "$2"
		mv "$2"/lwip-*/* "$2"
		find "$2/src" "$2/test" -name '*.[ch]' -exec sed -i 's/\r$//' {} + ;;
	*)
		die "$1 is not lwIP 2.2.1 as pinned: SHA-256 $(sha256 "$1")" \
			"expected $DEBIAN_SHA256 ($DEBIAN_TAR)" \
			"      or $RELEASE_SHA256 (lwip-2.2.1.zip)" ;;
	esac
}

[ $# -ge 2 ] || die "usage: fetch-lwip.sh WORKDIR DEST PATCH..."
mkdir -p "$1"
work=$(cd "$1" && pwd)
dest=$2
shift 2
need patch patch

tmp=$work/unpack.$$
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$tmp"
if [ -n "${LWIP_SRC:-}" ]; then
	[ -f "$LWIP_SRC/src/core/tcp_in.c" ] || die "LWIP_SRC=$LWIP_SRC holds no lwIP source"
	cp -R "$LWIP_SRC/src" "$tmp/"
	for part in test contrib; do
		if [ -d "$LWIP_SRC/$part" ]; then cp -R "$LWIP_SRC/$part" "$tmp/"; fi
	done
elif [ -n "${LWIP_ARCHIVE:-}" ]; then
	unpack "$LWIP_ARCHIVE" "$tmp"
else
	if [ ! -f "$work/$DEBIAN_TAR" ] || [ "$(sha256 "$work/$DEBIAN_TAR")" != "$DEBIAN_SHA256" ]; then
		download "$work"
	fi
	unpack "$work/$DEBIAN_TAR" "$tmp"
fi

for patch; do
	patch -s -f -p1 -d "$tmp" <"$patch" || die "$patch does not apply"
done
rm -rf "$dest"
mkdir -p "$(dirname "$dest")"
mv "$tmp" "$dest"
