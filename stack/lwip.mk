# SPDX-License-Identifier: MIT
# Fetch, patch and build the part of lwIP that we use: its TCP and its packet buffers.
#
# LWIP_SRC=DIR, LWIP_ARCHIVE=FILE and LWIP_SUITE=NAME are for stack/fetch-lwip.sh; see there.

LWIP_DIR     := $(BUILD)/lwip
LWIP_STAMP   := $(LWIP_DIR)/.stamp
LWIP_PATCHES := $(sort $(wildcard stack/patches/*.patch))
LWIP_CFLAGS  := -Istack -isystem $(LWIP_DIR)/src/include
# Everything below IP is ours (stack/lwip_port.c), so that no other parser is reachable
LWIP_SRCS    := def.c inet_chksum.c mem.c memp.c pbuf.c tcp.c tcp_in.c tcp_out.c
LWIP_OBJS    := $(patsubst %.c,$(BUILD)/obj/lwip/%.o,$(LWIP_SRCS))

export LWIP_SRC LWIP_ARCHIVE LWIP_SUITE

$(LWIP_STAMP): stack/fetch-lwip.sh $(LWIP_PATCHES)
	@mkdir -p $(BUILD)
	sh stack/fetch-lwip.sh $(BUILD)/dl $(LWIP_DIR) $(LWIP_PATCHES)
	@touch $@

$(LWIP_OBJS): $(BUILD)/obj/lwip/%.o: $(LWIP_STAMP) stack/lwipopts.h stack/arch/cc.h
	@mkdir -p $(@D)
	$(CC) $(STD) $(CFLAGS) $(SANITIZE) -Wall $(DEPFLAGS) -I. -Istack -I$(LWIP_DIR)/src/include -c -o $@ $(LWIP_DIR)/src/core/$*.c

# The simulator holds two stacks: lwIP's state is global, so one of them has its symbols renamed.
$(BUILD)/tests/sim/sim_stack: tests/sim/sim_stack.c $(BUILD)/libstack.a
	@mkdir -p $(@D)
	$(LD) -r -o $@.near.o --whole-archive $(BUILD)/libstack.a
	nm --defined-only -g -j $@.near.o | sed 's/.*/& far_&/' >$@.names
	objcopy --redefine-syms=$@.names $@.near.o $@.far.o
	$(COMPILE) $(SANITIZE) -I. -o $@ $< $@.near.o $@.far.o $(PKG_LIBS)
