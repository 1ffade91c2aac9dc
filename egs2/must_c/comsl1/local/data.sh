#!/usr/bin/env bash
# Stage 1: MuST-C as Kaldi-style directories, from the folder that db.sh names. Options go to the tool: data.sh --help.
set -euo pipefail

# shellcheck source=egs2/must_c/comsl1/db.sh
. "$(dirname "${BASH_SOURCE[0]}")/../db.sh"
exec python -m comsl.bin.prepare_segments --corpus must_c --source "$MUST_C" --target_lang "${target_lang:-en}" \
  --nj "${nj:-$(nproc)}" "$@"
