/* SPDX-License-Identifier: MIT */
/*
 * udp.c - datagram sockets
 *
 * Sockets hang in buckets by port. A datagram goes to the best match: connected before bound to an
 * address before wildcard (as Linux's compute_score).
 */
#include "stack/internal.h"

#include <errno.h>
#include <stdlib.h>

static int score(const struct flow_udp *u, const struct stack_addr *to,
		 const struct stack_addr *from)
{
	int points = 1;

	if (!ports_match(&u->local, u->v6only, to))
		return 0;
	if (!stack_addr_is_any(&u->local))
		points += 4;
	else if (stack_addr_is_v4(&u->local) == stack_addr_is_v4(to))
		points += 1;
	if (u->connected) {
		if (!stack_addr_equal(&u->remote, from))
			return 0;
		points += 8;
	}
	return points;
}

static struct flow_udp *find(struct stack *s, const struct stack_addr *to,
			     const struct stack_addr *from)
{
	struct flow_udp *u, *best = NULL;
	int best_score = 0;

	for (u = s->udp[port_bucket(to->port)]; u; u = u->next) {
		int points = score(u, to, from);

		if (points > best_score) {
			best = u;
			best_score = points;
		}
	}
	return best;
}

void udp_input(struct stack *s, const struct ip_packet *p)
{
	struct stack_addr from = p->from, to = p->to;
	const struct stack_datagram d = {.data = p->payload + UDP_HEADER_BYTES,
					 .len = p->payload_len - UDP_HEADER_BYTES,
					 .from = &from,
					 .to = &to,
					 .ttl = p->ttl,
					 .tos = p->tos};
	struct flow_udp *u;

	from.port = get16(p->payload);
	to.port = get16(p->payload + 2);
	u = find(s, &to, &from);
	if (!u)
		icmp_port_unreachable(s, p);
	else if (u->ops->received)
		u->ops->received(u, u->arg, &d);
}

static uint8_t fragments_of(const struct flow_udp *u, const struct stack_addr *to)
{
	return stack_addr_is_v4(to) ? u->fragments4 : u->fragments6;
}

/* Tells the socket that sent from @local to @remote. */
void udp_icmp_error(struct stack *s, const struct stack_addr *local,
		    const struct stack_addr *remote, const struct stack_error *error)
{
	struct flow_udp *u = find(s, local, remote);

	if (!u)
		return;
	if (error->err == EMSGSIZE && !(fragments_of(u, remote) & FLOW_MTU_UNHEARD) &&
	    (u->connected || paths_noted(s, remote, local->port)))
		paths_learn(s, remote, error->info);
	if (u->ops->error)
		u->ops->error(u, u->arg, remote, error);
}

static bool taken(const struct stack *s, const struct stack_addr *local, bool v6only, bool reuse)
{
	const struct flow_udp *u;

	for (u = s->udp[port_bucket(local->port)]; u; u = u->next)
		if (!(reuse && u->reuse) && ports_overlap(&u->local, u->v6only, local, v6only))
			return true;
	return false;
}

static int choose_port(struct stack *s, struct stack_addr *local, bool v6only, bool reuse)
{
	uint16_t first = ports_random(s);
	unsigned int n;

	if (local->port != 0)
		return taken(s, local, v6only, reuse) ? EADDRINUSE : 0;
	for (n = 0; n < ports_count(); n++) {
		local->port = ports_after(first, n);
		if (!taken(s, local, v6only, false))
			return 0;
	}
	return EADDRINUSE;
}

struct flow_udp *flow_udp_new(struct stack *s, const struct stack_addr *local, bool v6only,
			      bool reuse, const struct flow_udp_ops *ops, void *arg, int *err)
{
	struct flow_udp *u = calloc(1, sizeof(*u)), **bucket;

	*err = ENOBUFS;
	if (!u)
		return NULL;
	u->stack = s;
	u->local = *local;
	u->v6only = v6only;
	u->reuse = reuse;
	u->ops = ops;
	u->arg = arg;
	*err = ports_check_local(s, local);
	if (*err == 0)
		*err = choose_port(s, &u->local, v6only, reuse);
	if (*err != 0) {
		free(u);
		return NULL;
	}
	bucket = &s->udp[port_bucket(u->local.port)];
	u->next = *bucket;
	*bucket = u;
	s->stats.udp_flows++;
	return u;
}

void flow_udp_reuse(struct flow_udp *u, bool reuse)
{
	u->reuse = reuse;
}

void flow_udp_free(struct flow_udp *u)
{
	struct flow_udp **at = &u->stack->udp[port_bucket(u->local.port)];

	while (*at != u)
		at = &(*at)->next;
	*at = u->next;
	u->stack->stats.udp_flows--;
	free(u);
}

void flow_udp_local(const struct flow_udp *u, struct stack_addr *local)
{
	*local = u->local;
}

void flow_udp_connect(struct flow_udp *u, const struct stack_addr *remote)
{
	u->connected = remote != NULL;
	if (remote)
		u->remote = *remote;
}

void flow_udp_fragments(struct flow_udp *u, uint8_t v4, uint8_t v6)
{
	u->fragments4 = v4;
	u->fragments6 = v6;
}

/* Sum of pieces of any length: after an odd number of bytes the next sum is swapped. */
static uint16_t sum_pieces(uint64_t sum, const struct iovec *iov, int n)
{
	bool odd = false;
	int i;

	for (i = 0; i < n; i++) {
		uint16_t part = checksum_fold(checksum_add(0, iov[i].iov_base, iov[i].iov_len));

		sum += odd ? __builtin_bswap16(part) : part;
		odd ^= iov[i].iov_len & 1;
	}
	return checksum_fold(sum);
}

int flow_udp_send(struct flow_udp *u, const struct stack_addr *to, const struct iovec *iov, int n,
		  uint8_t ttl, uint8_t tos)
{
	struct stack *s = u->stack;
	struct stack_addr from;
	const struct ip_header ip = {.from = &from,
				     .to = to,
				     .proto = PROTO_UDP,
				     .ttl = ttl ? ttl : TTL_DEFAULT,
				     .tos = tos,
				     .fragments = fragments_of(u, to)};
	uint8_t header[UDP_HEADER_BYTES];
	size_t len = sizeof(header);
	uint64_t sum;
	uint16_t check;
	int i;

	for (i = 0; i < n; i++)
		len += iov[i].iov_len;
	if (len > UINT16_MAX - (stack_addr_is_v4(to) ? IP4_HEADER_BYTES : 0))
		return -EMSGSIZE;
	if (!stack_source_for(s, to, &from))
		return -ENETUNREACH;
	if (!stack_addr_is_any(&u->local)) {
		if (stack_addr_is_v4(&u->local) != stack_addr_is_v4(to))
			return -ENETUNREACH;
		from = u->local;
	}
	put16(header, u->local.port);
	put16(header + 2, to->port);
	put16(header + 4, (uint32_t)len);
	put16(header + 6, 0);
	sum = checksum_pseudo(&from, to, PROTO_UDP, len);
	sum = checksum_add(sum, header, sizeof(header));
	check = (uint16_t)~sum_pieces(sum, iov, n);
	if (check == 0) /* 0 means none (RFC 768) */
		check = 0xffff;
	memcpy(header + 6, &check, 2);
	if (!u->connected)
		paths_note(s, to, u->local.port, len);
	return egress_datagram(s, &ip, header, sizeof(header), iov, n);
}
