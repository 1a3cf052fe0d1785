/* SPDX-License-Identifier: MIT */
/* sockets_fake_udp.h - of the stack in sockets_fake.h, what carries datagrams; it has no ICMP echo */
#ifndef TESTS_UNIT_SOCKETS_FAKE_UDP_H
#define TESTS_UNIT_SOCKETS_FAKE_UDP_H

#ifndef TESTS_UNIT_SOCKETS_FAKE_H
#error "included by sockets_fake.h only"
#endif

/* UDP: what is sent is kept, or answered by fake_udp_answer */

enum { FAKE_SENT = 256 };

struct flow_udp {
	bool used;
	uint8_t fragments4, fragments6;
	struct stack_addr local, remote;
	const struct flow_udp_ops *ops;
	void *arg;
};

struct fake_datagram {
	struct stack_addr to;
	size_t len;
	uint8_t bytes[2048];
};

static struct flow_udp fake_udp[FAKE_FLOWS];
static struct flow_udp *fake_udp_last;
static struct fake_datagram fake_sent[FAKE_SENT];
static unsigned int fake_n_sent;
static void (*fake_udp_answer)(struct flow_udp *u, const struct stack_addr *to,
			       const uint8_t *bytes, size_t len);

struct flow_udp *flow_udp_new(struct stack *stack, const struct stack_addr *local, bool v6only,
			      bool reuse, const struct flow_udp_ops *ops, void *arg, int *err)
{
	(void)stack, (void)v6only, (void)reuse;
	for (size_t i = 0; i < FAKE_FLOWS; i++) {
		struct flow_udp *u = &fake_udp[i];

		if (u->used)
			continue;
		*u = (struct flow_udp){.used = true, .local = *local, .ops = ops, .arg = arg};
		if (!u->local.port)
			u->local.port = (uint16_t)(50000 + i);
		return fake_udp_last = u;
	}
	*err = ENOBUFS;
	return NULL;
}

void flow_udp_reuse(struct flow_udp *u, bool reuse)
{
	(void)u, (void)reuse;
}

void flow_udp_free(struct flow_udp *u)
{
	u->used = false;
}

void flow_udp_local(const struct flow_udp *u, struct stack_addr *local)
{
	*local = u->local;
}

void flow_udp_connect(struct flow_udp *u, const struct stack_addr *remote)
{
	u->remote = remote ? *remote : (struct stack_addr){0};
}

static int fake_udp_result; /* of sending */

int flow_udp_send(struct flow_udp *u, const struct stack_addr *to, const struct iovec *iov, int n,
		  uint8_t ttl, uint8_t tos)
{
	struct fake_datagram *d = &fake_sent[fake_n_sent++ % FAKE_SENT];

	(void)ttl, (void)tos;
	d->to = *to;
	d->len = 0;
	for (int i = 0; i < n; i++) {
		ck_assert_uint_le(d->len + iov[i].iov_len, sizeof(d->bytes));
		memcpy(d->bytes + d->len, iov[i].iov_base, iov[i].iov_len);
		d->len += iov[i].iov_len;
	}
	if (fake_udp_answer)
		fake_udp_answer(u, to, d->bytes, d->len);
	return fake_udp_result;
}

FAKE void fake_udp_receive(struct flow_udp *u, const struct stack_addr *from, const void *bytes,
			   size_t len)
{
	const struct stack_datagram d = {
		.data = bytes, .len = len, .from = from, .to = &u->local, .ttl = 60};

	u->ops->received(u, u->arg, &d);
}

struct flow_ping *flow_ping_new(struct stack *stack, bool v6, uint16_t id,
				const struct flow_ping_ops *ops, void *arg)
{
	(void)stack, (void)v6, (void)id, (void)ops, (void)arg;
	return NULL;
}

void flow_udp_fragments(struct flow_udp *u, uint8_t v4, uint8_t v6)
{
	u->fragments4 = v4;
	u->fragments6 = v6;
}

void flow_ping_fragments(struct flow_ping *p, uint8_t how)
{
	(void)p, (void)how;
}

void flow_ping_free(struct flow_ping *p)
{
	(void)p;
}

uint16_t flow_ping_id(const struct flow_ping *p)
{
	(void)p;
	return 0;
}

int flow_ping_send(struct flow_ping *p, const struct stack_addr *to, const uint8_t *icmp,
		   size_t len, uint8_t ttl, uint8_t tos)
{
	(void)p, (void)to, (void)icmp, (void)len, (void)ttl, (void)tos;
	return -ENOBUFS;
}

#endif
