#!/usr/bin/env bash
# One model for all directions between English, Spanish, French, Italian and Russian; see README.md. Two cores, no GPU.
exec "$(dirname "$0")/../../../run.sh" \
  --recipe asterisk_many \
  --data_sh egs2/asterisk_many/comsl1/local/data.sh \
  --langs "en es fr it ru" \
  --target_lang "en es fr it ru" \
  --max_duration 12 \
  --speech_encoder base \
  --language_model comsl/pretrained \
  --lm_config egs2/asterisk_many/comsl1/conf/train_lm.yaml \
  --frozen_config egs2/asterisk_many/comsl1/conf/train_frozen.yaml \
  --train_config egs2/asterisk_many/comsl1/conf/train_joint.yaml \
  "$@"
