#!/usr/bin/env bash
# ComSL on the recorded prompts of the Asterisk telephone exchange, into English; see README.md. Two cores, no GPU.
study=conf/train_asterisk_study.yaml
exec "$(dirname "$0")/../../../run.sh" \
  --recipe asterisk \
  --data_sh egs2/asterisk/comsl1/local/data.sh \
  --langs "es fr it ru" \
  --max_duration 12 \
  --speech_encoder base \
  --language_model egs2/debian_l10n/mt1/mbart_small \
  --lm_config conf/train_asterisk_lm.yaml \
  --lm_share 0.75 \
  --composite_lm_share 0.4 \
  --frozen_config conf/train_asterisk_frozen.yaml \
  --train_config conf/train_asterisk_joint.yaml \
  --study_opts "--frozen_config $study --train_config $study --top_blocks 1 --composite_lm_share 1.0" \
  --study_folds "0 1 2" \
  "$@"
