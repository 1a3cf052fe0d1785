/* SPDX-License-Identifier: MIT */
/* resolve.c - names, asked of the tunnel process */
#include "src/repr/repr.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>

#include "src/repr/raw.h"

/* The EAI_* code of a conversation that failed or was answered. EAI_* codes are negative. */
static int eai_of(ssize_t rc, const struct wgw_op *op)
{
	if (rc < 0)
		return EAI_AGAIN; /* no tunnel process: as with no name server */
	if (op->err > 0)
		return EAI_FAIL;
	return op->err;
}

static bool copy_name(char out[WGW_NAME_MAX_BYTES], const char *name)
{
	size_t len = strlen(name);

	if (len >= WGW_NAME_MAX_BYTES)
		return false;
	memcpy(out, name, len + 1);
	return true;
}

int wgw_repr_resolve(const struct wgw_repr_session *s, const char *name, int family, int flags,
		     struct wgw_op *op)
{
	int eai;

	wgw_repr_op_init(s, op, WGW_OP_RESOLVE, -1, 0);
	if (!copy_name(op->u.resolve.name, name))
		return EAI_NONAME;
	op->u.resolve.family = family;
	op->u.resolve.flags = flags;
	eai = eai_of(wgw_repr_op_ask(s, op, NULL, 0), op);
	if (eai == 0 && op->u.resolved.n > WGW_RESOLVED_MAX)
		return EAI_FAIL;
	op->u.resolved.canonical[WGW_NAME_MAX_BYTES - 1] = '\0';
	return eai == 0 && op->u.resolved.n == 0 ? EAI_NODATA : eai;
}

int wgw_repr_reverse(const struct wgw_repr_session *s, const struct stack_addr *addr, char *name)
{
	struct wgw_op op;
	int eai;

	wgw_repr_op_init(s, &op, WGW_OP_REVERSE, -1, 0);
	op.u.bind.addr = wgw_repr_wire_addr(addr);
	eai = eai_of(wgw_repr_op_ask(s, &op, NULL, 0), &op);
	if (eai)
		return eai;
	op.u.resolved.canonical[WGW_NAME_MAX_BYTES - 1] = '\0';
	memcpy(name, op.u.resolved.canonical, WGW_NAME_MAX_BYTES);
	return name[0] ? 0 : EAI_NONAME;
}

ssize_t wgw_repr_dns_query(const struct wgw_repr_session *s, const char *name, uint32_t flags,
			   uint16_t class_, uint16_t type, void *response, size_t size)
{
	struct wgw_op op;
	ssize_t n;
	int eai;

	wgw_repr_op_init(s, &op, WGW_OP_DNS_QUERY, -1, 0);
	if (!copy_name(op.u.dns_query.name, name))
		return EAI_NONAME;
	op.u.dns_query.flags = flags;
	op.u.dns_query.class_ = class_;
	op.u.dns_query.type = type;
	n = wgw_repr_op_ask(s, &op, response, size);
	eai = eai_of(n, &op);
	return eai ? eai : n;
}
