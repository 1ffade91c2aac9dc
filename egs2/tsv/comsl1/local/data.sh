#!/usr/bin/env bash
# Stage 1: the corpus that --tsv names as Kaldi-style directories.
# Options go to the tool: see data.sh --help.
set -euo pipefail

exec python -m comsl.bin.prepare_tsv --nj "${nj:-$(nproc)}" "$@"
