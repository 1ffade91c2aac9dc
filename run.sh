#!/usr/bin/env bash
# The stage script: every recipe of egs2/ runs through it, each with its settings as options. Started by itself it runs
# egs2/asterisk/comsl1. Paths are relative to the top of the repository, wherever it is started from.
# What is made is skipped: comsl/made.py says when. Delete a thing, and it is made again.
# shellcheck disable=SC2034 # options that only functions or Python read
set -euo pipefail
printf -v user_command '%q ' ./run.sh "$@" # for the report
cd "$(dirname "$0")"

# Options; local/help.txt says what each of them does: ./run.sh --help
stage=1 stop_stage=11 skip_stages='' skip_train=false dry_run=false
ngpu=0 num_nodes=1 inference_nj=1 nj=$(nproc)
deepspeed_config='' auto_batch=false
datadir=data dumpdir=dump expdir=exp

# Data
recipe='' data_sh='' local_data_opts='' tsv=''
langs='' target_lang=en
test_set=test pseudo_set='' further_sets='' text_pairs=''
text_only=false shards=false
min_duration=0.1 max_duration=30.0 max_dropped=0.05
augmented_copies=0 speed_factors=''

# Models, and their training in stages 3, 6 and 8
speech_encoder=base whisper_model='' silence=0.5 top_blocks=0
language_model='' lm_size=''
lm_config='' lm_share=1.0 fine_tuned_lm=true
frozen_config='' train_config='' frozen_phase=some
whisper_config=''
override='' tag=''

# Decoding, scores, analysis
tasks="st asr mt" decode_config=conf/decode.yaml long_form=false
metrics="bleu chrf" comet_model=Unbabel/wmt22-comet-da published=''
compare_with='' hf_repo=''

# A study, which trains, decodes and compares several models: rows, conf/<study>/<row>.yaml
study='' study_rows='' study_opts='' study_folds=''

. local/parse_options.sh
. ./path.sh
. ./cmd.sh
if [ -n "$override" ]; then # its files set options under `run`
  changes=$(python -m comsl.bin.overrides "$override")
  read_settings <(echo "$changes")
fi
if $text_only && [ "$stop_stage" -gt 3 ]; then stop_stage=3; fi
plain=$(python -m comsl.bin.check_options "$(options_in_use)" --cmd_backend "$cmd_backend")
read_settings <(echo "$plain") # languages by their codes
. local/stages.sh

whisper_model=${whisper_model:-$speech_encoder}
data=$datadir/$recipe
raw=$dumpdir/$recipe/raw
if $text_only; then raw=$data; fi
exp=$expdir/$recipe

