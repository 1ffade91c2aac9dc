#!/usr/bin/env bash
# The stage driver: every recipe of egs2/ runs through it, giving its settings as options. Started by itself it runs
# egs2/asterisk/comsl1. Paths are relative to the top of the repository, wherever it is started from.
# A stage is skipped when its output is complete and no option or input of it has changed: delete the output to redo it.
set -euo pipefail
arguments=("$@")
if [ -z "${COMSL_COMMAND:-}" ]; then printf -v COMSL_COMMAND '%q ' ./run.sh "$@"; fi
export COMSL_COMMAND=${COMSL_COMMAND% } # as the user gave it, for the report
cd "$(dirname "$0")"

# Options: where and how to run
stage=1           # first stage to run
stop_stage=11     # last stage to run
skip_stages=      # stages to leave out, such as "4 8"
skip_train=false  # leave out the training stages, 3 and 6, and the training in stage 8
dry_run=false     # print the commands of the stages, and what would be submitted, instead of running them
ngpu=0            # GPUs on each machine; 0 runs on the CPU
num_nodes=1       # machines to train on, through the queue that cmd.sh names
deepspeed_config= # train with DeepSpeed, with settings such as conf/deepspeed/zero2.json
nj=$(nproc)       # parallel processes that prepare data
datadir=data      # prepared corpora go to <datadir>/<recipe>
dumpdir=dump      # audio and features go to <dumpdir>/<recipe>
expdir=exp        # models, translations, logs and the report go to <expdir>/<recipe>

# Options: what is made
recipe=           # name of the recipe, and of its folders
data_sh=          # the recipe's data preparation
local_data_opts=  # further options of data_sh
langs=            # source languages, Common Voice codes, such as "fr it"
target_lang=en    # language of the corpus's translations
test_set="test"   # set to decode and score
text_only=false   # a corpus without speech, from which stages 1 and 3 make a language model
tsv=              # table of a corpus of your own, see egs2/tsv/comsl1
pseudo_set=       # set of transcribed speech to translate into further training data
further_sets=     # sets of stage 1 to train the composite model on too, such as "untranscribed"
min_duration=0.1  # shortest clip in seconds
max_duration=30.0 # longest clip in seconds; the speech encoder's window is 30
max_dropped=0.05  # share of clips that may be unusable before stage 2 fails
augmented_copies=0 # further copies of the training set as over telephones, in rooms, with noise
speed_factors=    # further copies of the training set at these speeds, such as "0.9 1.1"
speech_encoder=base  # Whisper model: base, medium, large-v2 ...
silence=0.5       # seconds of silence that the speech encoder hears after a clip's end
top_blocks=0      # of its blocks, how many run in training, on cached states from below them (stage 5)
language_model=   # mBART to start from: folder or hub id
lm_size=          # or its size as JSON, to make one from nothing
lm_config=        # training of the language model (stage 3)
lm_share=1.0      # of its weights that are as fine-tuned, the rest as before: less forgets less
composite_lm_share=1.0 # the same of the language blocks after composite training, whose before is that they started from
fine_tuned_lm=true   # the language blocks start from stage 3's model; false: from what that started from
frozen_config=    # composite training, first phase: speech encoder frozen (stage 6)
train_config=     # composite training, main phase; its name is the experiment's (stage 6)
frozen_phase=some # how much of the two phases the speech encoder stays frozen: none, some or all
whisper_config=   # training of Whisper itself, as one more baseline (stage 8)
override=         # files of what changes against all these, such as conf/modality_gap/waco.yaml
tag=              # the experiment's name, in place of train_config's and override's
compare_with=     # a trained experiment whose matrices of similarity stand beside this one's (stage 10)
tasks="st asr mt" # what stage 7 does with the test set
decode_config=conf/decode.yaml  # beam and batch (stages 7 and 8)
published=        # results of others on the same test sets, to be shown beside these (stage 9)

# Options: a study: rows, conf/<study>/<row>.yaml, trained, decoded and compared instead of one model
study=            # ablation or modality_gap
study_rows=       # some of its rows only, such as "1_st 2_mt"
study_opts=       # further options of every row
study_folds=      # splits of the corpus whose test sets are pooled, such as "0 1 2"; 0 is the recipe's own
# End of options

