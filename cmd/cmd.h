/* SPDX-License-Identifier: MIT */
/* cmd.h - the subcommands of wgwrap and what they share */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include <getopt.h>
#include <stdbool.h>

#include "src/config/config.h"
#include "src/session/run.h"

#define WGWRAP_VERSION "0.1.0"

/* Each takes argv with its own name in argv[0], and returns an exit status. */
int cmd_run(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_genkey(int argc, char **argv);
int cmd_genpsk(int argc, char **argv);
int cmd_pubkey(int argc, char **argv);
int cmd_proxy(int argc, char **argv);
int cmd_nc(int argc, char **argv);
int cmd_up(int argc, char **argv);
int cmd_down(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_health(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);
/* What "help" says of the options of those that have many. */
extern const char cmd_proxy_help[], cmd_nc_help[], cmd_up_help[], cmd_health_help[],
	cmd_doctor_help[];

/* One line on standard error, after "wgwrap: ". */
void cmd_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same for misuse of @command, and where to read on. Returns @status. */
int cmd_misuse(int status, const char *command, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Whether a word that stands for a command or a program is the name of a configuration's file. */
bool cmd_names_config(const char *word);
/* Messages about a configuration go to standard error; notes too when @notes. */
void cmd_diag_init(struct wgw_diag *diag, bool notes);
/* Ends output to standard output. Returns @status, or WGW_EXIT_RUNTIME after saying why. */
int cmd_flush(int status);

/* Says what getopt_long found wrong: its result @option (':' or '?'), the word before optind, and
 * the letters it was given. Returns @status. */
int cmd_option_misuse(int status, const char *command, int option, const char *word,
		      const char *shorts);
/* Takes the options of a command of its own (argv[0]: its name) apart, up to optind: -h and what is
 * wrong here, the others by @take, which returns -1 or an exit status. @shorts begins with ':'.
 * Returns -1, or an exit status after what is wrong was said. */
int cmd_words_take(int argc, char **argv, const char *shorts, const struct option *options,
		   int (*take)(int option, char *value, void *ctx), void *ctx);

enum {
	/* --wait without a time: three handshake attempts (REKEY_TIMEOUT is 5 s) */
	CMD_WAIT_DEFAULT_MS = 15 * 1000,
	/* getopt_long's val of options that have no letter: of run's, and of those that add to them */
	CMD_LONG_ONLY = 256,
	CMD_OWN_OPTION = 1000,
};

/**
 * struct cmd_options - a command that joins a tunnel, and so has options of run's
 * @name, @misuse, @failed: for messages; exit statuses
 * @shared:	Long names of the options it shares with run, NULL-terminated; NULL: all
 * @own:	Its other options, getopt_long's val a letter or from CMD_OWN_OPTION on; NULL: none
 * @anywhere:	Options may stand behind other words, too
 * @take:	Takes one of those; returns -1, or an exit status after what is wrong was said
 */
struct cmd_options {
	const char *name;
	int misuse, failed;
	const char *const *shared;
	const struct option *own;
	bool anywhere;
	int (*take)(int option, const char *value, void *ctx);
	void *ctx;
};

/* Takes the options apart, up to the first word that is none (optind). @o as in
 * cmd_run_options. */
int cmd_options_take(const struct cmd_options *of, int argc, char **argv,
		     struct wgw_run_options *o);

/* Takes the options of run apart. @o must be freed by cmd_run_options_free, after a failure too.
 * Returns -1 and the options, or an exit status: options that ask for help end with 0, what is
 * wrong has been said. */
int cmd_run_options(int argc, char **argv, struct wgw_run_options *o);
void cmd_run_options_free(struct wgw_run_options *o);
/* A time like "10s", "500ms", "2m", "1h"; a bare number is in seconds; at most a day. Returns 0
 * and milliseconds, or -EINVAL. */
int cmd_duration_parse(const char *text, uint32_t *ms);

#endif
