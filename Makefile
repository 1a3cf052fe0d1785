# SPDX-License-Identifier: MIT
# Build, test and install wgwrap. `make help` lists the targets.

CC       ?= cc
CFLAGS   ?= -O2 -g
WARN     := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes
ifdef WERROR
WARN     += -Werror
endif
BUILD    ?= build
PREFIX   ?= /usr/local
# of the engine as a static library
LIBDIR   ?= $(PREFIX)/lib
STD      := -std=gnu11 -D_GNU_SOURCE -fvisibility=hidden -fPIE
DEPFLAGS  = -MMD -MP
COMPILE   = $(CC) $(STD) $(CFLAGS) $(WARN) $(DEPFLAGS)
# Sanitizers' flags. The shared object and the programs of the tests go without: it lives in processes that are not ours.
SANITIZE ?=

# ---- libraries ----

PKGS      := libsodium libb2 inih libcares libseccomp
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
# A start of wgwrap should be quick, and each shared object that is linked is loaded at each start. So the libraries that only
# the tunnel process and the proxies use are not linked but loaded when they are needed (wg/library.h), and the others are
# linked from archives, where there are any. libb2.so would bring OpenMP's runtime along, which is not used.
# SODIUM=shared links libsodium as a shared object, so that its updates need no new link (the Debian package does that); it costs
# 0.2 ms at each start.
archive = $(or $(filter /%,$(shell $(CC) -print-file-name=lib$(1).a)),-l$(1))
PKG_LIBS   := $(shell pkg-config --libs libsodium 2>/dev/null) $(call archive,b2) $(call archive,inih)
SODIUM ?=
SODIUM_AT  := $(patsubst -L%,-B%/,$(shell pkg-config --libs-only-L libsodium 2>/dev/null))
SODIUM_ARCHIVE := $(if $(filter shared,$(SODIUM)),,$(filter /%,$(shell $(CC) $(SODIUM_AT) -print-file-name=libsodium.a)))
WGWRAP_LIBS := $(if $(SODIUM_ARCHIVE),$(patsubst -lsodium,$(SODIUM_ARCHIVE) -pthread,$(PKG_LIBS)),$(PKG_LIBS))
# AEAD providers that are compiled in when their headers are present, and loaded when they are used
HAVE_OPENSSL := $(shell pkg-config --exists 'libcrypto >= 3' 2>/dev/null && echo 1)
HAVE_IPSECMB := $(shell $(CC) -E -include intel-ipsec-mb.h -x c /dev/null >/dev/null 2>&1 && echo 1)
ifdef HAVE_OPENSSL
PKG_CFLAGS += -DWG_HAVE_OPENSSL
endif
# TLS of the proxies: likewise
HAVE_LIBSSL  := $(shell pkg-config --exists libssl 2>/dev/null && echo 1)
ifdef HAVE_LIBSSL
PKG_CFLAGS += -DWGW_HAVE_TLS
endif
ifdef HAVE_IPSECMB
PKG_CFLAGS += -DWG_HAVE_IPSECMB
endif
# Libraries that are loaded are called by their full name on this system, like libcares.so.2 (SONAME_cares): libcares.so comes
# with the headers only, and is not there where the program is installed. The names of libssl and libcrypto follow from their
# headers' version.
LOADED     := cares http_parser seccomp
LOADED_IF_THERE := $(if $(HAVE_IPSECMB),IPSec_MB) $(if $(HAVE_OPENSSL),crypto) $(if $(HAVE_LIBSSL),ssl)
NAMED      := $(LOADED) $(filter IPSec_MB,$(LOADED_IF_THERE))
soname      = $(shell readelf -d "$$($(CC) -print-file-name=lib$(1).so)" 2>/dev/null | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
$(foreach lib,$(NAMED),$(eval SONAME_$(lib) := $(call soname,$(lib))))
PKG_CFLAGS += $(foreach lib,$(NAMED),-D'SONAME_$(lib)="$(SONAME_$(lib))"')
NAMELESS   := $(strip $(foreach lib,$(NAMED),$(if $(SONAME_$(lib)),,lib$(lib).so)))

# ---- sources ----

WG_SRCS      := $(sort $(wildcard wg/*.c))
STACK_SRCS   := $(sort $(wildcard stack/*.c))
SRC_SRCS     := $(sort $(wildcard src/*/*.c))
CMD_SRCS     := $(sort $(wildcard cmd/*.c))
PRELOAD_SRCS := $(sort $(wildcard preload/*.c src/repr/*.c))
UNIT_SRCS    := $(sort $(wildcard tests/unit/test_*.c))
SIM_SRCS     := $(sort $(wildcard tests/sim/*.c))
PLATFORM_SRCS := $(sort $(wildcard tests/platform/*.c))
PROGRAM_SRCS := $(sort $(wildcard tests/programs/*.c))
BEHAVIOUR_SRCS := $(sort $(wildcard tests/behaviours/*.c))
FUZZ_SRCS    := $(sort $(wildcard tests/fuzz/fuzz_*.c))
MATRIX       := $(sort $(wildcard tests/e2e/matrix/*.py))
E2E_TESTS    := $(sort $(wildcard tests/e2e/*.sh tests/e2e/*.py tests/e2e/front/*.sh tests/e2e/front/*.py tests/e2e/proxy/*.py \
	tests/e2e/operate/*.py)) $(MATRIX)
BENCHES      := $(filter-out %/figures.py %/sides.py,$(sort $(wildcard tests/bench/*.sh tests/bench/*.py)))
MAN_PAGES    := $(sort $(wildcard cmd/*.1 cmd/*.5 cmd/*.7))

# ---- what is built ----

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIBS := $(BUILD)/libwgw.a $(BUILD)/libstack.a $(BUILD)/libwg.a

# The packages that are there decide what is compiled and how. So "make deps all" installs them first, and then
# reads this file anew for the other goals.
ifneq ($(filter deps,$(MAKECMDGOALS)),)
REST := $(filter-out deps,$(MAKECMDGOALS))
deps:
	sh tests/deps.sh
	$(if $(REST),+$(MAKE) --no-print-directory $(REST))
$(REST): deps
	@:
else

all: $(BUILD)/wgwrap $(BUILD)/libwgwrap.so

include stack/lwip.mk

$(BUILD)/obj/%.o: %.c
	$(if $(NAMELESS),$(error cannot tell the name of $(NAMELESS) on this system: "make deps" installs what is missing, or \
		names it; readelf, of binutils, reads the name))
	@mkdir -p $(@D)
	$(COMPILE) $(SANITIZE) -I. $(PKG_CFLAGS) $(EXTRA_CFLAGS) -c -o $@ $<

$(BUILD)/obj/stack/%.o: EXTRA_CFLAGS := $(LWIP_CFLAGS)
# of these libraries the engine loads ipsec-mb alone
$(BUILD)/obj/wg/%.o: NAMELESS := $(filter libIPSec_MB.so,$(NAMELESS))
# lwIP has to be fetched and patched before anything includes its headers
$(call obj,$(STACK_SRCS)): $(LWIP_STAMP)

$(BUILD)/libwg.a: $(call obj,$(WG_SRCS))
$(BUILD)/libstack.a: $(call obj,$(STACK_SRCS)) $(LWIP_OBJS)
$(BUILD)/libwgw.a: $(call obj,$(SRC_SRCS))
$(LIBS):
	@rm -f $@; $(AR) rcs $@ $^

$(BUILD)/wgwrap: $(call obj,$(CMD_SRCS)) $(LIBS)
	$(CC) $(CFLAGS) $(SANITIZE) $(LDFLAGS) -pie -Wl,-z,relro,-z,now -o $@ $^ $(WGWRAP_LIBS)

$(BUILD)/preload/%.o: %.c
	@mkdir -p $(@D)
	$(COMPILE) -I. -fPIC -fno-builtin -fno-stack-protector -U_FORTIFY_SOURCE -c -o $@ $<
$(BUILD)/libwgwrap.so: $(patsubst %.c,$(BUILD)/preload/%.o,$(PRELOAD_SRCS))
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-z,nodelete,-z,now,-z,relro -Wl,-soname,libwgwrap.so -o $@ $^

# ---- tests: each C file is a program of its own ----

$(BUILD)/tests/unit/%: tests/unit/%.c $(LIBS)
	@mkdir -p $(@D)
	$(COMPILE) $(SANITIZE) -I. $(PKG_CFLAGS) $(UNIT_CFLAGS) -o $@ $< \
		$(LIBS) $(PKG_LIBS) $(shell pkg-config --libs check)
# simulators of a stack and peers that are made by hand, of two stacks (stack/lwip.mk), and of the engine alone
BY_HAND := hostile receiver
$(patsubst %,$(BUILD)/tests/sim/sim_%,$(BY_HAND)): $(BUILD)/tests/sim/%: tests/sim/%.c $(LIBS)
	@mkdir -p $(@D)
	$(COMPILE) $(SANITIZE) -I. $(PKG_CFLAGS) -o $@ $< \
		$(LIBS) $(PKG_LIBS) $(shell pkg-config --libs check)
$(BUILD)/tests/sim/%: tests/sim/%.c $(BUILD)/libwg.a
	@mkdir -p $(@D)
	$(COMPILE) $(SANITIZE) -I. $(PKG_CFLAGS) -o $@ $< $(BUILD)/libwg.a $(PKG_LIBS)
$(patsubst %,$(BUILD)/tests/bench/%,aead floor flood): $(BUILD)/tests/bench/%: tests/bench/%.c $(BUILD)/libwg.a
	@mkdir -p $(@D)
	$(COMPILE) $(SANITIZE) -I. $(PKG_CFLAGS) -o $@ $< $(BUILD)/libwg.a $(PKG_LIBS)
$(BUILD)/tests/platform/%: tests/platform/%.c
	@mkdir -p $(@D)
	$(COMPILE) -I. -pthread -o $@ $<
$(BUILD)/tests/behaviours/%: tests/behaviours/%.c
	@mkdir -p $(@D)
	$(COMPILE) -pthread -o $@ $<
$(BUILD)/tests/programs/%: tests/programs/%.c
	@mkdir -p $(@D)
	$(COMPILE) -pthread -o $@ $<
$(BUILD)/tests/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(COMPILE) -I. -o $@ $<
$(BUILD)/tests/programs/sanitized: tests/programs/sanitized.c
	@mkdir -p $(@D)
	$(COMPILE) -fsanitize=address -o $@ $<
# clocks, and memory that is refused, preloaded
$(BUILD)/tests/shifted/%.so: tests/shifted/%.c
	@mkdir -p $(@D)
	$(COMPILE) -fPIC -shared -o $@ $<
# what the shared object cannot reach
$(BUILD)/tests/programs/static_%: tests/programs/static_%.c
	@mkdir -p $(@D)
	$(COMPILE) -fno-pie -static -pthread -o $@ $<
$(BUILD)/tests/programs/static: tests/programs/hello.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(CFLAGS) $(WARN) -static -o $@ $<

UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(UNIT_SRCS))
SIM_TESTS := $(patsubst %.c,$(BUILD)/%,$(SIM_SRCS))
PLATFORM_TESTS := $(patsubst %.c,$(BUILD)/%,$(PLATFORM_SRCS))
PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(PROGRAM_SRCS)) \
	$(if $(filter tests/programs/hello.c,$(PROGRAM_SRCS)),$(BUILD)/tests/programs/static) \
	$(patsubst tests/shifted/%.c,$(BUILD)/tests/shifted/%.so,$(sort $(wildcard tests/shifted/*.c)))
BEHAVIOURS := $(patsubst %.c,$(BUILD)/%,$(BEHAVIOUR_SRCS))

# ---- running the tests ----

# JOBS: test programs at a time, one more than processors, since most of them wait most of the time. AGAIN: up to so many that
# fail run once more.
JOBS ?= $(shell expr $$(nproc) + 1)
RUN_TESTS = WGWRAP_BUILD="$(abspath $(BUILD))" tests/run -j $(JOBS) -t 900 -o $(BUILD)/tests/logs \
	$(if $(K),-k '$(subst ','\'',$(K))') $(if $(AGAIN),-r $(AGAIN))

# QUICK=1: without what takes long and does not depend on who runs it
ifdef QUICK
SIM_TESTS :=
E2E_TESTS := $(filter-out $(MATRIX) tests/e2e/operate/recovery.py tests/e2e/wireguard_go.py,$(E2E_TESTS))
endif
REPLAYS := $(patsubst tests/fuzz/fuzz_%.seeds,$(BUILD)/tests/fuzz/replay_%,$(wildcard tests/fuzz/*.seeds))
check: all $(UNIT_TESTS) $(REPLAYS) $(SIM_TESTS) $(PLATFORM_TESTS) $(PROGRAMS) $(BEHAVIOURS)
	@$(RUN_TESTS) $(UNIT_TESTS) $(REPLAYS) $(SIM_TESTS) $(PLATFORM_TESTS) tests/behaviours/run.py \
		tests/behaviours/supervised.sh $(E2E_TESTS)
behaviours: all $(BEHAVIOURS)
	@WGWRAP_BUILD="$(abspath $(BUILD))" tests/behaviours/run.py $(CASES)
behaviours-supervised: all $(BEHAVIOURS)
	@WGWRAP_BUILD="$(abspath $(BUILD))" tests/behaviours/run.py --supervised $(CASES)
check-unit: $(UNIT_TESTS) $(PLATFORM_TESTS)
	@$(RUN_TESTS) $^
check-e2e: all $(PROGRAMS)
	@$(RUN_TESTS) $(E2E_TESTS)

matrix: all $(PROGRAMS)
	@WGWRAP_MATRIX=full $(RUN_TESTS) $(MATRIX)

# SEEDS=N FIRST=seed
sim: $(SIM_TESTS)
	@for s in $(SIM_TESTS); do echo "$$s $(SEEDS) $(FIRST)" && $$s $(SEEDS) $(FIRST) || exit; done

# SEEDS=N FIRST=seed, with sanitizers; check runs a few of the same seeds without
hostile:
	+$(MAKE) BUILD=$(BUILD)-asan CFLAGS="-O1 -g -fno-omit-frame-pointer" SANITIZE="-fsanitize=address,undefined" hostile-run
hostile-run: export UBSAN_OPTIONS := halt_on_error=1:print_stacktrace=1
hostile-run: $(patsubst %,$(BUILD)/tests/sim/sim_%,$(BY_HAND))
	@for s in $^; do echo "$$s $(or $(SEEDS),1000) $(FIRST)" && $$s $(or $(SEEDS),1000) $(FIRST) || exit; done

deps-matrix:
	sh tests/deps.sh build tests matrix large

demo: all
	@WGWRAP_BUILD="$(abspath $(BUILD))" examples/demo.sh

bench: all $(PROGRAMS) $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/bench/*.c)))
	@rm -rf $(BUILD)/bench && mkdir -p $(BUILD)/bench
	@failed=; for b in $(BENCHES); do WGWRAP_BUILD="$(abspath $(BUILD))" $$b || failed="$$failed $$b"; done; \
		tests/bench/figures.py $(BUILD)/bench && test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

# Leak checking stays off: processes that end by _exit or a signal are no leaks.
asan:
	+ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		$(MAKE) BUILD=$(BUILD)-asan CFLAGS="-O1 -g -fno-omit-frame-pointer" \
		SANITIZE="-fsanitize=address,undefined" check

# ---- fuzzing ----

# the seeds of fuzz targets, without libFuzzer
$(BUILD)/tests/fuzz/replay_%: tests/fuzz/fuzz_%.c $(LIBS)
	@mkdir -p $(@D)
	$(COMPILE) $(SANITIZE) -DREPLAY='"tests/fuzz/fuzz_$*.seeds"' -I. $(PKG_CFLAGS) -o $@ $< \
		$(LIBS) $(PKG_LIBS)

FUZZ_SECONDS ?= 20
FUZZERS := $(patsubst %.c,$(BUILD)/%,$(FUZZ_SRCS))
$(BUILD)/tests/fuzz/%: tests/fuzz/%.c $(LIBS)
	@mkdir -p $(@D)
	$(COMPILE) $(SANITIZE) -fsanitize=fuzzer -I. $(PKG_CFLAGS) -o $@ $< $(LIBS) $(PKG_LIBS)
fuzz:
	+$(MAKE) BUILD=$(BUILD)-fuzz CC=clang CFLAGS="-O1 -g" \
		SANITIZE="-fsanitize=fuzzer-no-link,address,undefined" fuzz-run
# one script of fuzz_stack has so many features that to weigh them takes longer than to run it
FUZZ_FLAGS_fuzz_stack := -entropic=0 -max_len=1000
fuzz-run: export UBSAN_OPTIONS := halt_on_error=1:print_stacktrace=1
fuzz-run: $(FUZZERS)
	@$(foreach f,$(FUZZERS),mkdir -p $(f).corpus && echo "== $(f)" && \
		$(f) $(FUZZ_FLAGS_$(notdir $(f))) -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$(f). -print_final_stats=1 \
		$(f).corpus $(wildcard tests/fuzz/$(notdir $(f)).seeds) &&) true

SOURCES = $(shell git ls-files '*.c' '*.h')
tidy: $(LWIP_STAMP)
	clang-format --dry-run -Werror $(SOURCES)
	clang-tidy --quiet $(sort $(WG_SRCS) $(SRC_SRCS) $(PRELOAD_SRCS) $(CMD_SRCS)) -- $(STD) -I. $(PKG_CFLAGS)
	clang-tidy --quiet $(STACK_SRCS) -- $(STD) -I. $(LWIP_CFLAGS) $(PKG_CFLAGS)

# ---- installing ----

# the engine for other programs: header, static library, pkg-config file
WG_LIBS := $(shell pkg-config --libs libsodium libb2 2>/dev/null)
install-engine: $(BUILD)/libwg.a
	install -D -m 644 $< $(DESTDIR)$(LIBDIR)/libwg.a
	install -D -m 644 wg/wg.h $(DESTDIR)$(PREFIX)/include/wgwrap/wg/wg.h
	mkdir -p $(DESTDIR)$(LIBDIR)/pkgconfig
	sed 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@LIBS@|$(WG_LIBS)|' wg/libwg.pc.in \
		>$(DESTDIR)$(LIBDIR)/pkgconfig/libwg.pc
	chmod 644 $(DESTDIR)$(LIBDIR)/pkgconfig/libwg.pc

# Debian's zsh looks for packages' functions elsewhere
ZSH_FUNCTIONS := $(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)
install: all install-engine
	install -D -m 755 $(BUILD)/wgwrap $(DESTDIR)$(PREFIX)/bin/wgwrap
	install -D -m 755 $(BUILD)/libwgwrap.so $(DESTDIR)$(PREFIX)/lib/wgwrap/libwgwrap.so
	for page in $(MAN_PAGES); do \
		install -D -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/} || exit; \
	done
	install -D -m 644 cmd/completions/wgwrap.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/wgwrap
	install -D -m 644 cmd/completions/wgwrap.zsh $(DESTDIR)$(PREFIX)/share/zsh/$(ZSH_FUNCTIONS)/_wgwrap
	install -D -m 644 cmd/completions/wgwrap.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/wgwrap.fish
	install -D -m 644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/wgwrap/LICENSE
	install -D -m 644 $(LWIP_DIR)/COPYING $(DESTDIR)$(PREFIX)/share/doc/wgwrap/COPYING.lwip
	install -D -m 644 examples/systemd/user/wgwrap@.service $(DESTDIR)$(PREFIX)/lib/systemd/user/wgwrap@.service
	install -D -m 644 examples/systemd/system/wgwrap@.service $(DESTDIR)$(PREFIX)/lib/systemd/system/wgwrap@.service
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/wgwrap
	for page in $(MAN_PAGES); do rm -f $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; done
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/wgwrap
	rm -f $(DESTDIR)$(PREFIX)/share/zsh/$(ZSH_FUNCTIONS)/_wgwrap
	rm -f $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/wgwrap.fish
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/user/wgwrap@.service $(DESTDIR)$(PREFIX)/lib/systemd/system/wgwrap@.service
	rm -rf $(DESTDIR)$(PREFIX)/lib/wgwrap $(DESTDIR)$(PREFIX)/include/wgwrap $(DESTDIR)$(PREFIX)/share/doc/wgwrap
	rm -f $(DESTDIR)$(LIBDIR)/libwg.a $(DESTDIR)$(LIBDIR)/pkgconfig/libwg.pc

# for packagers: objects that are linked with what is loaded, so that their tools can tell which packages that is
loaded: $(BUILD)/loaded.so $(BUILD)/loaded-if-there.so
$(BUILD)/loaded.so: LOADED_HERE = $(LOADED)
$(BUILD)/loaded-if-there.so: LOADED_HERE = $(LOADED_IF_THERE)
$(BUILD)/loaded.so $(BUILD)/loaded-if-there.so:
	@mkdir -p $(@D)
	$(CC) -shared -nostdlib -Wl,--no-as-needed -o $@ -x c /dev/null $(addprefix -l,$(LOADED_HERE))

# in a copy of the tree, which is no checkout; lwIP as it was fetched and patched here
DEB_VERSION := $(shell sed -n 's/.*WGWRAP_VERSION "\(.*\)"/\1/p' cmd/cmd.h)
DEB_TREE := $(BUILD)/deb/wgwrap-$(DEB_VERSION)
deb: $(LWIP_STAMP)
	rm -rf $(BUILD)/deb
	mkdir -p $(DEB_TREE)/build
	tar -c --exclude=./.git --exclude='./build*' . | tar -x -C $(DEB_TREE)
	cp -r cmd/debian $(DEB_TREE)/debian
	cp -r $(LWIP_DIR) $(DEB_TREE)/build/lwip && touch $(DEB_TREE)/build/lwip/.stamp
	cd $(DEB_TREE) && env -u MAKEFLAGS -u MAKELEVEL -u BUILD -u PREFIX -u WERROR dpkg-buildpackage -us -uc -b
	@ls $(BUILD)/deb/*.deb
check-deb: deb
	tests/deb.sh $(BUILD)/deb

clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-fuzz

-include $(shell find $(BUILD) -path $(BUILD)/deb -prune -o -name '*.d' -type f -print 2>/dev/null)
endif

help:
	@echo 'make [all]        $(BUILD)/wgwrap and $(BUILD)/libwgwrap.so'
	@echo 'make deps         install the packages that are missing, or print them'
	@echo 'make demo         curl through a tunnel between two processes on loopback'
	@echo 'make check        all tests; K=PATTERN: those whose name contains it'
	@echo 'make check-unit   tests/unit and tests/platform; check-e2e: tests/e2e'
	@echo 'make behaviours   each socket behaviour natively and wrapped, compared; CASES="udp tcp.connect_refused"'
	@echo 'make behaviours-supervised   the same without the shared object: the supervisor answers'
	@echo 'make matrix       real programs, all of them; check has the quick ones. make deps-matrix first'
	@echo 'make sim          tests/sim: the engine in virtual time; SEEDS=N FIRST=SEED'
	@echo 'make hostile      peers in the tunnel that send whatever they like, or obey and no more; sanitizers; SEEDS=N FIRST=SEED'
	@echo 'make bench        tests/bench: ratios, measured side by side; build/bench/bench.md'
	@echo 'make asan         the tests in a build with AddressSanitizer and UBSan'
	@echo 'make fuzz         tests/fuzz, FUZZ_SECONDS=$(FUZZ_SECONDS) each (clang)'
	@echo 'make tidy         clang-format and clang-tidy'
	@echo 'make install      DESTDIR=, PREFIX=$(PREFIX); uninstall'
	@echo 'make deb          Debian packages in $(BUILD)/deb; check-deb: lintian, and installed in a copy of the root'
	@echo 'make clean        remove what was built'
	@echo 'Variables: BUILD=dir CC= CFLAGS= LDFLAGS= WERROR=1 SANITIZE=flags LWIP_SRC=dir SODIUM=shared'
	@echo '           of check: JOBS=N QUICK=1 AGAIN=N'

.PHONY: all deps deps-matrix matrix behaviours behaviours-supervised check check-unit check-e2e sim hostile \
	hostile-run demo bench asan fuzz fuzz-run tidy install install-engine uninstall loaded deb check-deb clean help
.DEFAULT_GOAL := all
