#!/usr/bin/env bash
# The small mBART of egs2/debian_speech, from nothing: tokenizer and model, on the translated texts of Debian's software.
# Some hours on two cores; start it again after an interruption and it goes on.
exec "$(dirname "$0")/../../../run.sh" \
  --recipe debian_l10n \
  --data_sh egs2/debian_l10n/mt1/local/data.sh \
  --langs "es fr it ru" \
  --text_only true \
  --lm_size egs2/debian_l10n/mt1/conf/mbart_small.json \
  --lm_config egs2/debian_l10n/mt1/conf/train_lm.yaml \
  "$@"