. local/parse_options.sh
. local/stages.sh
. local/study.sh
parse_options "$@"
[ -n "$data_sh" ] || exec egs2/asterisk/comsl1/run.sh "${arguments[@]}"
if $text_only && [ "$stop_stage" -gt 3 ]; then stop_stage=3; fi
check_range "$stage" "$stop_stage"
check_options
if [ -n "$study" ]; then check_study; fi

. ./path.sh
. ./cmd.sh

if [ -n "$override" ]; then
  # shellcheck disable=SC2086 # several files
  parse_overrides $override
fi
check_experiment

data=$datadir/$recipe
raw=$dumpdir/$recipe/raw
encoder=$dumpdir/$recipe/encoder
if [ "$top_blocks" -gt 0 ]; then encoder+=_below_top_$top_blocks; fi
teacher=$dumpdir/$recipe/teacher
exp=$expdir/$recipe
experiment=$(basename "${train_config#*train_}" .yaml)
report=$exp/report
if [ -n "$override" ]; then # the last file's: asterisk_joint_modality_gap_waco
  experiment+=_$(basename "$(dirname "${override##* }")")_$(basename "$override" .yaml)
fi
experiment=$exp/${tag:-$experiment}
if [ -n "$override$tag" ]; then report=$experiment/report; fi
decoded=$experiment/decode_$(basename "${decode_config#*decode_}" .yaml)
decoded=${decoded/%decode_decode/decode} # of conf/decode.yaml

train_set=train # of the composite model
if [ -n "$pseudo_set" ]; then train_set+=_with_pseudo; fi
for set in $further_sets; do train_set+=_and_$set; done
if $text_only; then raw=$data; fi
print_command() { printf '%q ' "$@" && echo; }
show=
if $dry_run; then
  show=print_command
  cuda_cmd+=" --dry_run"
  python() { print_command python "$@"; }
fi
read -ra sources <<<"$langs"
last_set=${test_set}_${sources[-1]} # the one that is decoded last

# job LOG COMMAND...: heavy work goes where cmd.sh says.
job() {
  # shellcheck disable=SC2086 # a command with its options
  $cuda_cmd --gpu "$ngpu" "$exp/logs/$1.log" "${@:2}" --ngpu "$ngpu"
}

# train LOG TOOL OPTIONS...: an ESPnet training, on one machine or many, from its last checkpoint where it has one.
train() {
  local command=(python -m "comsl.bin.$2" --resume true --target_lang "$target_lang" "${@:3}")
  if [ -n "$deepspeed_config" ]; then command+=(--use_deepspeed true --deepspeed_config "$deepspeed_config"); fi
  if [ "$num_nodes" -eq 1 ]; then
    if [ "$ngpu" -gt 1 ]; then command+=(--multiprocessing_distributed true); fi # a process for each
    job "$1" "${command[@]}"
  else
    command python -m espnet2.bin.launch --cmd "$cuda_cmd" --log "$exp/logs/$1.log" --ngpu "$ngpu" --num_nodes "$num_nodes" \
      --init_file_prefix "$(realpath -m "$exp")/.dist_init_" -- "${command[@]}"
  fi
}

# data_options train|valid SET [FILE TYPE]: what ESPnet reads, added to `options`; FILE holds the speech.
data_options() {
  local item folder=$raw/$2
  for item in text.src,source_text,text text.tgt,target_text,text utt2lang,lang,text; do
    options+=("--$1_data_path_and_name_and_type" "$folder/$item")
  done
  options+=("--$1_shape_file" "$folder/source_shape" "--$1_shape_file" "$folder/target_shape")
  if [ $# -gt 2 ]; then
    options+=("--$1_data_path_and_name_and_type" "$3,speech,$4" "--$1_shape_file" "$encoder/$2/speech_shape")
  fi
}

# train_on_speech LOG TOOL CONFIG FOLDER OPTIONS...: on cached states where the configuration says so.
train_on_speech() {
  local options=("${@:5}")
  if grep -q '^speech_encoder: cached' "$3"; then
    options+=(--speech_encoder_conf "top_blocks=$top_blocks")
    data_options train "$train_set" "$encoder/$train_set/feats.scp" kaldi_ark
    data_options valid dev "$encoder/dev/feats.scp" kaldi_ark
  else
    data_options train "$train_set" "$raw/$train_set/wav.scp" sound
    data_options valid dev "$raw/dev/wav.scp" sound
  fi
  train "$1" "$2" --config "$3" --output_dir "$4" "${options[@]}"
}

# train_phase LOG CONFIG FOLDER OPTIONS...: the composite model.
train_phase() {
  local part options=("${@:4}")
  for part in "train $train_set" "valid dev"; do
    options+=("--${part% *}_data_path_and_name_and_type" "$teacher/${part#* }/feats.scp,teacher,kaldi_ark")
  done
  train_on_speech "$1" train "$2" "$3" "${options[@]}"
}

# A number that both phases' configurations have, `max_epoch: 6` or an indented one, summed.
both_phases() { awk -v name="$1:" '$1 == name { sum += $2 } END { print sum }' "$frozen_config" "$train_config"; }

# A flat YAML file as options: `beam_size: 5` becomes `--beam_size 5`.
yaml_options() { sed -n 's/^\([a-z_]*\): *\([^ #]*\).*/--\1 \2/p' "$1"; }

# Stage 1: data preparation: fetch, clean, split, Kaldi-style directories
needs[1]="" makes[1]=$data
stage_1() {
  export nj target_lang
  # shellcheck disable=SC2086 # several options
  $show "$data_sh" --out "$data" --langs "$langs" ${tsv:+--tsv "$tsv" --target_lang "$target_lang"} $local_data_opts
  python -m comsl.bin.validate_data "$data"
}

# Stage 2: speech: 16 kHz, filters, speed perturbation, languages combined
needs[2]="1" makes[2]=$raw
stage_2() {
  python -m comsl.bin.prepare_speech --data "$data" --out "$raw" --langs "$langs" --nj "$nj" \
    --min_duration "$min_duration" --max_duration "$max_duration" --max_dropped "$max_dropped" \
    --speed_factors "$speed_factors" --augmented_copies "$augmented_copies"
}

# interpolate EXPERIMENT START SHARE: its language model's weights, where SHARE of them only is to be as trained.
interpolate() {
  if [ "$3" != 1.0 ]; then python -m comsl.bin.interpolate --model "$1" --start "$2" --share "$3"; fi
}

# Stage 3: language model: fine-tuning on paired text
needs[3]="1 2" makes[3]=$exp/lm
check_3() { # before the hours until they are read
  local set
  for set in $pseudo_set $further_sets; do
    [ -d "$raw/$set" ] || die "there is no set $raw/$set: correct --pseudo_set or --further_sets, or have stage 1 make it"
  done
}
stage_3() {
  local start=$exp/lm_train/start options=()
  resume_or_set_aside "$exp/lm_train"
  if [ ! -d "$start" ]; then
    if [ -n "$lm_size" ]; then
      python -m comsl.bin.train_tokenizer --data "$raw/train" --config "$lm_size" --langs "$langs $target_lang" \
        --out "$start"
    else
      python -m comsl.bin.add_languages --language_model "$language_model" --langs "$langs $target_lang" --out "$start"
    fi
  fi
  [ -d "$start" ] || start=$language_model
  python -m comsl.bin.token_lengths --language_model "$start" "$raw/train" "$raw/dev" \
    --test "$raw/${test_set}"_*
  data_options train train
  data_options valid dev
  train lm train --config "$lm_config" --language_model "$start" --output_dir "$exp/lm_train" "${options[@]}"
  interpolate "$exp/lm_train" "$start" "$lm_share"
  python -m comsl.bin.export_lm --model "$exp/lm_train" --out "$exp/lm"
}

# Stage 4: further training data, where the recipe names a source: pseudo translations, sets of stage 1
needs[4]="2 3" makes[4]=$raw/$train_set
stage_4() {
  local pseudo=$raw/${pseudo_set}_pseudo set sets=("$raw/train")
  if [ -n "$pseudo_set" ]; then
    job pseudo python -m comsl.bin.translate_text --model "$exp/lm_train" --raw "$raw" --held_out "dev $test_set" --data "$raw/$pseudo_set" \
      --out "$pseudo"
    sets+=("$pseudo")
  fi
  for set in $further_sets; do sets+=("$raw/$set"); done
  python -m comsl.bin.combine_sets --held_out "dev $test_set" --out "$raw/$train_set" "${sets[@]}"
  python -m comsl.bin.token_lengths --language_model "$exp/lm" "$raw/$train_set"
}

# Stage 5: features: states of the frozen speech encoder and of the frozen language model, shapes
needs[5]="2 3 $([ "$train_set" = train ] || echo 4)"
makes[5]="$encoder/$train_set/feats.scp $encoder/dev/feats.scp $teacher/$train_set/feats.scp $teacher/dev/feats.scp"
stage_5() {
  job features python -m comsl.bin.extract_features --raw "$raw" --out "$encoder" --sets "$train_set dev" \
    --speech_encoder "$speech_encoder" --silence "$silence" --top_blocks "$top_blocks" --language_model "$exp/lm"
  job teacher python -m comsl.bin.extract_teacher --raw "$raw" --out "$teacher" --sets "$train_set dev" \
    --language_model "$exp/lm" --target_lang "$target_lang"
}

# Stage 6: composite training: speech encoder frozen, then everything
needs[6]="2 3 5" makes[6]=$experiment/valid.ce_st.ave.pth
stage_6() {
  local start=$exp/lm frozen=(--speech_encoder_conf trainable_blocks=0) whole shared overrides
  if ! $fine_tuned_lm; then
    start=$exp/lm_train/start
    [ -d "$start" ] || start=$language_model
  fi
  whole=(--max_epoch "$(both_phases max_epoch)" --scheduler_conf "total_steps=$(both_phases total_steps)")
  shared=(--language_model "$start" --teacher "$exp/lm")
  shared+=(--speech_encoder_conf "model=$speech_encoder" --speech_encoder_conf "silence=$silence")
  if [ -n "$override" ]; then
    # shellcheck disable=SC2086 # several files
    overrides=$(command python -m comsl.bin.overrides $override) # for a dry run too
    eval "shared+=($overrides)"
  fi
  resume_or_set_aside "$experiment"
  case $frozen_phase in
    none) train_phase joint "$train_config" "$experiment" "${whole[@]}" "${shared[@]}" ;;
    some)
      train_phase frozen "$frozen_config" "$experiment/frozen" "${shared[@]}" "${frozen[@]}"
      train_phase joint "$train_config" "$experiment" "${shared[@]}" \
        --init_param "$experiment/frozen/valid.ce_st.ave.pth"
      ;;
    all) train_phase frozen "$frozen_config" "$experiment" "${whole[@]}" "${shared[@]}" "${frozen[@]}" ;;
  esac
  interpolate "$experiment" "$start" "$composite_lm_share"
}

