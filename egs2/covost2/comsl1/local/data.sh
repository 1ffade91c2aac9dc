#!/usr/bin/env bash
# Stage 1: CoVoST 2 as Kaldi-style directories below data/covost2, from the folders that db.sh names.
# Options go to the tool: see data.sh --help.
set -euo pipefail

# shellcheck source=egs2/covost2/comsl1/db.sh
. "$(dirname "${BASH_SOURCE[0]}")/../db.sh"
exec python -m comsl.bin.prepare_covost2 --common_voice "$COMMONVOICE" --covost2 "$COVOST2" \
  --later "$COMMONVOICE_LATER" --pseudo_langs "$PSEUDO_LANGS" --target_lang "${target_lang:-en}" --nj "${nj:-$(nproc)}" "$@"
