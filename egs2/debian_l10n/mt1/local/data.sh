#!/usr/bin/env bash
# Stage 1: the parallel text, without any sentence that the Asterisk prompts say.
# Usage: data.sh --out data/debian_l10n --langs "es fr it ru" [options of prepare_catalogues]
set -euo pipefail

prompts=downloads/asterisk_prompts.txt
python -m comsl.bin.list_prompts --out "$prompts" --corrections egs2/asterisk/comsl1/local/corrections.tsv
python -m comsl.bin.prepare_catalogues --packages egs2/debian_l10n/mt1/local/packages.txt --exclude "$prompts" "$@"
