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
STD      := -std=gnu11 -D_GNU_SOURCE -fvisibility=hidden -fPIE
DEPFLAGS  = -MMD -MP

PKGS      := libsodium libb2 inih libcares libseccomp
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
# AEAD providers that are compiled in when their headers are present
HAVE_OPENSSL := $(shell pkg-config --exists libcrypto 2>/dev/null && echo 1)
HAVE_IPSECMB := $(shell printf '\#include <intel-ipsec-mb.h>\n' | $(CC) -E -x c - >/dev/null 2>&1 && echo 1)
ifdef HAVE_OPENSSL
PKG_CFLAGS += -DWG_HAVE_OPENSSL
PKG_LIBS   += -lcrypto
endif
ifdef HAVE_IPSECMB
PKG_CFLAGS += -DWG_HAVE_IPSECMB
PKG_LIBS   += -lIPSec_MB
endif

WG_SRCS      := $(sort $(wildcard wg/*.c))
STACK_SRCS   := $(sort $(wildcard stack/*.c))
SRC_SRCS     := $(sort $(wildcard src/*/*.c))
CMD_SRCS     := $(sort $(wildcard cmd/*.c))
PRELOAD_SRCS := $(sort $(wildcard preload/*.c)) src/repr/seal.c
UNIT_SRCS    := $(sort $(wildcard tests/unit/test_*.c))
PLATFORM_SRCS := $(sort $(wildcard tests/platform/*.c))

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

all: $(BUILD)/wgwrap $(BUILD)/libwgwrap.so

include stack/lwip.mk

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(STD) $(CFLAGS) $(WARN) $(DEPFLAGS) -I. $(PKG_CFLAGS) $(EXTRA_CFLAGS) -c -o $@ $<

$(BUILD)/obj/stack/%.o: EXTRA_CFLAGS := $(LWIP_CFLAGS)
$(call obj,$(STACK_SRCS)): | $(LWIP_STAMP)

$(BUILD)/libwg.a: $(call obj,$(WG_SRCS))
	@rm -f $@; $(AR) rcs $@ $^
$(BUILD)/libstack.a: $(call obj,$(STACK_SRCS)) $(LWIP_OBJS)
	@rm -f $@; $(AR) rcs $@ $^
$(BUILD)/libwgw.a: $(call obj,$(SRC_SRCS))
	@rm -f $@; $(AR) rcs $@ $^

$(BUILD)/wgwrap: $(call obj,$(CMD_SRCS)) $(BUILD)/libwgw.a $(BUILD)/libstack.a $(BUILD)/libwg.a
	$(CC) $(CFLAGS) $(LDFLAGS) -pie -o $@ $^ $(PKG_LIBS)

$(BUILD)/preload/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(STD) $(CFLAGS) $(WARN) $(DEPFLAGS) -I. -fPIC -ffreestanding -fno-stack-protector -U_FORTIFY_SOURCE -c -o $@ $<
$(BUILD)/libwgwrap.so: $(patsubst %.c,$(BUILD)/preload/%.o,$(PRELOAD_SRCS))
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-z,nodelete,-z,now,-z,relro -Wl,-soname,libwgwrap.so -o $@ $^

# Each unit test is a program of its own
$(BUILD)/tests/unit/%: tests/unit/%.c $(BUILD)/libwgw.a $(BUILD)/libstack.a $(BUILD)/libwg.a
	@mkdir -p $(@D)
	$(CC) $(STD) $(CFLAGS) $(WARN) $(DEPFLAGS) -I. $(PKG_CFLAGS) $(UNIT_CFLAGS) -o $@ $< \
		$(filter %.a,$^) $(PKG_LIBS) $(shell pkg-config --libs check)
$(BUILD)/tests/platform/%: tests/platform/%.c
	@mkdir -p $(@D)
	$(CC) $(STD) $(CFLAGS) $(WARN) -I. -pthread -o $@ $<

UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(UNIT_SRCS))
PLATFORM_TESTS := $(patsubst %.c,$(BUILD)/%,$(PLATFORM_SRCS))

clean:
	rm -rf $(BUILD)

.PHONY: all clean
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
