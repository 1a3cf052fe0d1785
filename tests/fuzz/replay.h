/* SPDX-License-Identifier: MIT */
/*
 * replay.h - a fuzz target without libFuzzer: runs each file of a directory
 *
 * Compiled with -DREPLAY='"DIR"', the target gets a main that takes DIR's files, or those it is
 * given, one after the other: the seeds in every build (make check), and what a fuzzer has found,
 * under a debugger. Included at the end of a target.
 */
#ifdef REPLAY

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static int replay(const char *path)
{
	static uint8_t data[1 << 21];
	FILE *in = fopen(path, "rb");
	size_t len;

	if (!in) {
		perror(path);
		return 1;
	}
	len = fread(data, 1, sizeof(data), in);
	fclose(in);
	LLVMFuzzerTestOneInput(data, len);
	return 0;
}

static int replay_all(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	unsigned int n = 0;

	while (d && (entry = readdir(d))) {
		char path[4096];
		struct stat st;

		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (stat(path, &st) || !S_ISREG(st.st_mode))
			continue;
		if (replay(path))
			return 1;
		n++;
	}
	if (d)
		closedir(d);
	printf("%s: %u files\n", dir, n);
	return n == 0;
}

int main(int argc, char **argv)
{
	if (argc == 1)
		return replay_all(REPLAY);
	for (int i = 1; i < argc; i++) {
		if (replay(argv[i]))
			return 1;
	}
	return 0;
}

#endif
