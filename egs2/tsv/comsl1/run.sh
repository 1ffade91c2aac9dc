#!/usr/bin/env bash
# ComSL on a corpus of your own, given as one table; see README.md:
#   egs2/tsv/comsl1/run.sh --tsv my.tsv --langs "fr it" --recipe my_corpus
exec "$(dirname "$0")/../../../run.sh" \
  --recipe tsv \
  --data_sh egs2/tsv/comsl1/local/data.sh \
  --speech_encoder base \
  --language_model comsl/pretrained \
  --lm_config conf/train_asterisk_lm.yaml \
  --frozen_config conf/train_asterisk_frozen.yaml \
  --train_config conf/train_asterisk_joint.yaml \
  "$@"
