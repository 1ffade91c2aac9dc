#!/usr/bin/env bash
# ComSL Medium on mTEDx, talks in five languages into English; see README.md.
exec "$(dirname "$0")/../../../run.sh" \
  --recipe mtedx \
  --data_sh egs2/mtedx/comsl1/local/data.sh \
  --langs "es fr pt it ru" \
  --long_form true \
  --speech_encoder medium \
  --language_model facebook/mbart-large-50-many-to-many-mmt \
  --lm_config egs2/covost2/comsl1/conf/train_lm.yaml \
  --frozen_config egs2/covost2/comsl1/conf/train_frozen.yaml \
  --train_config egs2/covost2/comsl1/conf/train_medium_joint.yaml \
  "$@"
