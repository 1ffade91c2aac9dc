#!/usr/bin/env bash
# FLEURS with Whisper medium and the real mBART-50, which knows all languages, on a GPU:
#   egs2/fleurs/comsl1/run_mbart50.sh --langs "fr it pl" --ngpu 1
exec "$(dirname "$0")/run.sh" \
  --recipe fleurs_mbart50 \
  --speech_encoder medium --top_blocks 0 \
  --language_model facebook/mbart-large-50-many-to-many-mmt \
  --lm_config egs2/fleurs/comsl1/conf/train_lm.yaml \
  --frozen_config egs2/fleurs/comsl1/conf/train_frozen.yaml \
  --train_config egs2/fleurs/comsl1/conf/train_joint.yaml \
  "$@"
