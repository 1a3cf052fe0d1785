/* SPDX-License-Identifier: MIT */
/* option.c - getsockopt(2), setsockopt(2) */
#include <errno.h>

#include "src/capture/call.h"
#include "src/repr/raw.h"

enum { VALUE_MAX_BYTES = 4096 };

/** untell() - SO_ERROR was read and cleared, and did not reach the program */
static void untell(struct wgw_call *c)
{
	if (wgw_tag_kind(c->tag) == WGW_KIND_TCP && !(c->tag & WGW_TAG_REPORTED))
		wgw_repr_tag_change(c->fd, 0, WGW_TAG_REPORTED);
}

long wgw_call_getsockopt(struct wgw_call *c)
{
	int level = (int)c->args[1], name = (int)c->args[2], rc;
	uint8_t value[VALUE_MAX_BYTES] = {0};
	socklen_t len;

	if (c->what != WGW_SOCKET_OURS)
		return WGW_CALL_CONTINUE;
	if (wgw_target_read(c, c->args[4], &len, sizeof(len)))
		return -EFAULT;
	if ((int)len < 0)
		return -EINVAL;
	if (len > sizeof(value))
		len = sizeof(value);
	if (level == SOL_SOCKET && name == SO_ERROR) {
		c->undo = untell;
		c->undo_uses_fd = true;
	}
	rc = wgw_repr_getsockopt(&c->capture->session, c->fd, c->tag, level, name, value, &len);
	if (rc)
		return rc;
	if (!wgw_call_valid(c)) {
		if (c->undo)
			c->undo(c);
		return WGW_CALL_GONE;
	}
	rc = wgw_target_write(c, c->args[3], value, len);
	return rc ? rc : wgw_target_write(c, c->args[4], &len, sizeof(len));
}

long wgw_call_setsockopt(struct wgw_call *c)
{
	uint8_t value[VALUE_MAX_BYTES];
	int len = (int)c->args[4];

	if (c->what != WGW_SOCKET_OURS)
		return WGW_CALL_CONTINUE;
	if (len < 0 || len > (int)sizeof(value))
		return -EINVAL;
	if (wgw_target_read(c, c->args[3], value, (size_t)len))
		return -EFAULT;
	if (!wgw_call_valid(c))
		return WGW_CALL_GONE;
	return wgw_repr_setsockopt(&c->capture->session, c->fd, c->tag, (int)c->args[1],
				   (int)c->args[2], value, (socklen_t)len);
}
