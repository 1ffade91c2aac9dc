#!/usr/bin/env bash
# ComSL Medium on CoVoST 2, 21 languages into English, as in the paper; README.md says what has to be downloaded before,
# and how to train ComSL Large.
exec "$(dirname "$0")/../../../run.sh" \
  --recipe covost2 \
  --data_sh egs2/covost2/comsl1/local/data.sh \
  --published egs2/covost2/comsl1/published.json \
  --langs "fr de ca es fa it ru pt zh-CN tr ar et mn nl sv-SE lv sl ta ja id cy" \
  --speech_encoder medium \
  --language_model facebook/mbart-large-50-many-to-many-mmt \
  --lm_config egs2/covost2/comsl1/conf/train_lm.yaml \
  --frozen_config egs2/covost2/comsl1/conf/train_frozen.yaml \
  --train_config egs2/covost2/comsl1/conf/train_medium_joint.yaml \
  "$@"
