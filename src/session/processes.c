/* SPDX-License-Identifier: MIT */
/*
 * processes.c - what /proc says about the session's processes
 *
 * The supervisor is a subreaper, so all processes of the session are its descendants, however often
 * they forked. Processes come and go while /proc is read; one that is gone holds nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/session/channel.h"
#include "src/session/processes.h"

/** enum kin - whether a process descends from this one */
enum kin {
	KIN_UNKNOWN,
	KIN_ASKED, /* as its parent does */
	KIN_OURS,
	KIN_STRANGER,
};

struct process {
	pid_t pid, parent;
	enum kin kin;
};

/** parent_of() - from /proc/PID/stat: the second field behind the last ')'; -1: has gone, or may
 * not look. *@state: the first, as one letter */
static pid_t parent_of(int proc, pid_t pid, char *state)
{
	char path[64], text[512], *end;
	int fd, parent = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "%d/stat", pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	end = strrchr(text, ')');
	if (!end || sscanf(end + 1, " %c %d", state, &parent) != 2)
		return -1;
	return parent;
}

bool wgw_is_stopped(pid_t pid)
{
	int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char state = 0;
	bool known = proc >= 0 && parent_of(proc, pid, &state) >= 0;

	if (proc >= 0)
		close(proc);
	return known && (state == 'T' || state == 't');
}

/** list_processes() - all of them, malloc'ed in *list. Returns how many, -1: cannot be known */
static ssize_t list_processes(struct process **list)
{
	DIR *dir = opendir("/proc");
	size_t n = 0, room = 0;
	struct dirent *entry;

	*list = NULL;
	if (!dir)
		return -1;
	while ((entry = readdir(dir))) {
		struct process p = {.pid = (pid_t)atoi(entry->d_name)};
		char state;

		if (p.pid <= 0)
			continue;
		p.parent = parent_of(dirfd(dir), p.pid, &state);
		if (n == room) {
			struct process *more;

			room = room ? 2 * room : 256;
			more = realloc(*list, room * sizeof(*more));
			if (!more) {
				closedir(dir);
				free(*list);
				return -1;
			}
			*list = more;
		}
		(*list)[n++] = p;
	}
	closedir(dir);
	return (ssize_t)n;
}

static int by_pid(const void *a, const void *b)
{
	const struct process *one = a, *other = b;

	return (one->pid > other->pid) - (one->pid < other->pid);
}

static struct process *find_process(struct process *list, size_t n, pid_t pid)
{
	const struct process wanted = {.pid = pid};

	return bsearch(&wanted, list, n, sizeof(*list), by_pid);
}

/** mark_line() - says of @p, and of all above it, whether they descend from @self: up to who is known,
 * then once more with the answer. Ids that were used again meanwhile may make a circle: strangers. */
static void mark_line(struct process *list, size_t n, struct process *p, pid_t self)
{
	struct process *top = p;
	enum kin kin;

	while (top && top->kin == KIN_UNKNOWN) {
		top->kin = top->parent == self ? KIN_OURS : KIN_ASKED;
		if (top->kin == KIN_ASKED)
			top = find_process(list, n, top->parent);
	}
	kin = top && top->kin == KIN_OURS ? KIN_OURS : KIN_STRANGER;
	for (; p && p->kin == KIN_ASKED; p = find_process(list, n, p->parent))
		p->kin = kin;
}

/** mark_descendants() - says of all whether they descend from this process */
static void mark_descendants(struct process *list, size_t n)
{
	pid_t self = getpid();

	qsort(list, n, sizeof(*list), by_pid);
	for (size_t i = 0; i < n; i++)
		mark_line(list, n, &list[i], self);
}

bool wgw_has_children(const pid_t *but, size_t n)
{
	struct process *list;
	siginfo_t info;
	pid_t self = getpid();
	bool found = false;
	ssize_t count;

	/* mostly there are none at all, and this is cheaper than /proc */
	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD)
		return false;
	count = list_processes(&list);
	for (ssize_t i = 0; i < count && !found; i++) {
		bool excepted = false;

		for (size_t j = 0; j < n; j++)
			excepted = excepted || but[j] == list[i].pid;
		found = list[i].parent == self && !excepted;
	}
	if (count >= 0)
		free(list);
	return found;
}

/** scan_process() - sets bits for what @pid holds; -1: may not look */
static int scan_process(pid_t pid, const uint64_t *inode, unsigned int n, uint64_t *held)
{
	char path[64], target[64];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT || errno == ESRCH ? 0 : -1;
	while ((entry = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		unsigned long long found;

		target[len > 0 ? len : 0] = '\0';
		if (sscanf(target, "socket:[%llu]", &found) != 1)
			continue;
		for (unsigned int i = 0; i < n; i++) {
			if (inode[i] == found)
				held[i / 64] |= UINT64_C(1) << i % 64;
		}
	}
	closedir(dir);
	return 0;
}

void wgw_scan_sockets(const uint64_t *inode, unsigned int n, uint64_t *held)
{
	struct process *list;
	ssize_t count = list_processes(&list);
	int err = count < 0 ? -1 : 0;

	memset(held, 0, WGW_CH_SCAN_MAX / 8);
	if (count >= 0) {
		mark_descendants(list, (size_t)count);
		for (ssize_t i = 0; i < count && !err; i++) {
			if (list[i].kin == KIN_OURS)
				err = scan_process(list[i].pid, inode, n, held);
		}
		free(list);
	}
	if (err)
		memset(held, 0xff, WGW_CH_SCAN_MAX / 8);
}

/*
 * An ancestor that ends in the meantime leaves its children to a process above it: the walk begins
 * again. One that is missing twice is hidden from us (hidepid), thus another user's, thus not below
 * us.
 */
bool wgw_is_descendant(pid_t pid)
{
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid_t self = getpid(), at = pid, missing = -1;

	if (proc < 0)
		return true;
	while (at > 1 && at != self) {
		char state;
		pid_t parent = parent_of(proc, at, &state);

		if (parent < 0 && at == missing)
			break;
		if (parent < 0) {
			missing = at;
			parent = pid;
		}
		at = parent;
	}
	close(proc);
	return at == self;
}