train_set=train # of the composite model
if [ -n "$pseudo_set" ]; then train_set+=_with_pseudo; fi
for set in $further_sets; do train_set+=_and_$set; done
pairs=$raw/text_pairs # without speech
encoder=$dumpdir/$recipe/encoder${train_set#train}
if [ "$top_blocks" -gt 0 ]; then encoder+=_below_top_$top_blocks; fi
teacher=$dumpdir/$recipe/teacher${train_set#train}
sharded=$dumpdir/$recipe/shards_of_$(basename "$encoder")

# conf/train_asterisk_joint.yaml with conf/modality_gap/waco.yaml makes the experiment asterisk_joint_modality_gap_waco.
changed=${override##* } # the last one
if [ -n "$changed" ]; then changed=_$(basename "$(dirname "$changed")")_$(basename "$changed" .yaml); fi
experiment=$exp/${tag:-$(basename "${train_config#*train_}" .yaml)$changed}
frozen=$exp/$(basename "${frozen_config#*train_}" .yaml)$changed
if [ -n "$tag" ] || [ "$frozen" = "$experiment" ]; then frozen=${experiment}_frozen; fi
translator=$exp/lm_train/interpolated.pth # the text translation model
decoded=$experiment/$(basename "$decode_config" .yaml)
talks=${decoded}_long_form
report=$exp/report
if [ -n "$override$tag" ]; then report=$experiment/report; fi
first_set=${test_set%% *} # which cards, studies and stage 10 use
tested=(--raw "$raw" --set "$test_set" --langs "$langs")

if [ -n "$study" ]; then
  exec python -m comsl.bin.run_study --options "$(options_in_use)" --decode "$(basename "$decoded")" \
    --command "$user_command" -- "$@"
fi

show=
if $dry_run; then
  print_command() { printf '%q ' "$@" && echo; }
  show=print_command
  cuda_cmd+=" --dry_run"
  python() { print_command python "$@"; }
fi
if [ "$train_set$text_pairs" = train ]; then skip_stages+=" 4"; fi
if $skip_train; then skip_stages+=" 3 6"; fi
if $text_only; then skip_stages+=" 2"; fi

# train LOG TOOL OPTIONS...: an ESPnet training, on one machine or many, from its last checkpoint where it has one.
train() {
  local command=(python -m "comsl.bin.$2" --resume true --target_lang "$target_lang" --raw "$raw" "${@:3}" --ngpu "$ngpu")
  if [ -n "$deepspeed_config" ]; then command+=(--use_deepspeed true --deepspeed_config "$deepspeed_config"); fi
  if $auto_batch; then command+=(--auto_batch true); fi
  if [ $((num_nodes * ngpu)) -gt 1 ]; then command+=(--multiprocessing_distributed true); fi # a process for each GPU
  if [ "$num_nodes" -gt 1 ]; then # srun starts it on every machine, and a file tells them of each other
    command=(srun --export=ALL "${command[@]}" --dist_launcher slurm
      --dist_init_method "file://$(realpath -m "$exp")/.dist_init_$(date +%s%N)")
  fi
  $cuda_cmd --gpu "$ngpu" --num_nodes "$num_nodes" "$exp/logs/$1.log" "${command[@]}"
}

# Faults in configurations are found before the first training runs.
check_trainings() {
  python -m comsl.bin.check_trainings "$@" --whisper "$whisper_config" --override "$override" \
    --text_pairs "$text_pairs" --target_lang "$target_lang" --test_set "$test_set" \
    --langs "$langs" --frozen_phase "$frozen_phase" --lm_share "$lm_share" \
    --raw "$raw" --sets "$pseudo_set $further_sets"
}

# share LOG OUT COMMAND...: inference_nj jobs, each with a device of its own, make OUT; then their parts are joined.
share() {
  local gpu=$((ngpu > 0))
  $cuda_cmd --gpu "$gpu" JOB=1:"$inference_nj" "$exp/logs/$1.JOB.log" "${@:3}" --out "$2" --ngpu "$gpu" \
    --job JOB --num_jobs "$inference_nj"
  python -m comsl.bin.join_parts --out "$2" --num_jobs "$inference_nj"
}

if run_stage 1 "data preparation: fetch, clean, split, Kaldi-style directories"; then
  folders=$(corpus_folders "$(dirname "$data_sh")/../db.sh")
  if to_make "$data" --earlier keep from "$(dirname "$data_sh")" \
    by data_sh local_data_opts langs tsv target_lang folders; then
    export nj target_lang
    # shellcheck disable=SC2086 # several options
    $show "$data_sh" --out "$data" --langs "$langs" ${tsv:+--tsv "$tsv" --target_lang "$target_lang"} $local_data_opts
    python -m comsl.bin.validate_data "$data"
    made "$data"
  fi
fi

if run_stage 2 "speech: 16 kHz, filters, speed perturbation, languages combined"; then
  once "$raw" from "$data" \
    by langs min_duration max_duration max_dropped speed_factors augmented_copies -- \
    python -m comsl.bin.prepare_speech --data "$data" --out OUT --langs "$langs" --nj "$nj" \
    --min_duration "$min_duration" --max_duration "$max_duration" --max_dropped "$max_dropped" \
    --speed_factors "$speed_factors" --augmented_copies "$augmented_copies" --speech_encoder "$speech_encoder"
fi

if run_stage 3 "language model: fine-tuning on paired text"; then
  if [ -n "$lm_size" ]; then
    once "$exp/lm_start" from "$raw" by lm_size langs target_lang -- \
      python -m comsl.bin.train_tokenizer --data "$raw/train" --config "$lm_size" \
      --langs "$langs $target_lang" --out OUT
  else
    once "$exp/lm_start" by language_model langs target_lang -- \
      python -m comsl.bin.add_languages --language_model "$language_model" --langs "$langs $target_lang" --out OUT
    once "$exp/adapter.pth" by language_model speech_encoder -- \
      python -m comsl.bin.export_adapter --language_model "$language_model" --speech_encoder "$speech_encoder" --out OUT
  fi
  once "$raw/train/source_shape" --earlier keep from "$raw" "$exp/lm_start" by test_set target_lang -- \
    python -m comsl.bin.token_lengths --language_model "$exp/lm_start" "$raw/train" "$raw/dev" \
    --target_lang "$target_lang" --test_set "$test_set"
  if to_make "$exp/lm_train" --earlier aside from "$raw" "$exp/lm_start" by lm_config target_lang; then
    check_trainings "$lm_config" "$frozen_config" "$train_config"
    train lm train --config "$lm_config" --train_set train --language_model "$exp/lm_start" --output_dir "$exp/lm_train"
    made "$exp/lm_train"
  fi
  once "$translator" from "$exp/lm_train" "$exp/lm_start" by lm_share -- \
    python -m comsl.bin.interpolate --model "$exp/lm_train" --start "$exp/lm_start" --share "$lm_share" --out OUT
  once "$exp/lm" from "$translator" -- python -m comsl.bin.export_lm --model "$exp/lm_train" --out OUT
fi

if run_stage 4 "further training data: pseudo translations, sets of stage 1, text pairs"; then
  sets=("$raw/train")
  if [ -n "$pseudo_set" ]; then
    pseudo=$raw/${pseudo_set}_pseudo
    once "$pseudo" from "$raw" "$translator" by test_set -- \
      share pseudo OUT python -m comsl.bin.translate_text --model "$exp/lm_train" --raw "$raw" \
      --data "$raw/$pseudo_set" --held_out "dev $test_set"
    sets+=("$pseudo")
  fi
  for set in $further_sets; do sets+=("$raw/$set"); done
  if [ "$train_set" != train ] &&
    to_make "$raw/$train_set" from "${sets[@]}" "$exp/lm_start" by test_set target_lang; then
    python -m comsl.bin.combine_sets --held_out "dev $test_set" --out "$new" "${sets[@]}"
    python -m comsl.bin.token_lengths --language_model "$exp/lm_start" "$new" --target_lang "$target_lang"
    made "$raw/$train_set"
  fi
  if [ -n "$text_pairs" ] && to_make "$pairs" from "$text_pairs" "$raw" "$exp/lm_start" by test_set target_lang; then
    python -m comsl.bin.prepare_text_pairs --pairs "$text_pairs" --raw "$raw" --held_out "dev $test_set" --out "$new"
    python -m comsl.bin.token_lengths --language_model "$exp/lm_start" "$new" --target_lang "$target_lang"
    made "$pairs"
  fi
fi

# States of the frozen speech encoder and of the frozen language model: only stages 6 and 8 train on them. They
# may be deleted to save disk, and are made again when something has to be trained.
cache_states() { # [--deletable]
  if $dry_run && [ $# -eq 0 ]; then return; fi # shown before
  once "$encoder" --earlier here "$@" from "$raw" "$raw/$train_set" "$exp/lm_start" \
    by speech_encoder silence top_blocks -- \
    share features "$encoder" python -m comsl.bin.extract_features --raw "$raw" --sets "$train_set dev" \
    --speech_encoder "$speech_encoder" --silence "$silence" --top_blocks "$top_blocks" --language_model "$exp/lm_start"
  once "$teacher" --earlier here "$@" from "$raw" "$raw/$train_set" "$exp/lm" by target_lang -- \
    share teacher "$teacher" python -m comsl.bin.extract_teacher --raw "$raw" --sets "$train_set dev" \
    --language_model "$exp/lm" --target_lang "$target_lang"
  if $shards; then
    once "$sharded" --earlier here "$@" from "$raw" "$raw/$train_set" cached "$encoder" "$teacher" -- \
      python -m comsl.bin.write_shards --raw "$raw/$train_set" --encoder "$encoder/$train_set" \
      --teacher "$teacher/$train_set" --out "$sharded"
  fi
}

if run_stage 5 "features: states of the frozen speech encoder and of the frozen language model"; then
  cache_states --deletable
fi

if run_stage 6 "composite training: speech encoder frozen, then everything"; then
  start=$exp/lm # of the language blocks
  if ! $fine_tuned_lm; then start=$exp/lm_start; fi
  reads=("$raw" "$raw/$train_set" "$start" "$exp/lm" cached "$encoder" "$teacher")
  settings=(frozen_phase speech_encoder silence top_blocks target_lang override)
  options=(--train_set "$train_set" --encoder "$encoder" --teacher_states "$teacher" --top_blocks "$top_blocks"
    --language_model "$start" --teacher "$exp/lm"
    --speech_encoder_conf "model=$speech_encoder" --speech_encoder_conf "silence=$silence")
  if $shards; then options+=(--shards "$sharded") && settings+=(shards); fi
  if [ -n "$text_pairs" ]; then options+=(--text_pairs "$pairs") && reads+=("$pairs"); fi
  for file in $override; do options+=(--override "$file"); done
  stays_frozen=(--speech_encoder_conf trainable_blocks=0)
  from=() # the adapter starts at random
  if [ -z "$lm_size" ]; then reads+=("$exp/adapter.pth") from=(--init_param "$exp/adapter.pth"); fi
  case $frozen_phase in # how the main phase is trained
    some) main=(--config "$train_config" "${options[@]}" --init_param "$frozen") ;;
    none) main=(--config "$train_config" "${options[@]}" "${from[@]}" --further_phase "$frozen_config") ;;
    all) main=(--config "$frozen_config" "${options[@]}" "${from[@]}" "${stays_frozen[@]}" --further_phase "$train_config") ;;
  esac
  if [ "$frozen_phase" = some ]; then
    if to_make "$frozen" --earlier aside from "${reads[@]}" by frozen_config "${settings[@]}"; then
      cache_states
      check_trainings "$frozen_config" "$train_config"
      train frozen train --config "$frozen_config" "${options[@]}" "${from[@]}" "${stays_frozen[@]}" --output_dir "$frozen"
      made "$frozen"
    fi
    reads=("$frozen" "${reads[@]}")
  else
    settings+=(frozen_config)
  fi
  if to_make "$experiment" --earlier aside from "${reads[@]}" by train_config "${settings[@]}"; then
    cache_states
    train joint train "${main[@]}" --output_dir "$experiment"
    made "$experiment"
  fi
fi

if run_stage 7 "decoding: ST, and ASR and MT by the same model; likelihood of the references"; then
  once "$decoded" from "$raw" "$experiment" by test_set langs tasks decode_config -- \
    share decode OUT python -m comsl.bin.decode --model "$experiment" "${tested[@]}" --tasks "$tasks" \
    --decode_config "$decode_config"
  once "$decoded/${first_set}_${langs##* }/nll.st" --earlier keep from "$raw" "$experiment" by test_set langs -- \
    share likelihood "$decoded" python -m comsl.bin.likelihood --model "$experiment" "${tested[@]}"
  if $long_form; then
    once "$talks" from "$data" "$raw" "$experiment" by test_set langs decode_config -- \
      share talks OUT python -m comsl.bin.decode_talks --model "$experiment" --data "$data" "${tested[@]}" \
      --decode_config "$decode_config"
  fi
fi

if run_stage 8 "baselines: Whisper zero-shot and fine-tuned, cascade, MT on the true transcript"; then
  baseline=("${tested[@]}" --decode_config "$decode_config")
  once "$exp/whisper-zero-shot" from "$raw" by test_set langs target_lang decode_config whisper_model -- \
    share whisper OUT python -m comsl.bin.decode_whisper "${baseline[@]}" --target_lang "$target_lang" \
    --whisper_model "$whisper_model"
  if [ -n "$whisper_config" ]; then
    tuned=$exp/whisper_train # on the data of stage 6
    if ! $skip_train && to_make "$tuned" --earlier aside from "$raw" "$raw/$train_set" cached "$encoder" \
      by whisper_config whisper_model silence top_blocks target_lang; then
      cache_states
      train whisper_train train_whisper --config "$whisper_config" --train_set "$train_set" --encoder "$encoder" \
        --top_blocks "$top_blocks" --output_dir "$tuned" \
        --speech_encoder_conf "model=$whisper_model" --speech_encoder_conf "silence=$silence"
      made "$tuned"
    fi
    once "$tuned/whisper.pt" from "$tuned" -- python -m comsl.bin.export_whisper --model "$tuned" --out OUT
    once "$exp/whisper-fine-tuned" from "$raw" "$tuned/whisper.pt" by test_set langs decode_config silence -- \
      share whisper_fine_tuned OUT python -m comsl.bin.decode_whisper "${baseline[@]}" \
      --whisper_model "$tuned/whisper.pt" --silence "$silence"
  fi
  text=(--model "$exp/lm_train" "${baseline[@]}")
  once "$exp/cascade" from "$raw" "$translator" "$exp/whisper-zero-shot" by test_set langs decode_config -- \
    share cascade OUT python -m comsl.bin.decode "${text[@]}" --transcripts "$exp/whisper-zero-shot"
  once "$exp/mt-true-transcript" from "$raw" "$translator" by test_set langs decode_config -- \
    share mt OUT python -m comsl.bin.decode "${text[@]}" --tasks mt
fi

if run_stage 9 "scores and report"; then
  systems=(--system "comsl=$decoded") shown=("$decoded") trained=() tuned=
  if [ -n "$whisper_config" ]; then tuned=whisper-fine-tuned; fi
  if $long_form; then systems+=(--system "comsl-long-form=$talks") && shown+=("$talks"); fi
  for system in whisper-zero-shot $tuned cascade mt-true-transcript; do
    if [ -d "$exp/$system" ]; then systems+=(--system "$system=$exp/$system") && shown+=("$exp/$system"); fi
  done
  if [ "$frozen_phase" = some ]; then trained=(--experiment "$frozen"); fi
  once "$report/results.json" --earlier keep from "$raw" "${shown[@]}" "$experiment" "$exp/lm_start" \
    by recipe test_set langs target_lang metrics comet_model published -- \
    python -m comsl.bin.score --recipe "$recipe" "${tested[@]}" "${systems[@]}" \
    --data "$data" --target_lang "$target_lang" --metrics "$metrics" --comet_model "$comet_model" --ngpu "$ngpu" \
    ${published:+--published "$published"} "${trained[@]}" --experiment "$experiment" \
    --language_model "$exp/lm_start" --out "$report" --command "$user_command"
fi

if run_stage 10 "analysis: similarity of speech and text"; then
  once "$exp/alignment" from "$raw" by test_set langs whisper_model -- \
    share alignment OUT python -m comsl.bin.align_words "${tested[@]}" --set "$first_set" --whisper_model "$whisper_model"
  once "$experiment/similarity" from "$raw" "$experiment" "$exp/alignment" by test_set langs compare_with -- \
    share similarity OUT python -m comsl.bin.similarity "${tested[@]}" --set "$first_set" \
    --alignment "$exp/alignment" --model "$experiment" ${compare_with:+--compare_with "$compare_with"}
  once "$report/similarity.json" --earlier keep from "$experiment/similarity" by test_set langs -- \
    python -m comsl.bin.draw_similarity --set "$first_set" --langs "$langs" \
    --similarity "$experiment/similarity" --out "$report"
fi

if run_stage 11 "the model packed, with its card, as a folder for the Hugging Face hub"; then
  reads=("$experiment") card=()
  scores=$report/results.json about=$(dirname "$data_sh")/../card.md
  if [ -f "$scores" ]; then reads+=("$scores") card+=(--report "$scores"); fi
  if [ -f "$about" ]; then reads+=("$about") card+=(--about "$about"); fi
  once "$experiment/packed" from "${reads[@]}" -- \
    python -m comsl.bin.pack --model "$experiment" "${card[@]}" --out OUT
fi

if run_stage 12 "the packed model uploaded to the Hugging Face hub"; then
  python -m comsl.bin.push --model "$experiment/packed" --hf_repo "$hf_repo"
fi

end_stage
if [ "$stop_stage" -ge 9 ] && [ -f "$report/index.html" ] && ! $dry_run; then
  sed -n '/^## BLEU$/,/^Signature/p' "$report/RESULTS.md"
  echo "report: $report/index.html"
fi
