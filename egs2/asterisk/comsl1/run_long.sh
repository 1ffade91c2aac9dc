#!/usr/bin/env bash
# The recipe at length: every prompt at three speeds, ST and ASR alone, the encoder's top two blocks trained from the
# start, 990 updates in all, and Whisper fine-tuned on the same data beside it; see README.md.
exec "$(dirname "$0")/run.sh" \
  --dumpdir dump/long \
  --expdir exp/long \
  --speed_factors "0.9 1.1" \
  --top_blocks 2 \
  --frozen_phase none \
  --frozen_config conf/train_asterisk_long.yaml \
  --train_config conf/train_asterisk_long.yaml \
  --whisper_config conf/train_asterisk_whisper.yaml \
  "$@"
