#!/usr/bin/env bash
# The recipe at length, about two hours on two cores: speech at three speeds and synthetic speech beside it, more epochs
# of both phases, the encoder's top two blocks trained for as long as it pays; see README.md.
exec "$(dirname "$0")/run.sh" \
  --data_sh egs2/asterisk/comsl1/local/data_long.sh \
  --datadir data/long \
  --further_sets spoken \
  --dumpdir dump/long \
  --expdir exp/long \
  --speed_factors "0.9 1.1" \
  --top_blocks 2 \
  --frozen_config conf/train_asterisk_long_frozen.yaml \
  --train_config conf/train_asterisk_long.yaml \
  "$@"
