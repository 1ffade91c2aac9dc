#!/usr/bin/env bash
# ComSL on the corpus of this example: settings for the stage script, whose options may follow.
exec "$(dirname "$0")/../../../run.sh" \
  --recipe mycorpus \
  --data_sh docs/examples/corpus/local/data.sh \
  --langs fr \
  --language_model comsl/pretrained \
  --lm_config conf/train_asterisk_lm.yaml \
  --frozen_config conf/train_asterisk_frozen.yaml \
  --train_config conf/train_asterisk_joint.yaml \
  "$@"
