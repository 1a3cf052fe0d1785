/* SPDX-License-Identifier: MIT */
/*
 * netdb.c - gethostbyname(3) and its relatives
 *
 * The forms with a caller's buffer do the work; the others keep one buffer per function, as libc's
 * do, and are as little safe with threads.
 */
#include <netdb.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <string.h>

#include "preload/names.h"
#include "preload/pre.h"

enum { STATIC_BYTES = 4096 };

/** struct arena - the caller's buffer, used from the front */
struct arena {
	char *at;
	size_t left;
};

static void *take(struct arena *a, size_t size, size_t align)
{
	size_t pad = (align - (uintptr_t)a->at % align) % align;
	void *p;

	if (a->left < pad + size)
		return NULL;
	p = a->at + pad;
	a->at += pad + size;
	a->left -= pad + size;
	return p;
}

static char *take_string(struct arena *a, const char *text)
{
	size_t size = strlen(text) + 1;
	char *p = take(a, size, 1);

	return p ? memcpy(p, text, size) : NULL;
}

/* Lays a hostent out in the buffer: 0 or ERANGE. */
static int build(struct arena *a, int family, const char *name, const struct pre_names *names,
		 struct hostent *out)
{
	size_t length = family == AF_INET ? 4 : 16;
	char **list = take(a, (names->n + 1) * sizeof(char *), sizeof(char *));
	char **aliases = take(a, sizeof(char *), sizeof(char *));

	if (!list || !aliases)
		return ERANGE;
	aliases[0] = NULL;
	for (uint32_t i = 0; i < names->n; i++) {
		list[i] = take(a, length, 4);
		if (!list[i])
			return ERANGE;
		memcpy(list[i], names->ip[i] + (16 - length), length);
	}
	list[names->n] = NULL;
	*out = (struct hostent){.h_name = take_string(a, name),
				.h_aliases = aliases,
				.h_addrtype = family,
				.h_length = (int)length,
				.h_addr_list = list};
	return out->h_name ? 0 : ERANGE;
}

static int fail(int code, int *h_err)
{
	*h_err = code;
	return code == NETDB_INTERNAL ? errno : code == TRY_AGAIN ? EAGAIN : 0;
}

/*
 * glibc's resolver says why in the thread's h_errno, for the reentrant functions, too: php reads it
 * there after gethostbyname_r.
 */
static int told(int eai)
{
	if (eai)
		h_errno = pre_names_host_error(eai);
	return eai;
}

/* A number is its own answer. 0 or an EAI_* code. */
static int find(const char *name, int family, struct pre_names *names)
{
	struct stack_addr addr = {0};
	uint32_t scope;
	bool bad_scope;

	if (!pre_names_numeric(name, addr.ip, &scope, &bad_scope))
		return told(pre_names_find(name, family, names));
	if (stack_addr_is_v4(&addr) != (family == AF_INET))
		return EAI_NONAME;
	names->canonical[0] = '\0';
	names->n = 1;
	memcpy(names->ip[0], addr.ip, 16);
	return 0;
}

PRE_EXPORT int gethostbyname2_r(const char *name, int family, struct hostent *ret, char *buffer,
				size_t size, struct hostent **result, int *h_err)
{
	struct arena arena = {buffer, size};
	struct pre_names names;
	int eai, rc;

	pre_enter();
	*result = NULL;
	if (family != AF_INET && family != AF_INET6) {
		*h_err = NETDB_INTERNAL;
		errno = EAFNOSUPPORT;
		return EAFNOSUPPORT;
	}
	eai = find(name, family, &names);
	if (eai)
		return fail(pre_names_host_error(eai), h_err);
	rc = build(&arena, family, names.canonical[0] ? names.canonical : name, &names, ret);
	if (rc) {
		*h_err = NETDB_INTERNAL;
		errno = rc;
		return rc;
	}
	*h_err = NETDB_SUCCESS;
	*result = ret;
	return 0;
}

PRE_EXPORT int gethostbyname_r(const char *restrict name, struct hostent *restrict ret,
			       char *restrict buffer, size_t size, struct hostent **restrict result,
			       int *restrict h_err)
{
	return gethostbyname2_r(name, AF_INET, ret, buffer, size, result, h_err);
}

PRE_EXPORT struct hostent *gethostbyname2(const char *name, int family)
{
	static struct hostent entry;
	static char buffer[STATIC_BYTES];
	struct hostent *result;
	int code = 0;

	gethostbyname2_r(name, family, &entry, buffer, sizeof(buffer), &result, &code);
	h_errno = code;
	return result;
}

PRE_EXPORT struct hostent *gethostbyname(const char *name)
{
	return gethostbyname2(name, AF_INET);
}

/* ---- addresses to names ---- */

/* 0 or an EAI_* code. */
static int name_of(const struct stack_addr *addr, char name[WGW_NAME_MAX_BYTES])
{
	if (pre_hosts_reverse(addr->ip, name))
		return 0;
	return told(pre_have_session() ? wgw_repr_reverse(&pre_session, addr, name) : EAI_AGAIN);
}

PRE_EXPORT int gethostbyaddr_r(const void *restrict address, socklen_t len, int family,
			       struct hostent *restrict ret, char *restrict buffer, size_t size,
			       struct hostent **restrict result, int *restrict h_err)
{
	struct arena arena = {buffer, size};
	struct stack_addr addr = {0};
	struct pre_names names = {.n = 1};
	char name[WGW_NAME_MAX_BYTES];
	int eai;

	pre_enter();
	*result = NULL;
	if (family == AF_INET && len == 4) {
		stack_ip_set_v4(addr.ip, address);
	} else if (family == AF_INET6 && len == 16) {
		memcpy(addr.ip, address, 16);
	} else {
		*h_err = NETDB_INTERNAL;
		errno = EINVAL;
		return EINVAL;
	}
	eai = name_of(&addr, name);
	if (eai)
		return fail(pre_names_host_error(eai), h_err);
	memcpy(names.ip[0], addr.ip, 16);
	if (build(&arena, family, name, &names, ret)) {
		*h_err = NETDB_INTERNAL;
		errno = ERANGE;
		return ERANGE;
	}
	*h_err = NETDB_SUCCESS;
	*result = ret;
	return 0;
}

PRE_EXPORT struct hostent *gethostbyaddr(const void *address, socklen_t len, int family)
{
	static struct hostent entry;
	static char buffer[STATIC_BYTES];
	struct hostent *result;
	int code = 0;

	gethostbyaddr_r(address, len, family, &entry, buffer, sizeof(buffer), &result, &code);
	h_errno = code;
	return result;
}
