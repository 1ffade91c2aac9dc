#!/usr/bin/env bash
# Stage 1: Asterisk's recorded prompts as Kaldi-style directories below data/asterisk.
# Options go to the tool: see data.sh --help.
set -euo pipefail

exec python -m comsl.bin.prepare_asterisk --local "$(dirname "${BASH_SOURCE[0]}")" "$@"
