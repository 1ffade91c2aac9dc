#!/usr/bin/env bash
# ComSL Medium on Europarl-ST, debates in eight languages into English; see README.md.
exec "$(dirname "$0")/../../../run.sh" \
  --recipe europarl_st \
  --data_sh egs2/europarl_st/comsl1/local/data.sh \
  --langs "de es fr it nl pl pt ro" \
  --long_form true \
  --speech_encoder medium \
  --language_model facebook/mbart-large-50-many-to-many-mmt \
  --lm_config egs2/covost2/comsl1/conf/train_lm.yaml \
  --frozen_config egs2/covost2/comsl1/conf/train_frozen.yaml \
  --train_config egs2/covost2/comsl1/conf/train_medium_joint.yaml \
  "$@"
