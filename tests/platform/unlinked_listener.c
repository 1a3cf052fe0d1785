/* SPDX-License-Identifier: MIT */
/*
 * unlinked_listener.c - a listener without a name in the file system
 *
 * It can be reached through an O_PATH descriptor of its unlinked file by /proc/self/fd, by nobody
 * else. When it is closed such a connect is ECONNREFUSED; a full backlog is EAGAIN for a
 * non-blocking connect. What it accepts has its name, so a label must be on the connecting end.
 */
#include <fcntl.h>

#include "tests/platform/expect.h"

int main(void)
{
	char dir[] = "/tmp/wgwrap-platform-XXXXXX";
	struct sockaddr_un un = {.sun_family = AF_UNIX}, proc = {.sun_family = AF_UNIX}, seen;
	socklen_t len = sizeof(seen);
	int l = socket(AF_UNIX, SOCK_STREAM, 0);
	int path, c, accepted, more, rc = 0;

	EXPECT(mkdtemp(dir));
	snprintf(un.sun_path, sizeof(un.sun_path), "%.40s/l", dir);
	EXPECT(bind(l, (struct sockaddr *)&un, sizeof(un)) == 0);
	EXPECT(listen(l, 1) == 0);
	path = open(un.sun_path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	EXPECT(path >= 0);
	EXPECT(unlink(un.sun_path) == 0 && rmdir(dir) == 0);
	c = socket(AF_UNIX, SOCK_STREAM, 0);
	EXPECT(connect(c, (struct sockaddr *)&un, sizeof(un)) == -1 && errno == ENOENT);
	snprintf(proc.sun_path, sizeof(proc.sun_path), "/proc/self/fd/%d", path);
	EXPECT(connect(c, (struct sockaddr *)&proc, sizeof(proc)) == 0);
	accepted = accept(l, NULL, NULL);
	EXPECT(accepted >= 0);
	EXPECT(getsockname(accepted, (struct sockaddr *)&seen, &len) == 0);
	EXPECT(strcmp(seen.sun_path, un.sun_path) == 0);
	/* listen() again changes the backlog and nothing else */
	EXPECT(listen(l, 0) == 0);
	for (int i = 0; i < 8 && rc == 0; i++) {
		more = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		rc = connect(more, (struct sockaddr *)&proc, sizeof(proc));
	}
	EXPECT(rc == -1 && errno == EAGAIN);
	close(l);
	more = socket(AF_UNIX, SOCK_STREAM, 0);
	EXPECT(connect(more, (struct sockaddr *)&proc, sizeof(proc)) == -1 &&
	       errno == ECONNREFUSED);
	return 0;
}
