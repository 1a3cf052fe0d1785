/* SPDX-License-Identifier: MIT */
/*
 * ioctl.c - ioctl(2): what an AF_UNIX socket would answer wrongly
 *
 * FIONREAD of a UDP socket is the size of the next datagram; the kernel would count all that are
 * queued, headers included. SIOCOUTQ would count memory, not bytes that the peer has not
 * acknowledged. SIOCGIF*: interfaces.c.
 */
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "preload/interfaces.h"
#include "preload/pre.h"
#include "src/repr/raw.h"

static int next_datagram(int fd)
{
	uint8_t first[WGW_PREAMBLE_BYTES];
	ssize_t n = wgw_raw_recv(fd, first, sizeof(first), MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);

	if (n > 0 && wgw_preamble_begins(pre_session.preambles.to_app, first, (size_t)n))
		n -= (ssize_t)sizeof(struct wgw_dgram);
	return n > 0 ? (int)n : 0;
}

static int put(void *arg, int value)
{
	if (!arg)
		return (int)pre_result(-EFAULT);
	memcpy(arg, &value, sizeof(value));
	return 0;
}

/* ---- interfaces ---- */

static const struct pre_address *first_v4(const struct pre_interface *i)
{
	for (uint32_t k = 0; k < i->n; k++) {
		if (pre_interface_is_v4(&i->address[k]))
			return &i->address[k];
	}
	return NULL;
}

/* SIOCGIFCONF: each interface with its IPv4 address. */
static int list_interfaces(struct ifconf *conf)
{
	struct pre_interface i[PRE_INTERFACES_MAX];
	int n = pre_interfaces(i), room = conf->ifc_buf ? conf->ifc_len : 0;

	conf->ifc_len = 0;
	for (int k = 0; k < n; k++) {
		const struct pre_address *a = first_v4(&i[k]);
		struct ifreq *r = conf->ifc_req + conf->ifc_len / (int)sizeof(*r);

		if (!a || (conf->ifc_buf && conf->ifc_len + (int)sizeof(*r) > room))
			continue;
		if (conf->ifc_buf) {
			memset(r, 0, sizeof(*r));
			memcpy(r->ifr_name, i[k].name, IFNAMSIZ);
			pre_interface_sockaddr(a, false, &r->ifr_addr);
		}
		conf->ifc_len += (int)sizeof(*r);
	}
	return 0;
}

static int describe_address(const struct pre_interface *i, unsigned long request, struct ifreq *r)
{
	const struct pre_address *a = first_v4(i);

	if (!a)
		return -EADDRNOTAVAIL;
	memset(&r->ifr_addr, 0, sizeof(r->ifr_addr));
	pre_interface_sockaddr(a, request == SIOCGIFNETMASK, &r->ifr_addr);
	if (request == SIOCGIFBRDADDR)
		memset(&((struct sockaddr_in *)&r->ifr_addr)->sin_addr, 0, sizeof(struct in_addr));
	return 0;
}

static int describe(const struct pre_interface *i, unsigned long request, struct ifreq *r)
{
	switch (request) {
	case SIOCGIFADDR:
	case SIOCGIFNETMASK:
	case SIOCGIFDSTADDR:
	case SIOCGIFBRDADDR:
		return describe_address(i, request, r);
	case SIOCGIFFLAGS:
		r->ifr_flags = (short)i->flags;
		return 0;
	case SIOCGIFMTU:
		r->ifr_mtu = i->mtu;
		return 0;
	case SIOCGIFINDEX:
		r->ifr_ifindex = (int)i->index;
		return 0;
	case SIOCGIFMETRIC:
		r->ifr_metric = 0;
		return 0;
	case SIOCGIFHWADDR:
		memset(&r->ifr_hwaddr, 0, sizeof(r->ifr_hwaddr));
		r->ifr_hwaddr.sa_family = i->hardware;
		return 0;
	default:
		memcpy(r->ifr_name, i->name, IFNAMSIZ); /* SIOCGIFNAME */
		return 0;
	}
}

/*
 * An interface of the host: netlink names it to the program, and who lists by netlink and asks here
 * would take ENODEV for a failure of all (dnsmasq does). The kernel tells what netlink tells; no
 * address of it is an address in the tunnel.
 */
static int ask_kernel(int fd, unsigned long request, struct ifreq *r)
{
	struct ifreq same = *r;
	long rc;

	switch (request) {
	case SIOCGIFADDR:
	case SIOCGIFNETMASK:
	case SIOCGIFDSTADDR:
	case SIOCGIFBRDADDR:
		rc = wgw_raw_call(SYS_ioctl, fd, SIOCGIFINDEX, (long)&same, 0, 0, 0);
		return rc < 0 ? (int)rc : -EADDRNOTAVAIL;
	default:
		return (int)wgw_raw_call(SYS_ioctl, fd, (long)request, (long)r, 0, 0, 0);
	}
}

static int ask_interface(int fd, unsigned long request, struct ifreq *r)
{
	struct pre_interface i[PRE_INTERFACES_MAX];
	int n = pre_interfaces(i);

	for (int k = 0; k < n; k++) {
		if (request == SIOCGIFNAME ? r->ifr_ifindex == (int)i[k].index
					   : strncmp(r->ifr_name, i[k].name, IFNAMSIZ) == 0)
			return describe(&i[k], request, r);
	}
	return ask_kernel(fd, request, r);
}

/* Requests that only a socket understands. 1: none of them */
static int interface_request(int fd, unsigned long request, void *arg)
{
	uint64_t tag;

	switch (request) {
	case SIOCGIFCONF:
	case SIOCGIFADDR:
	case SIOCGIFNETMASK:
	case SIOCGIFDSTADDR:
	case SIOCGIFBRDADDR:
	case SIOCGIFFLAGS:
	case SIOCGIFMTU:
	case SIOCGIFINDEX:
	case SIOCGIFMETRIC:
	case SIOCGIFHWADDR:
	case SIOCGIFNAME:
		break;
	default:
		return 1;
	}
	if (!pre_ours(fd, &tag))
		return 1;
	if (!arg)
		return -EFAULT;
	return request == SIOCGIFCONF ? list_interfaces(arg) : ask_interface(fd, request, arg);
}

PRE_EXPORT int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	uint64_t tag;
	void *arg;
	int rc;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (!pre_started())
		return (int)pre_result(
			wgw_raw_call(SYS_ioctl, fd, (long)request, (long)arg, 0, 0, 0));
	if (request == FIONREAD && pre_ours(fd, &tag) && wgw_tag_kind(tag) != WGW_KIND_TCP)
		return put(arg, next_datagram(fd));
	if ((request == SIOCOUTQ || request == SIOCOUTQNSD) && pre_ours(fd, &tag)) {
		rc = wgw_repr_unacked(&pre_session, fd, tag, request == SIOCOUTQNSD);
		return rc < 0 ? (int)pre_result(rc) : put(arg, (int)rc);
	}
	if (request == SIOCATMARK && pre_ours(fd, &tag) && wgw_tag_kind(tag) != WGW_KIND_TCP)
		return (int)pre_result(-ENOTTY);
	rc = interface_request(fd, request, arg);
	return rc <= 0 ? (int)pre_result(rc) : pre_next.ioctl(fd, request, arg);
}

/* libc's own does not call the ioctl() that is hooked. */
PRE_EXPORT int sockatmark(int fd)
{
	int at_mark;

	return ioctl(fd, SIOCATMARK, &at_mark) < 0 ? -1 : at_mark;
}
