#!/usr/bin/env bash
# The stage driver: every recipe of egs2/ runs through it, giving its settings as options. Started by itself it runs
# egs2/asterisk/comsl1. Paths are relative to the top of the repository, wherever it is started from.
# A stage is skipped when its output is complete and no option or input of it has changed: delete the output to redo it.
set -euo pipefail
arguments=("$@")
cd "$(dirname "$0")"

# Options: where and how to run
stage=1           # first stage to run
stop_stage=11     # last stage to run
skip_stages=      # stages to leave out, such as "4 8"
skip_train=false  # leave out the training stages, 3 and 6
ngpu=0            # GPUs on each machine; 0 runs on the CPU
num_nodes=1       # machines to train on, through the queue that cmd.sh names
nj=$(nproc)       # parallel processes that prepare data
datadir=data      # prepared corpora go to <datadir>/<recipe>
dumpdir=dump      # audio and features go to <dumpdir>/<recipe>
expdir=exp        # models, translations, logs and the report go to <expdir>/<recipe>

# Options: what is made
recipe=           # name of the recipe, and of its folders
data_sh=          # the recipe's data preparation
langs=            # source languages, Common Voice codes, such as "fr it"
test_sets="test"  # sets to decode and score, such as "dev test"
pseudo_set=       # set of transcribed speech to translate into further training data
min_duration=0.3  # shortest clip in seconds
max_duration=30   # longest clip in seconds; the speech encoder's window is 30
max_dropped=0.1   # share of clips that may be unusable before stage 2 fails
speed_factors=    # further copies of the training set at these speeds, such as "0.9 1.1"
speech_encoder=base  # Whisper model: base, medium, large-v2 ...
language_model=   # mBART to start from: folder or hub id
lm_config=        # training of the language model (stage 3)
frozen_config=    # composite training, first phase: speech encoder frozen (stage 6)
train_config=     # composite training, main phase; its name is the experiment's (stage 6)
decode_config=conf/decode.yaml  # beam and batch (stages 7 and 8)
# End of options

. local/parse_options.sh
. local/stages.sh
parse_options "$@"
[ -n "$data_sh" ] || exec egs2/asterisk/comsl1/run.sh "${arguments[@]}"
check_range "$stage" "$stop_stage"

for file in "$data_sh" $lm_config $frozen_config $train_config $decode_config; do
  [ -f "$file" ] || die "no file $file (paths are relative to $PWD)"
done
. ./path.sh
. ./cmd.sh

data=$datadir/$recipe
raw=$dumpdir/$recipe/raw
encoder=$dumpdir/$recipe/encoder
exp=$expdir/$recipe
experiment=$exp/$(basename "${train_config#*train_}" .yaml)
decoded=$experiment/decode_$(basename "${decode_config#*decode_}" .yaml)
report=$exp/report
if $skip_train; then skip_stages+=" 3 6"; fi

# job LOG COMMAND...: heavy work goes where cmd.sh says.
job() {
  # shellcheck disable=SC2086 # a command with its options
  $cuda_cmd --gpu "$ngpu" "$exp/logs/$1.log" "${@:2}" --ngpu "$ngpu"
}

# train LOG OPTIONS...: an ESPnet training, on one machine or many.
train() {
  if [ "$num_nodes" -eq 1 ]; then
    job "$1" python -m comsl.bin.train "${@:2}"
  else
    python -m espnet2.bin.launch --cmd "$cuda_cmd" --log "$exp/logs/$1.log" --ngpu "$ngpu" --num_nodes "$num_nodes" \
      --init_file_prefix "$PWD/$exp/.dist_init_" -- python -m comsl.bin.train "${@:2}"
  fi
}

# Stage 1: data preparation: fetch, clean, split, Kaldi-style directories
needs[1]="" makes[1]=$data
stage_1() {
  "$data_sh" --out "$data" --langs "$langs"
  python -m comsl.bin.validate_data "$data"
}

# Stage 2: speech: 16 kHz, filters, speed perturbation, languages combined
needs[2]="1" makes[2]=$raw
stage_2() {
  python -m comsl.bin.prepare_speech --data "$data" --out "$raw" --langs "$langs" --nj "$nj" \
    --min_duration "$min_duration" --max_duration "$max_duration" --max_dropped "$max_dropped" \
    --speed_factors "$speed_factors"
}

