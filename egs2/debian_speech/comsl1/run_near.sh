#!/usr/bin/env bash
# The end of the pretraining, after run.sh: at a falling rate, on those clips (45 %) and sentence pairs (a fifth) whose
# English is most like that of the prompts for training. Stopped and started again, it goes on.
set -euo pipefail
cd "$(dirname "$0")/../../.."
. ./path.sh

raw=dump/debian_speech/raw exp=exp/debian_speech
all=with_pseudo_and_spoken_and_untranscribed # run.sh's training set
encoder=dump/debian_speech/encoder_$all teacher=dump/debian_speech/teacher_$all
near=(python -m comsl.bin.select_near --near data/asterisk/train_it/text.tgt)
"${near[@]}" --share 0.45 --name train_near $raw/train_$all $encoder/train_$all $teacher/train_$all
"${near[@]}" --share 0.2 --name text_pairs_near $raw/text_pairs

python -m comsl.bin.train --resume true --target_lang en --raw $raw --config egs2/debian_speech/comsl1/conf/train.yaml \
  --train_set train_near --encoder $encoder --teacher_states $teacher --text_pairs $raw/text_pairs_near --top_blocks 0 \
  --language_model $exp/lm --teacher $exp/lm --speech_encoder_conf model=base --speech_encoder_conf silence=0.5 \
  --speech_encoder_conf trainable_blocks=0 --init_param $exp/train --output_dir $exp/train_near \
  --num_iters_per_epoch 480 --max_epoch 5 --optim_conf lr=2.0e-4 --component_lr adapter=6.0e-4 \
  --scheduler_conf warmup_steps=20 "$@"
