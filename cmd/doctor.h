/* SPDX-License-Identifier: MIT */
/* doctor.h - what the files of "wgwrap doctor" share */
#ifndef CMD_DOCTOR_H
#define CMD_DOCTOR_H

#include "cmd/cmd.h"

/* Tries a handshake with each peer of @config that has an endpoint, for up to options->wait_ms (0:
 * none is tried), and says on standard output what came of it. An exit status: WGW_EXIT_NO_HANDSHAKE
 * when one of them does not answer. */
int doctor_peers(const struct wgw_run_options *options, struct wgw_config *config);

#endif
