#!/usr/bin/env bash
# Stage 1: Asterisk's prompts, each translated into every other language. Options go to the tool: see data.sh --help.
set -euo pipefail

exec python -m comsl.bin.prepare_asterisk --local egs2/asterisk/comsl1/local --target_lang "${target_lang:-en}" "$@"
