#!/usr/bin/env bash
# ComSL Medium on MuST-C, English talks into German or thirteen other languages; see README.md.
exec "$(dirname "$0")/../../../run.sh" \
  --recipe must_c \
  --data_sh egs2/must_c/comsl1/local/data.sh \
  --langs "en" \
  --target_lang de --test_set tst-COMMON \
  --long_form true \
  --speech_encoder medium \
  --language_model facebook/mbart-large-50-many-to-many-mmt \
  --lm_config egs2/covost2/comsl1/conf/train_lm.yaml \
  --frozen_config egs2/covost2/comsl1/conf/train_frozen.yaml \
  --train_config egs2/covost2/comsl1/conf/train_medium_joint.yaml \
  "$@"