# Stage 3: language model: fine-tuning on paired text
needs[3]="2" makes[3]=$exp/lm
stage_3() {
  resume_or_set_aside "$exp/lm_train"
  train lm_train --config "$lm_config" --language_model "$language_model" --output_dir "$exp/lm_train" \
    --train_data_path_and_name_and_type "$raw/train/text.src,text_src,text" \
    --train_data_path_and_name_and_type "$raw/train/text.tgt,text_tgt,text" \
    --valid_data_path_and_name_and_type "$raw/dev/text.src,text_src,text" \
    --valid_data_path_and_name_and_type "$raw/dev/text.tgt,text_tgt,text"
  python -m comsl.bin.export_lm --experiment "$exp/lm_train" --out "$exp/lm"
}

# Stage 4: pseudo speech translation data, where the recipe names a source
needs[4]="2 3" makes[4]=${pseudo_set:+$raw/${pseudo_set}_pseudo}
stage_4() {
  if [ -z "$pseudo_set" ]; then
    echo "no source of pseudo data named"
    return
  fi
  job pseudo python -m comsl.bin.translate_text --model "$exp/lm" --data "$raw/$pseudo_set" \
    --out "$raw/${pseudo_set}_pseudo"
}

# Stage 5: features: states of the frozen speech encoder, shapes
needs[5]="2 4" makes[5]=$encoder
stage_5() {
  job features python -m comsl.bin.extract_features --raw "$raw" --out "$encoder" --sets "train dev" \
    --speech_encoder "$speech_encoder"
}

# Stage 6: composite training: speech encoder frozen, then everything
needs[6]="2 3 5" makes[6]=$experiment/valid.st_loss.ave.pth
stage_6() {
  resume_or_set_aside "$experiment"
  train frozen --config "$frozen_config" --language_model "$exp/lm" --output_dir "$experiment/frozen" \
    --train_data_path_and_name_and_type "$encoder/train/feats.scp,speech,kaldi_ark"
  train joint --config "$train_config" --language_model "$exp/lm" --speech_encoder "$speech_encoder" \
    --output_dir "$experiment" --init_param "$experiment/frozen/valid.st_loss.ave.pth" \
    --train_data_path_and_name_and_type "$raw/train/wav.scp,speech,sound"
}

# Stage 7: decoding: ST, and ASR and MT by the same model
needs[7]="2 6" makes[7]=$decoded
stage_7() {
  job decode python -m comsl.bin.decode --config "$decode_config" --model "$experiment" --raw "$raw" \
    --sets "$test_sets" --langs "$langs" --tasks "st asr mt" --out "$decoded"
}

# Stage 8: baselines: Whisper zero-shot, cascade, MT on the true transcript
needs[8]="2 3" makes[8]="$exp/mt-true-transcript $exp/whisper-zero-shot $exp/cascade"
stage_8() {
  job whisper python -m comsl.bin.decode_whisper --config "$decode_config" --raw "$raw" --sets "$test_sets" \
    --langs "$langs" --speech_encoder "$speech_encoder" --out "$exp/whisper-zero-shot"
  job cascade python -m comsl.bin.decode --config "$decode_config" --language_model "$exp/lm" \
    --raw "$exp/whisper-zero-shot" --sets "$test_sets" --langs "$langs" --tasks "mt" --out "$exp/cascade"
  job mt python -m comsl.bin.decode --config "$decode_config" --language_model "$exp/lm" --raw "$raw" \
    --sets "$test_sets" --langs "$langs" --tasks "mt" --out "$exp/mt-true-transcript"
}

# Stage 9: scores and report
needs[9]="2 7 8?" makes[9]=$report/index.html
stage_9() {
  python -m comsl.bin.score --recipe "$recipe" --raw "$raw" --sets "$test_sets" --langs "$langs" --exp "$exp" \
    --experiment "$decoded" --out "$report"
}

# Stage 10: analysis: speech-text similarity
needs[10]="6" makes[10]=$report/similarity
stage_10() {
  job similarity python -m comsl.bin.similarity --model "$experiment" --raw "$raw" --out "$report/similarity"
}

# Stage 11: the model packed into one file
needs[11]="6" makes[11]=$experiment/packed.zip
stage_11() {
  python -m comsl.bin.pack --model "$experiment" --out "$experiment/packed.zip"
}

run_stages "$stage" "$stop_stage"
if [ -f "$report/RESULTS.md" ]; then
  cat "$report/RESULTS.md"
  echo "report: $report/index.html"
fi
