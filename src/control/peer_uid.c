/* SPDX-License-Identifier: MIT */
/*
 * peer_uid.c - whose connection this is
 *
 * Loopback is everybody's: any user of the host reaches a listener there. TCP has no SO_PEERCRED,
 * but the kernel lists its sockets with their owners in /proc/net/tcp and tcp6: the client's is the
 * one whose ends are ours the other way round. What has been closed is in the list for a while, as
 * root's and without an inode: whose it was is not known any more.
 *
 * src/proxy/peer.c asks the same of the kernel by sock_diag(7): it runs where no file can be opened.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "src/control/metrics.h"

enum { ADDRESS_HEX_BYTES = 33 };

/** struct end - an address as the table has it: hexadecimal in the kernel's words, and the port */
struct end {
	char hex[ADDRESS_HEX_BYTES];
	unsigned int port;
};

/* Returns false when @ss is no IP address. *v6: which table it is in. */
static bool end_of(const struct sockaddr_storage *ss, struct end *e, bool *v6)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
	uint32_t words[4];

	*v6 = ss->ss_family == AF_INET6;
	if (ss->ss_family == AF_INET) {
		snprintf(e->hex, sizeof(e->hex), "%08" PRIX32, in->sin_addr.s_addr);
		e->port = ntohs(in->sin_port);
		return true;
	}
	if (ss->ss_family != AF_INET6)
		return false;
	memcpy(words, &in6->sin6_addr, sizeof(words));
	snprintf(e->hex, sizeof(e->hex), "%08" PRIX32 "%08" PRIX32 "%08" PRIX32 "%08" PRIX32,
		 words[0], words[1], words[2], words[3]);
	e->port = ntohs(in6->sin6_port);
	return true;
}

bool wgw_loopback_peer_uid(int fd, uint32_t *uid)
{
	struct sockaddr_storage ours, theirs;
	socklen_t ours_len = sizeof(ours), theirs_len = sizeof(theirs);
	struct end local, remote;
	char line[512];
	bool v6, found = false;
	FILE *table;

	if (getsockname(fd, (struct sockaddr *)&ours, &ours_len) ||
	    getpeername(fd, (struct sockaddr *)&theirs, &theirs_len) ||
	    !end_of(&ours, &remote, &v6) || !end_of(&theirs, &local, &v6))
		return false;
	table = fopen(v6 ? "/proc/net/tcp6" : "/proc/net/tcp", "re");
	while (table && !found && fgets(line, sizeof(line), table)) {
		char a[ADDRESS_HEX_BYTES], b[ADDRESS_HEX_BYTES];
		unsigned int a_port, b_port;
		unsigned long inode;

		found = sscanf(line,
			       " %*[0-9]: %32[0-9A-F]:%x %32[0-9A-F]:%x %*s %*s %*s %*s %" SCNu32
			       " %*s %lu",
			       a, &a_port, b, &b_port, uid, &inode) == 6 &&
			a_port == local.port && b_port == remote.port && inode != 0 &&
			strcmp(a, local.hex) == 0 && strcmp(b, remote.hex) == 0;
	}
	if (table)
		fclose(table);
	return found;
}
