/* SPDX-License-Identifier: MIT */
/*
 * interfaces.c - getifaddrs(3), if_nameindex(3) and their like
 *
 * A program sees two interfaces: the loopback, and the tunnel's with its addresses. The host's
 * others are none of its business: an address of theirs that it put into a protocol would be wrong.
 *
 * Results are laid out as glibc lays them out, because its freeifaddrs and if_freenameindex free
 * them: one block, and a block for each name.
 */
#include "preload/interfaces.h"

#include <ifaddrs.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "preload/pre.h"

static const struct pre_interface loopback = {
	.name = "lo",
	.index = WGW_REPR_LOOPBACK_INDEX,
	.mtu = 65536,
	.flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING,
	.hardware = ARPHRD_LOOPBACK,
	.n = 2,
	.address = {{{[10] = 0xff, 0xff, 127, 0, 0, 1}, 8}, {{[15] = 1}, 128}},
};

static bool read_tunnel(struct pre_interface *i)
{
	struct wgw_op op;

	wgw_repr_op_init(&pre_session, &op, WGW_OP_IFADDRS, -1, 0);
	if (wgw_repr_op_call(&pre_session, &op) < 0)
		return false;
	memset(i, 0, sizeof(*i));
	memcpy(i->name, WGW_REPR_INTERFACE, sizeof(WGW_REPR_INTERFACE));
	i->index = WGW_REPR_INTERFACE_INDEX;
	i->mtu = (int)op.u.resolved.ttl;
	i->flags = IFF_UP | IFF_POINTOPOINT | IFF_RUNNING | IFF_NOARP;
	i->hardware = ARPHRD_NONE;
	i->n = op.u.resolved.n < WGW_RESOLVED_MAX ? op.u.resolved.n : WGW_RESOLVED_MAX;
	for (uint32_t k = 0; k < i->n; k++) {
		memcpy(i->address[k].ip, op.u.resolved.ip[k], 16);
		i->address[k].bits = (uint8_t)op.u.resolved.canonical[k];
	}
	return true;
}

int pre_interfaces(struct pre_interface out[PRE_INTERFACES_MAX])
{
	out[0] = loopback;
	return read_tunnel(&out[1]) ? 2 : 1;
}

bool pre_interface_is_v4(const struct pre_address *a)
{
	return stack_ip_is_v4(a->ip);
}

socklen_t pre_interface_sockaddr(const struct pre_address *a, bool mask, void *sa)
{
	bool v4 = pre_interface_is_v4(a);
	struct stack_addr addr = {0};
	socklen_t len = v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	unsigned int bits = a->bits + (v4 ? 96u : 0u);

	memcpy(addr.ip, a->ip, 16);
	for (unsigned int i = 0; mask && i < 16; i++)
		addr.ip[i] = bits >= 8 * (i + 1) ? 0xff
			     : bits > 8 * i	 ? (uint8_t)(0xff00 >> (bits - 8 * i))
						 : 0;
	wgw_repr_addr_write(v4 ? 0 : WGW_TAG_V6, &addr, sa, &len);
	return len;
}

/* ---- getifaddrs ---- */

/** struct entry - one item of the list with everything it points to */
struct entry {
	struct ifaddrs head;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_ll ll;
	} address, mask, other;
	struct rtnl_link_stats statistics;
	char name[IFNAMSIZ];
};

/** struct list - entries while they are filled */
struct list {
	struct entry *at;
	size_t n;
};

static struct entry *add(struct list *list, const struct pre_interface *i)
{
	struct entry *e = &list->at[list->n];

	memcpy(e->name, i->name, sizeof(e->name));
	e->head.ifa_name = e->name;
	e->head.ifa_flags = i->flags;
	e->head.ifa_addr = &e->address.any;
	if (list->n++ > 0)
		list->at[list->n - 2].head.ifa_next = &e->head;
	return e;
}

static void add_link(struct list *list, const struct pre_interface *i)
{
	struct entry *e = add(list, i);

	e->address.ll.sll_family = AF_PACKET;
	e->address.ll.sll_ifindex = (int)i->index;
	e->address.ll.sll_hatype = i->hardware;
	e->head.ifa_data = &e->statistics;
}

static void add_addresses(struct list *list, const struct pre_interface *i, bool v4)
{
	for (uint32_t k = 0; k < i->n; k++) {
		const struct pre_address *a = &i->address[k];
		struct entry *e;

		if (pre_interface_is_v4(a) != v4)
			continue;
		e = add(list, i);
		pre_interface_sockaddr(a, false, &e->address);
		pre_interface_sockaddr(a, true, &e->mask);
		e->mask.any.sa_family = e->address.any.sa_family;
		e->head.ifa_netmask = &e->mask.any;
		if (!v4)
			continue;
		e->other = e->address; /* glibc: the address itself where there is no other end */
		e->head.ifa_dstaddr = &e->other.any;
	}
}

PRE_EXPORT int getifaddrs(struct ifaddrs **result)
{
	struct pre_interface i[PRE_INTERFACES_MAX];
	struct list list = {0};
	size_t total = 0;
	int n;

	pre_enter();
	n = pre_have_session() ? pre_interfaces(i) : 0;
	for (int k = 0; k < n; k++)
		total += 1 + i[k].n;
	*result = NULL;
	if (total == 0)
		return 0;
	list.at = calloc(total, sizeof(*list.at));
	if (!list.at)
		return -1;
	for (int k = 0; k < n; k++)
		add_link(&list, &i[k]);
	for (int k = 0; k < n; k++)
		add_addresses(&list, &i[k], true);
	for (int k = 0; k < n; k++)
		add_addresses(&list, &i[k], false);
	*result = &list.at[0].head;
	return 0;
}

/* ---- names and indices ---- */

static const struct {
	unsigned int index;
	const char *name;
} names[] = {{WGW_REPR_LOOPBACK_INDEX, "lo"}, {WGW_REPR_INTERFACE_INDEX, WGW_REPR_INTERFACE}};
enum { NAMES = sizeof(names) / sizeof(*names) };

PRE_EXPORT unsigned int if_nametoindex(const char *name)
{
	for (int i = 0; i < NAMES; i++) {
		if (strcmp(name, names[i].name) == 0)
			return names[i].index;
	}
	errno = ENODEV;
	return 0;
}

PRE_EXPORT char *if_indextoname(unsigned int index, char name[IF_NAMESIZE])
{
	for (int i = 0; i < NAMES; i++) {
		if (index == names[i].index)
			return strcpy(name, names[i].name);
	}
	errno = ENXIO;
	return NULL;
}

PRE_EXPORT struct if_nameindex *if_nameindex(void)
{
	struct if_nameindex *list = calloc(NAMES + 1, sizeof(*list));

	for (int i = 0; list && i < NAMES; i++) {
		list[i].if_index = names[i].index;
		list[i].if_name = strdup(names[i].name);
		if (!list[i].if_name) {
			if_freenameindex(list);
			return NULL;
		}
	}
	return list;
}
