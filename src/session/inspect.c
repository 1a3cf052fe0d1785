/* SPDX-License-Identifier: MIT */
/*
 * inspect.c - can this program be captured? Asked before exec, because a sentence helps more than
 * an EACCES from socket(2) later
 *
 * The shared object gets into a program through ld.so. It does not into: statically linked
 * programs (no PT_INTERP), programs of another architecture or C library, programs whose file
 * capabilities make ld.so ignore LD_PRELOAD (AT_SECURE). Go's runtime makes system calls without
 * libc, however it is linked. Scripts are what their #! line names.
 *
 * Set-user-ID and set-group-ID programs run as their caller under no_new_privs, and are then captured like
 * any other: ping and traceroute need no more, sudo cannot work. Which of them it is, is not
 * known here; so there is a warning.
 *
 * What cannot be read, or is started later by the command, is not looked at: the filter stays.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "src/session/session.h"

enum {
	SCRIPT_DEPTH_MAX = 4, /* as the kernel: BINPRM_BUF_SIZE and its limit of interpreters */
	HEAD_BYTES = 256,
	PHDRS_MAX = 64,
	NOTE_MAX_BYTES = 4096,
	GO_BUILD_ID_NOTE = 4,
};

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#else
#error "name this architecture's ELF machine"
#endif

static bool pread_all(int fd, void *buf, size_t len, uint64_t at)
{
	return pread(fd, buf, len, (off_t)at) == (ssize_t)len;
}

/** is_go() - whether the notes at @ph are Go's build id */
static bool is_go(int fd, const Elf64_Phdr *ph)
{
	_Alignas(4) uint8_t notes[NOTE_MAX_BYTES];
	size_t len = ph->p_filesz < sizeof(notes) ? ph->p_filesz : sizeof(notes), at = 0;

	if (!pread_all(fd, notes, len, ph->p_offset))
		return false;
	while (at + sizeof(Elf64_Nhdr) + 4 <= len) {
		Elf64_Nhdr note;

		memcpy(&note, notes + at, sizeof(note));
		if (note.n_type == GO_BUILD_ID_NOTE && note.n_namesz == 4 &&
		    memcmp(notes + at + sizeof(note), "Go\0", 4) == 0)
			return true;
		if (note.n_namesz > len || note.n_descsz > len)
			return false;
		at += sizeof(note) + ((note.n_namesz + 3U) & ~3U) + ((note.n_descsz + 3U) & ~3U);
	}
	return false;
}

/** is_loader() - whether @fd is what the kernel loads for PT_INTERP, ld.so itself */
static bool is_loader(int fd)
{
#if defined(__x86_64__)
	static const char loader[] = "/lib64/ld-linux-x86-64.so.2";
#else
	static const char loader[] = "/lib/ld-linux-aarch64.so.1";
#endif
	struct stat a, b;

	return !fstat(fd, &a) && !stat(loader, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/** is_foreign_libc() - whether the shared object, which is linked as we are, cannot be loaded there
 */
static bool is_foreign_libc(const char *interpreter)
{
#ifdef __GLIBC__
	return strstr(interpreter, "/ld-musl-") != NULL;
#else
	return strstr(interpreter, "/ld-linux-") != NULL;
#endif
}

/** judge_segments() - what program headers say */
static enum wgw_obstacle judge_segments(int fd, const Elf64_Ehdr *eh, char *why, size_t size)
{
	char interpreter[PATH_MAX] = "";
	unsigned int n = eh->e_phnum < PHDRS_MAX ? eh->e_phnum : PHDRS_MAX;
	bool go = false;

	for (unsigned int i = 0; i < n; i++) {
		Elf64_Phdr ph;

		if (!pread_all(fd, &ph, sizeof(ph), eh->e_phoff + (uint64_t)i * sizeof(ph)))
			return WGW_OBSTACLE_NONE;
		if (ph.p_type == PT_INTERP && ph.p_filesz > 0 && ph.p_filesz < sizeof(interpreter))
			pread_all(fd, interpreter, ph.p_filesz, ph.p_offset);
		if (ph.p_type == PT_NOTE)
			go = go || is_go(fd, &ph);
	}
	if (go)
		snprintf(why, size, "is a Go program, whose system calls do not pass through libc");
	else if (!interpreter[0] && !is_loader(fd))
		snprintf(why, size, "is statically linked");
	else if (is_foreign_libc(interpreter))
		snprintf(why, size, "is linked with another C library (%s)", interpreter);
	else
		return WGW_OBSTACLE_NONE;
	return WGW_OBSTACLE_NO_PRELOAD;
}

static enum wgw_obstacle judge_elf(int fd, const uint8_t *head, size_t len, char *why, size_t size)
{
	Elf64_Ehdr eh;

	if (len < sizeof(eh))
		return WGW_OBSTACLE_NONE;
	memcpy(&eh, head, sizeof(eh));
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_machine != OUR_MACHINE) {
		snprintf(why, size, "is a program for another architecture (%s, machine %u)",
			 eh.e_ident[EI_CLASS] == ELFCLASS32 ? "32 bit" : "64 bit", eh.e_machine);
		return WGW_OBSTACLE_MACHINE;
	}
	if (eh.e_phentsize != sizeof(Elf64_Phdr))
		return WGW_OBSTACLE_NONE;
	return judge_segments(fd, &eh, why, size);
}

/** judge_capabilities() - those of the file */
static enum wgw_obstacle judge_capabilities(int fd, char *why, size_t size)
{
	struct vfs_cap_data cap;

	if (getuid() != 0 &&
	    fgetxattr(fd, "security.capability", &cap, sizeof(cap)) >= (ssize_t)sizeof(__le32) &&
	    (cap.magic_etc & VFS_CAP_FLAGS_EFFECTIVE)) {
		snprintf(why, size,
			 "has file capabilities, so the dynamic linker ignores LD_PRELOAD; "
			 "a copy without them works");
		return WGW_OBSTACLE_NO_PRELOAD;
	}
	return WGW_OBSTACLE_NONE;
}

/** script_interpreter() - what the #! line in @head names, or NULL */
static char *script_interpreter(char *head, size_t len)
{
	char *end, *start;

	if (len < 3 || head[0] != '#' || head[1] != '!')
		return NULL;
	head[len] = '\0';
	end = strchr(head, '\n');
	if (end)
		*end = '\0';
	start = head + 2 + strspn(head + 2, " \t");
	start[strcspn(start, " \t")] = '\0';
	return start[0] ? start : NULL;
}

static enum wgw_obstacle inspect_at_depth(const char *path, int depth, char *why, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	enum wgw_obstacle obstacle = WGW_OBSTACLE_NONE;
	char head[HEAD_BYTES + 1], *interpreter;
	ssize_t len;

	if (fd < 0)
		return WGW_OBSTACLE_NONE;
	len = pread(fd, head, HEAD_BYTES, 0);
	if (len >= (ssize_t)SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0) {
		obstacle = judge_capabilities(fd, why, size);
		if (obstacle == WGW_OBSTACLE_NONE)
			obstacle = judge_elf(fd, (uint8_t *)head, (size_t)len, why, size);
	} else if (len > 0 && depth < SCRIPT_DEPTH_MAX &&
		   (interpreter = script_interpreter(head, (size_t)len))) {
		char inner[PATH_MAX];

		obstacle = inspect_at_depth(interpreter, depth + 1, inner, sizeof(inner));
		if (obstacle != WGW_OBSTACLE_NONE)
			snprintf(why, size, "is a script whose interpreter %s %s", interpreter,
				 inner);
	}
	close(fd);
	return obstacle;
}

enum wgw_obstacle wgw_inspect(const char *path, char *why, size_t size)
{
	return inspect_at_depth(path, 0, why, size);
}

/** candidate() - whether @path may be executed; keeps the errno that matters in *err */
static bool candidate(const char *path, int *err)
{
	struct stat st;

	if (stat(path, &st)) {
		if (errno != ENOENT && errno != ENOTDIR)
			*err = errno;
		return false;
	}
	if (S_ISDIR(st.st_mode))
		*err = EISDIR;
	else if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS))
		*err = errno;
	else
		return true;
	return false;
}

