#!/usr/bin/env bash
# The small mBART, fourth part: on from the model that finish.sh has made, with a piece for every character that its
# vocabulary lacked. Two cores.
set -euo pipefail
cd "$(dirname "$0")/../../.."
. ./path.sh
start=exp/covered/start
[ -d "$start" ] || python -m comsl.bin.cover_characters --language_model exp/finished/debian_l10n/lm --out "$start"
exec ./run.sh \
  --recipe debian_l10n \
  --expdir exp/covered \
  --data_sh egs2/debian_l10n/mt1/local/data.sh \
  --langs "es fr it ru" \
  --text_only true \
  --language_model "$start" \
  --lm_config egs2/debian_l10n/mt1/conf/train_lm_covered.yaml \
  "$@"
