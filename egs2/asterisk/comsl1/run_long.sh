#!/usr/bin/env bash
# The recipe at length, about two hours on two cores: speech at three speeds, more epochs of both phases, the encoder's
# top two blocks trained for as long as it pays; see README.md.
exec "$(dirname "$0")/run.sh" \
  --dumpdir dump/long \
  --expdir exp/long \
  --speed_factors "0.9 1.1" \
  --top_blocks 2 \
  --frozen_config conf/train_asterisk_long_frozen.yaml \
  --train_config conf/train_asterisk_long.yaml \
  "$@"