/** search_path() - @file in the directories of PATH; malloc'ed, or NULL with *err */
static char *search_path(const char *file, int *err)
{
	const char *list = getenv("PATH");

	if (!list)
		list = "/bin:/usr/bin"; /* as execvp */
	for (;;) {
		size_t len = strcspn(list, ":");
		char *path;

		if (asprintf(&path, "%.*s%s%s", (int)len, list, len ? "/" : "", file) < 0) {
			*err = ENOMEM;
			return NULL;
		}
		if (candidate(path, err))
			return path;
		free(path);
		if (list[len] == '\0')
			return NULL;
		list += len + 1;
	}
}

/** warn_of_privilege() - programs like sudo do not say what it is that stands in their way */
static void warn_of_privilege(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && (st.st_mode & S_ISUID) && st.st_uid != geteuid())
		wgw_say(WGW_SAY_WARNING,
			"%s is set-user-ID, but programs in a tunnel gain no privileges; if it "
			"needs them, let it start wgwrap instead",
			path);
}

int wgw_find_command(const char *file, const struct wgw_capture_probe *capture, char **path)
{
	enum wgw_obstacle obstacle;
	int err = ENOENT;
	char why[PATH_MAX + 256];

	*path = NULL;
	if (strchr(file, '/'))
		*path = candidate(file, &err) ? strdup(file) : NULL;
	else if (file[0])
		*path = search_path(file, &err);
	if (!*path) {
		wgw_say(WGW_SAY_ERROR, "%s: %s", file,
			err == ENOENT ? "command not found" : strerror(err));
		return err == ENOENT ? WGW_EXIT_NOT_FOUND : WGW_EXIT_NOT_EXECUTABLE;
	}
	obstacle = wgw_inspect(*path, why, sizeof(why));
	/* the supervisor captures what the shared object does not reach */
	if (obstacle == WGW_OBSTACLE_NONE ||
	    (obstacle == WGW_OBSTACLE_NO_PRELOAD && capture->level == WGW_CAPTURE_SUPERVISED)) {
		warn_of_privilege(*path);
		return 0;
	}
	if (obstacle == WGW_OBSTACLE_NO_PRELOAD)
		wgw_say(WGW_SAY_ERROR,
			"%s %s: it cannot be run in the tunnel without a supervisor (%s)", *path,
			why, capture->why[0] ? capture->why : "--capture");
	else
		wgw_say(WGW_SAY_ERROR, "%s %s: it cannot be run in the tunnel", *path, why);
	free(*path);
	*path = NULL;
	return WGW_EXIT_NOT_EXECUTABLE;
}
