#!/usr/bin/env bash
# Stage 1 at length: the prompts, and as spoken_<language> sentence pairs of Debian's software, spoken by espeak-ng.
# Usage: data_long.sh --out data/long/asterisk --langs "es fr it ru" [options of prepare_asterisk]
set -euo pipefail

"$(dirname "${BASH_SOURCE[0]}")/data.sh" "$@"
out=$2 langs=$4
if [ ! -f "data/debian_l10n/train_${langs##* }/text.src" ]; then
  egs2/debian_l10n/mt1/local/data.sh --out data/debian_l10n --langs "$langs"
fi
python -m comsl.bin.speak_pairs --pairs data/debian_l10n --langs "$langs" --out "$out"
