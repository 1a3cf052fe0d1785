/* SPDX-License-Identifier: MIT */
/* health.h - what the HTTP server's files share: health.c (connections), health_answer.c (what each
 * path is) */
#ifndef SRC_CONTROL_HEALTH_H
#define SRC_CONTROL_HEALTH_H

#include <stddef.h>

#include "src/control/metrics.h"
#include "src/control/page.h"
#include "src/control/show.h"

enum wgw_health_status {
	HTTP_OK = 200,
	HTTP_BAD_REQUEST = 400,
	HTTP_FORBIDDEN = 403,
	HTTP_NOT_FOUND = 404,
	HTTP_BAD_METHOD = 405,
	HTTP_MISDIRECTED = 421,
	HTTP_UNAVAILABLE = 503,
};

/** struct wgw_health_source - whom to ask: the tunnels that @o names, in @dir; @history: of the
 * status page */
struct wgw_health_source {
	const struct wgw_health_options *o;
	struct wgw_rundir dir;
	struct wgw_history *history;
};

/** struct wgw_health_answer - @body is malloc'ed, the caller's; @policy: "" but for the page */
struct wgw_health_answer {
	enum wgw_health_status status;
	const char *type;
	char *body;
	size_t len;
	char policy[WGW_PAGE_POLICY_BYTES];
};

/* Fills @a, which is zeroed, for a GET of @path, without its query. */
void wgw_health_make(struct wgw_health_source *s, const char *path, struct wgw_health_answer *a);

#endif
