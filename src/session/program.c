/* SPDX-License-Identifier: MIT */
/*
 * program.c - what kind of file a program is, as far as capturing it depends on it
 *
 * Scripts are followed to what runs them, through env(1), too. Nothing of this is trusted: a file
 * may change before it is executed, and the filter holds whatever it is then.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "src/session/program.h"

enum {
	HEAD_BYTES = 256, /* BINPRM_BUF_SIZE */
	PHDRS_MAX = 64,
	NOTE_MAX_BYTES = 4096,
	GO_BUILD_ID_NOTE = 4,
};

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

static void read_segments(int fd, const Elf64_Ehdr *eh, struct wgw_program *p)
{
	unsigned int n = eh->e_phnum < PHDRS_MAX ? eh->e_phnum : PHDRS_MAX;
	Elf64_Phdr all[PHDRS_MAX];

	if (!pread_all(fd, all, n * sizeof(*all), eh->e_phoff))
		return;
	for (const Elf64_Phdr *ph = all; ph < all + n; ph++) {
		if (ph->p_type == PT_INTERP && ph->p_filesz > 0 &&
		    ph->p_filesz < sizeof(p->loader) &&
		    !pread_all(fd, p->loader, ph->p_filesz, ph->p_offset))
			p->loader[0] = '\0';
		if (ph->p_type == PT_NOTE)
			p->go = p->go || is_go(fd, ph);
	}
	p->read_whole = true;
}

static void read_elf(int fd, const uint8_t *head, size_t len, struct wgw_program *p)
{
	Elf64_Ehdr eh;

	if (len < sizeof(eh))
		return;
	memcpy(&eh, head, sizeof(eh));
	p->elf = true;
	p->elf64 = eh.e_ident[EI_CLASS] == ELFCLASS64;
	p->machine = eh.e_machine;
	p->is_loader = is_loader(fd);
	if (p->elf64 && eh.e_phentsize == sizeof(Elf64_Phdr))
		read_segments(fd, &eh, p);
}

static void read_privileges(int fd, struct wgw_program *p)
{
	struct vfs_cap_data cap = {0};
	struct stat st;

	if (fstat(fd, &st) == 0) {
		p->setuid = (st.st_mode & S_ISUID) != 0;
		p->setgid = (st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP);
		p->uid = st.st_uid;
		p->gid = st.st_gid;
	}
	if (fgetxattr(fd, "security.capability", &cap, sizeof(cap)) <
	    (ssize_t)sizeof(cap.magic_etc))
		return;
	p->capabilities = (uint64_t)cap.data[1].permitted << 32 | cap.data[0].permitted;
	p->capabilities_effective = (cap.magic_etc & VFS_CAP_FLAGS_EFFECTIVE) != 0;
}

/** next_word() - the next word at *@at, ended in place, or NULL */
static char *next_word(char **at)
{
	char *word = *at + strspn(*at, " \t");

	if (!*word)
		return NULL;
	*at = word + strcspn(word, " \t");
	if (**at)
		*(*at)++ = '\0';
	return word;
}

/** script_interpreter() - what the #! line in @head names; malloc'ed, or NULL */
static char *script_interpreter(char *head, size_t len)
{
	char *end, *word, *name, *found;
	int err = 0;

	if (len < 3 || head[0] != '#' || head[1] != '!')
		return NULL;
	head[len] = '\0';
	end = strchr(head, '\n');
	if (end)
		*end = '\0';
	head += 2;
	name = next_word(&head);
	if (!name)
		return NULL;
	word = strrchr(name, '/');
	if (strcmp(word ? word + 1 : name, "env") != 0)
		return strdup(name);
	while ((word = next_word(&head)) && (word[0] == '-' || strchr(word, '=')))
		;
	found = !word ? NULL : strchr(word, '/') ? strdup(word) : wgw_search_path(word, &err);
	return found ? found : strdup(name);
}

int wgw_program_read(const char *path, struct wgw_program *p)
{
	char head[HEAD_BYTES + 1], *interpreter;
	ssize_t len;
	int fd;

	memset(p, 0, sizeof(*p));
	strncpy(p->path, path, sizeof(p->path) - 1);
	for (;;) {
		fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (fd < 0)
			return -errno;
		len = pread(fd, head, HEAD_BYTES, 0);
		interpreter = len > 0 && p->n_scripts < WGW_SCRIPTS_MAX
				      ? script_interpreter(head, (size_t)len)
				      : NULL;
		if (!interpreter)
			break;
		close(fd);
		p->n_scripts++;
		strncpy(p->path, interpreter, sizeof(p->path) - 1);
		free(interpreter);
	}
	if (len >= (ssize_t)SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0)
		read_elf(fd, (uint8_t *)head, (size_t)len, p);
	read_privileges(fd, p);
	close(fd);
	return 0;
}
