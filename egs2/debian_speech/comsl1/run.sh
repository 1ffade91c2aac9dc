#!/usr/bin/env bash
# ComSL on many voices, recorded and synthetic, into English; see README.md. Two cores, no GPU.
exec "$(dirname "$0")/../../../run.sh" \
  --recipe debian_speech \
  --data_sh egs2/debian_speech/comsl1/local/data.sh \
  --langs "es fr it ru" \
  --max_duration 12 \
  --pseudo_set untranslated \
  --further_sets "spoken untranscribed" \
  --text_pairs data/debian_l10n/train \
  --speech_encoder base \
  --language_model egs2/debian_l10n/mt1/mbart_small \
  --lm_config conf/train_asterisk_lm.yaml \
  --lm_share 0.0 \
  --frozen_phase all \
  --frozen_config egs2/debian_speech/comsl1/conf/train.yaml \
  --train_config egs2/debian_speech/comsl1/conf/train.yaml \
  "$@"
