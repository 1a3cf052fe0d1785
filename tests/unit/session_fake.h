/* SPDX-License-Identifier: MIT */
/*
 * session_fake.h - a tunnel process for the tests of src/session: speaks channel.h, carries nothing
 *
 * The tests include this file once. wgw_run forks the tunnel process without exec, so @fake says
 * how it behaves and @seen, shared memory, says what it was asked.
 */
#ifndef TESTS_UNIT_SESSION_FAKE_H
#define TESTS_UNIT_SESSION_FAKE_H

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/session/channel.h"
#include "src/tunnel/core.h"

enum { FAKE_CHANNELS = 8, FAKE_IDLE_MS = 300, FAKE_LIFE_S = 150, NEVER = -1 };

static struct {
	bool peer_silent, boot_fails;
	int open_err; /* OPENED's */
	int flush_ms; /* until FLUSHED; NEVER */
	unsigned int datagrams;
	bool ask; /* SCAN for @inode and an inode that nobody has, HOST_RESOLVE of localhost */
	uint64_t inode[2];
} fake;

static struct {
	_Atomic int boots, ends, opens, channels, flushed, scanned, resolved;
	_Atomic int pid;
	uint8_t token[WGW_TOKEN_BYTES], abstract[WGW_ABSTRACT_BYTES];
	uint64_t held;
	int eai;
	uint32_t n_addresses;
	char policy[4096];
} * seen;

static void fake_setup(void)
{
	memset(&fake, 0, sizeof(fake));
	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (seen == MAP_FAILED)
		abort();
}

char *wgw_settings_text(const struct wgw_config *config, uint16_t mtu, uint16_t listen_port)
{
	char *text;

	(void)config;
	return asprintf(&text, "mtu %u\nlisten-port %u\n", mtu, listen_port) < 0 ? NULL : text;
}

static void fake_send(int fd, enum wgw_channel_code code, void (*fill)(struct wgw_channel_msg *msg))
{
	struct wgw_channel_msg msg;

	wgw_channel_prepare(&msg, code);
	if (fill)
		fill(&msg);
	wgw_channel_send(fd, &msg, NULL, 0);
}

static void fill_opened(struct wgw_channel_msg *msg)
{
	msg->err = fake.open_err;
	msg->u.opened.pid = getpid();
	memcpy(msg->u.opened.abstract, seen->abstract, sizeof(seen->abstract));
	if (fake.open_err)
		snprintf(msg->u.opened.text, sizeof(msg->u.opened.text),
			 "mtu 1420 is not mtu 1300\n");
}

static void fill_state(struct wgw_channel_msg *msg)
{
	msg->u.state.peers = 1;
	msg->u.state.peers_up = !fake.peer_silent;
	msg->u.state.attempts = 3;
	msg->u.state.datagrams_received = fake.datagrams;
}

static void fill_scan(struct wgw_channel_msg *msg)
{
	msg->u.scan.n = 2;
	memcpy(msg->u.scan.inode, fake.inode, sizeof(fake.inode));
}

static void fill_host(struct wgw_channel_msg *msg)
{
	msg->u.host.family = AF_INET;
	snprintf(msg->u.host.name, sizeof(msg->u.host.name), "localhost");
}

static void fake_open(int fd, const struct msghdr *hdr, const struct wgw_channel_msg *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(hdr);
	int fds[2];

	if (!c || c->cmsg_len != CMSG_LEN(sizeof(fds)))
		_exit(1);
	memcpy(fds, CMSG_DATA(c), sizeof(fds));
	if (pread(fds[1], seen->policy, sizeof(seen->policy) - 1, 0) < 0)
		_exit(1);
	close(fds[0]);
	close(fds[1]);
	memcpy(seen->token, msg->u.open.token, sizeof(seen->token));
	fake_send(fd, WGW_CH_OPENED, fill_opened);
	if (fake.open_err)
		return;
	fake_send(fd, WGW_CH_STATE, fill_state);
	seen->opens++;
}

/** fake_take() - one message of @fd; false: closed */
static bool fake_take(int fd)
{
	char control[CMSG_SPACE(2 * sizeof(int))];
	struct wgw_channel_msg msg;
	struct iovec iov = {.iov_base = &msg, .iov_len = sizeof(msg)};
	struct msghdr hdr = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};

	if (recvmsg(fd, &hdr, 0) <= 0)
		return false;
	switch (msg.code) {
	case WGW_CH_OPEN:
		fake_open(fd, &hdr, &msg);
		break;
	case WGW_CH_FLUSH:
		if (fake.flush_ms == NEVER)
			break;
		usleep((useconds_t)fake.flush_ms * 1000);
		seen->flushed++;
		fake_send(fd, WGW_CH_FLUSHED, NULL);
		break;
	case WGW_CH_SCANNED:
		seen->held = msg.u.scan.held[0];
		seen->scanned++;
		break;
	case WGW_CH_HOST_RESOLVED:
		seen->eai = msg.u.host.eai;
		seen->n_addresses = msg.u.host.n;
		seen->resolved++;
		break;
	}
	return true;
}

static void fake_accept(struct pollfd p[FAKE_CHANNELS + 2])
{
	for (int i = 0; i < 2; i++) {
		int fd = p[i].revents ? accept4(p[i].fd, NULL, NULL, SOCK_CLOEXEC) : -1;

		for (int j = 2; fd >= 0 && j < FAKE_CHANNELS + 2; j++) {
			if (p[j].fd < 0) {
				p[j].fd = fd;
				seen->channels++;
				fd = -1;
			}
		}
	}
}

_Noreturn void wgw_tunnel_main(const struct wgw_tunnel_boot *boot)
{
	struct wgw_tunnel_boot own = *boot;
	struct pollfd p[FAKE_CHANNELS + 2];
	bool asked = false;

	boot = &own;
	wgw_daemon_become(&own);
	alarm(FAKE_LIFE_S);
	if (fake.boot_fails) {
		dprintf(boot->ready, "no socket for the tunnel");
		_exit(1);
	}
	seen->boots++;
	seen->channels = 0; /* those of a predecessor that was killed */
	seen->pid = getpid();
	memcpy(seen->abstract, boot->abstract, sizeof(seen->abstract));
	if (write(boot->ready, "", 1) != 1)
		_exit(1);
	close(boot->ready);
	for (int i = 0; i < FAKE_CHANNELS + 2; i++)
		p[i] = (struct pollfd){.fd = i < 2 ? boot->sequenced[i] : -1, .events = POLLIN};
	for (;;) {
		int n = poll(p, FAKE_CHANNELS + 2, seen->channels ? 50 : FAKE_IDLE_MS);

		if (n == 0 && !seen->channels) {
			seen->ends++;
			_exit(0);
		}
		for (int i = 2; i < FAKE_CHANNELS + 2; i++) {
			if (p[i].fd >= 0 && p[i].revents && !fake_take(p[i].fd)) {
				close(p[i].fd);
				p[i].fd = -1;
				seen->channels--;
			}
			/* by then the command runs */
			if (p[i].fd >= 0 && n == 0 && fake.ask && !asked) {
				asked = true;
				fake_send(p[i].fd, WGW_CH_SCAN, fill_scan);
				fake_send(p[i].fd, WGW_CH_HOST_RESOLVE, fill_host);
			}
		}
		fake_accept(p);
	}
}

#endif
