#!/usr/bin/env bash
# The small mBART, second part: on from the model that this recipe's run.sh has made, on the same texts.
exec "$(dirname "$0")/../../../run.sh" \
  --recipe debian_l10n \
  --expdir exp/continued \
  --data_sh egs2/debian_l10n/mt1/local/data.sh \
  --langs "es fr it ru" \
  --text_only true \
  --language_model exp/debian_l10n/lm \
  --lm_config egs2/debian_l10n/mt1/conf/train_lm_continued.yaml \
  "$@"
