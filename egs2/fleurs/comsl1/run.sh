#!/usr/bin/env bash
# ComSL on FLEURS, into English; see README.md. Everything is fetched:
#   egs2/fleurs/comsl1/run.sh --langs "fr_fr it_it"
exec "$(dirname "$0")/../../../run.sh" \
  --recipe fleurs \
  --data_sh egs2/fleurs/comsl1/local/data.sh \
  --langs "es fr it ru" \
  --speech_encoder base \
  --language_model comsl/pretrained \
  --lm_config conf/train_asterisk_lm.yaml \
  --frozen_config conf/train_asterisk_frozen.yaml \
  --train_config conf/train_asterisk_joint.yaml \
  "$@"
