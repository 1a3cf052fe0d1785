#!/bin/sh
# SPDX-License-Identifier: MIT
#
# supervised.sh - the quick programs of this folder without the shared object; `make behaviours-supervised` runs all

set -eu
exec "$(dirname "$0")/run.py" --supervised create inbound options process senders storm
