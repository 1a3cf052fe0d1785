/* SPDX-License-Identifier: MIT */
/*
 * peer.c - which user of this host a connection on loopback comes from
 *
 * Loopback is shared by all users of a host: without passwords a proxy there would lend its tunnel
 * to all of them. The kernel knows whose the other end is (sock_diag(7)); it is asked through a
 * netlink socket that was opened before: a process that serves clients opens none of that kind.
 *
 * A socket whose owner has closed it already belongs to nobody, and so is not let in: else a client
 * could send and close before it is looked at.
 */
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "src/base/loop.h"
#include "src/base/sockaddr.h"
#include "src/proxy/peer.h"
#include "src/session/say.h"

/** struct question - about one socket */
struct question {
	struct nlmsghdr header;
	struct inet_diag_req_v2 about;
};

static void put_address(__be32 out[4], const struct stack_addr *a)
{
	bool v4 = stack_addr_is_v4(a);

	memcpy(out, v4 ? a->ip + 12 : a->ip, v4 ? 4 : 16);
}

int proxy_peer_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);

	return fd < 0 ? -errno : fd;
}

int proxy_peer_uid(int fd, const struct stack_addr *peer, const struct stack_addr *local,
		   uint32_t *uid)
{
	struct question q = {
		.header = {.nlmsg_len = sizeof(q),
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST},
		.about = {.sdiag_family = stack_addr_is_v4(peer) ? AF_INET : AF_INET6,
			  .sdiag_protocol = IPPROTO_TCP,
			  .idiag_states = UINT32_MAX,
			  .id = {.idiag_sport = htons(peer->port),
				 .idiag_dport = htons(local->port),
				 .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}},
	};
	union {
		struct nlmsghdr header;
		char bytes[4096];
	} answer;
	const struct inet_diag_msg *found;
	ssize_t n;

	put_address(q.about.id.idiag_src, peer);
	put_address(q.about.id.idiag_dst, local);
	/* what an earlier question has left */
	while (recv(fd, &answer, sizeof(answer), MSG_DONTWAIT) > 0)
		;
	if (send(fd, &q, sizeof(q), MSG_DONTWAIT) < 0)
		return -errno;
	/* the kernel answers before send returns */
	n = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	if (!NLMSG_OK(&answer.header, (size_t)n) ||
	    answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    answer.header.nlmsg_len < NLMSG_LENGTH(sizeof(*found)))
		return -ENOENT;
	found = NLMSG_DATA(&answer.header);
	if (found->idiag_inode == 0)
		return -ENOENT;
	*uid = found->idiag_uid;
	return 0;
}

bool proxy_peer_known(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int diag = proxy_peer_open();
	struct stack_addr peer = {.ip = {[10] = 0xff, 0xff, 127, 0, 0, 1}}, local = peer;
	socklen_t len = sizeof(in);
	uint32_t uid = UINT32_MAX;
	bool ok = listener >= 0 && client >= 0 && diag >= 0 &&
		  bind(listener, (struct sockaddr *)&in, len) == 0 && listen(listener, 1) == 0 &&
		  getsockname(listener, (struct sockaddr *)&in, &len) == 0;

	if (ok) {
		local.port = ntohs(in.sin_port);
		ok = connect(client, (struct sockaddr *)&in, len) == 0 || errno == EINPROGRESS;
		len = sizeof(in);
		ok = ok && getsockname(client, (struct sockaddr *)&in, &len) == 0;
		peer.port = ntohs(in.sin_port);
		ok = ok && proxy_peer_uid(diag, &peer, &local, &uid) == 0 && uid == geteuid();
	}
	if (listener >= 0)
		close(listener);
	if (client >= 0)
		close(client);
	if (diag >= 0)
		close(diag);
	return ok;
}

bool proxy_peer_ends(int fd, struct stack_addr *peer, struct stack_addr *local)
{
	struct sockaddr_storage peer_ss, local_ss;
	socklen_t peer_len = sizeof(peer_ss), local_len = sizeof(local_ss);

	if (getpeername(fd, (struct sockaddr *)&peer_ss, &peer_len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&local_ss, &local_len) < 0)
		return false;
	wgw_sockaddr_to(&peer_ss, peer);
	wgw_sockaddr_to(&local_ss, local);
	return true;
}

int proxy_refusal_level(uint64_t *warned_at)
{
	uint64_t now = wgw_clock_ns();

	if (*warned_at && now - *warned_at < PROXY_QUIET_S * WGW_SEC_NS)
		return WGW_SAY_INFO;
	*warned_at = now;
	return WGW_SAY_WARNING;
}

const char *proxy_refusal_suffix(int level)
{
	return level == WGW_SAY_WARNING ? " (said once a minute)" : "";
}

bool proxy_peer_may_enter(int fd, const struct stack_addr *peer, const struct stack_addr *local,
			  bool asks_users, uint64_t *warned_at, struct proxy_refusal *why)
{
	uint32_t uid;
	bool known = proxy_peer_uid(fd, peer, local, &uid) == 0;

	if (known && (uid == geteuid() || uid == 0))
		return true;
	why->level = known ? proxy_refusal_level(warned_at) : WGW_SAY_INFO;
	if (known)
		snprintf(why->text, sizeof(why->text),
			 "proxy: a connection of user %u was refused; --any-user allows the "
			 "other users of this host%s%s",
			 uid, asks_users ? ", --users FILE those with a password" : "",
			 proxy_refusal_suffix(why->level));
	else
		snprintf(why->text, sizeof(why->text),
			 "proxy: a client closed before it was looked at");
	return false;
}