# Stage 7: decoding: ST, and ASR and MT by the same model; likelihood of the references
needs[7]="2 6" makes[7]=$decoded/$last_set/nll.st
stage_7() {
  local options=(--model "$experiment" --raw "$raw" --set "$test_set" --langs "$langs" --out "$decoded")
  # shellcheck disable=SC2046 # several options
  job decode python -m comsl.bin.decode "${options[@]}" --tasks "$tasks" $(yaml_options "$decode_config")
  job likelihood python -m comsl.bin.likelihood "${options[@]}"
}

# Whisper trained on, with the trainer and the data of stage 6; when only decoding has changed, it is kept.
fine_tune_whisper() {
  local folder=$exp/whisper_train
  resume_or_set_aside "$folder" "$(fingerprint fine_tune_whisper 5)"
  train_on_speech whisper_train train_whisper "$whisper_config" "$folder" \
    --speech_encoder_conf "model=$speech_encoder" --speech_encoder_conf "silence=$silence"
  if [ ! "$folder/whisper.pt" -nt "$folder/latest.pth" ]; then # of the last epoch
    python -m comsl.bin.export_whisper --model "$folder" --out "$folder/whisper.pt"
  fi
}

# Stage 8: baselines: Whisper zero-shot and fine-tuned, cascade, MT on the true transcript
needs[8]="2 3 ${whisper_config:+5}"
makes[8]="$exp/mt-true-transcript/$last_set/text.mt $exp/cascade/$last_set/text.st"
makes[8]+=" $exp/whisper-zero-shot/$last_set/text.asr ${whisper_config:+$exp/whisper-fine-tuned/$last_set/text.asr}"
stage_8() {
  # shellcheck disable=SC2207 # several options
  local options=(--raw "$raw" --langs "$langs" $(yaml_options "$decode_config")) whisper_tasks="st asr"
  if [ "$target_lang" != en ]; then
    echo "Whisper translates into English only: no whisper-zero-shot translation into '$target_lang'"
    whisper_tasks=asr # for the cascade
  fi
  job whisper python -m comsl.bin.decode_whisper "${options[@]}" --sets "$test_set" --tasks "$whisper_tasks" \
    --speech_encoder "$speech_encoder" --out "$exp/whisper-zero-shot"
  if [ -n "$whisper_config" ]; then
    if ! $skip_train; then fine_tune_whisper; fi
    job whisper_fine_tuned python -m comsl.bin.decode_whisper "${options[@]}" --sets "$test_set" \
      --speech_encoder "$exp/whisper_train/whisper.pt" --out "$exp/whisper-fine-tuned"
  fi
  options+=(--model "$exp/lm_train" --set "$test_set")
  job cascade python -m comsl.bin.decode "${options[@]}" --transcripts "$exp/whisper-zero-shot" --out "$exp/cascade"
  job mt python -m comsl.bin.decode "${options[@]}" --tasks mt --out "$exp/mt-true-transcript"
}

