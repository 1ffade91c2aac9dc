#!/usr/bin/env bash
# Stage 1: Asterisk's recorded prompts as Kaldi-style directories below data/asterisk.
# Options go to the tool: see data.sh --help.
set -euo pipefail

if [ "${target_lang:-en}" != en ]; then
  echo "error: --target_lang $target_lang: the translations of these recordings are English" >&2
  exit 1
fi

exec python -m comsl.bin.prepare_asterisk --local "$(dirname "${BASH_SOURCE[0]}")" "$@"
