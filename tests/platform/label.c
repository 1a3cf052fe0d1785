/* SPDX-License-Identifier: MIT */
/*
 * label.c - a connected socket without a name takes an abstract one, once
 *
 * Whoever has a descriptor of it may give it; everybody who shares the socket sees it; a peer sees
 * the name of the socket that connected.
 */
#include "tests/platform/expect.h"

enum { LABEL_BYTES = 53 };

static void name_it(struct sockaddr_un *un, char last)
{
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	snprintf(un->sun_path + 1, sizeof(un->sun_path) - 1, "wgwrap-label-test-%d", (int)getpid());
	un->sun_path[LABEL_BYTES - 1] = last;
}

static const socklen_t name_len = offsetof(struct sockaddr_un, sun_path) + LABEL_BYTES;

int main(void)
{
	struct sockaddr_un un, label, seen;
	socklen_t len, seen_len = sizeof(seen);
	int l = listener(SOCK_STREAM, 4, &un, &len);
	int app = socket(AF_UNIX, SOCK_STREAM, 0);
	int copy = dup(app);
	int in = socket(AF_UNIX, SOCK_STREAM, 0);
	int tunnel, accepted;

	/* New, connecting, finished: told apart by two calls. */
	EXPECT(getpeername(app, (struct sockaddr *)&seen, &seen_len) == -1 && errno == ENOTCONN);
	EXPECT(connect(app, (struct sockaddr *)&un, len) == 0);
	tunnel = accept(l, NULL, NULL);
	EXPECT(tunnel >= 0);
	seen_len = sizeof(seen);
	EXPECT(getpeername(app, (struct sockaddr *)&seen, &seen_len) == 0);
	seen_len = sizeof(seen);
	EXPECT(getsockname(app, (struct sockaddr *)&seen, &seen_len) == 0);
	EXPECT(seen_len == sizeof(sa_family_t));
	name_it(&label, 'C');
	EXPECT(bind(copy, (struct sockaddr *)&label, name_len) == 0);
	seen_len = sizeof(seen);
	EXPECT(getsockname(app, (struct sockaddr *)&seen, &seen_len) == 0);
	EXPECT(seen_len == name_len && memcmp(&seen, &label, name_len) == 0);
	EXPECT(bind(copy, (struct sockaddr *)&label, name_len) == -1 && errno == EINVAL);
	/* A label on the end that connects is what accept's side sees as the peer. */
	name_it(&label, 'A');
	EXPECT(bind(in, (struct sockaddr *)&label, name_len) == 0);
	EXPECT(connect(in, (struct sockaddr *)&un, len) == 0);
	accepted = accept(l, NULL, NULL);
	seen_len = sizeof(seen);
	EXPECT(getpeername(accepted, (struct sockaddr *)&seen, &seen_len) == 0);
	EXPECT(seen_len == name_len && memcmp(&seen, &label, name_len) == 0);
	/* It stays readable when the peer has gone. */
	close(in);
	close(tunnel);
	seen_len = sizeof(seen);
	EXPECT(getpeername(accepted, (struct sockaddr *)&seen, &seen_len) == 0);
	EXPECT(memcmp(&seen, &label, name_len) == 0);
	seen_len = sizeof(seen);
	EXPECT(getpeername(app, (struct sockaddr *)&seen, &seen_len) == 0);
	/* A name goes with its socket: it can be given again. */
	close(accepted);
	close(app);
	close(copy);
	in = socket(AF_UNIX, SOCK_STREAM, 0);
	name_it(&label, 'C');
	EXPECT(bind(in, (struct sockaddr *)&label, name_len) == 0);
	return 0;
}