# Stage 9: scores and report
needs[9]="2 7 8?" makes[9]=$report/index.html
stage_9() {
  local system systems=(--system "comsl=$decoded") trained=(--experiment "$experiment")
  if [ -d "$experiment/frozen" ]; then trained=(--experiment "$experiment/frozen" "${trained[@]}"); fi
  for system in whisper-zero-shot whisper-fine-tuned cascade mt-true-transcript; do
    if [ -d "$exp/$system" ]; then systems+=(--system "$system=$exp/$system"); fi
  done
  python -m comsl.bin.score --recipe "$recipe" --raw "$raw" --set "$test_set" --langs "$langs" "${systems[@]}" \
    --target_lang "$target_lang" ${published:+--published "$published"} \
    "${trained[@]}" --out "$report" --command "$COMSL_COMMAND"
}

# Stage 10: analysis: similarity of speech and text
needs[10]="2 6" makes[10]=$report/similarity.json
stage_10() {
  local options=(--raw "$raw" --set "$test_set" --langs "$langs")
  job alignment python -m comsl.bin.align_words "${options[@]}" --speech_encoder "$speech_encoder" \
    --out "$exp/alignment"
  job similarity python -m comsl.bin.similarity "${options[@]}" --alignment "$exp/alignment" --model "$experiment" \
    ${compare_with:+--compare_with "$compare_with"} --out "$experiment/similarity"
  python -m comsl.bin.draw_similarity --set "$test_set" --langs "$langs" --similarity "$experiment/similarity" \
    --out "$report"
}

# Stage 11: the model packed into one file
needs[11]="6" makes[11]=$experiment/packed.zip
stage_11() {
  python -m comsl.bin.pack --model "$experiment" --out "$experiment/packed.zip"
}

if [ -n "$study" ]; then
  run_study
  exit
fi
if [ "$train_set" = train ]; then skip_stages+=" 4"; fi # after studies, whose rows find out for themselves
if $skip_train; then skip_stages+=" 3 6"; fi
if $text_only; then skip_stages+=" 2"; fi
run_stages "$stage" "$stop_stage"
if [ "$stop_stage" -ge 9 ] && [ -f "$report/index.html" ]; then
  sed -n '/^## BLEU$/,/^Signature/p' "$report/RESULTS.md"
  echo "report: $report/index.html"
fi
