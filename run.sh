#!/usr/bin/env bash
# The stage script: every recipe of egs2/ runs through it, each with its settings as options. Started by itself it runs
# egs2/asterisk/comsl1. Paths are relative to the top of the repository, wherever it is started from.
# What is made is skipped: comsl/made.py says when. Delete a thing, and it is made again.
# shellcheck disable=SC2034 # options that only functions or Python read
set -euo pipefail
shopt -s nullglob # a corpus of text alone has no test set
printf -v user_command '%q ' ./run.sh "$@" # for the report
cd "$(dirname "$0")"

# Where and how to run
stage=1 stop_stage=11    # first and last stage to run; 12 uploads the model
skip_stages=             # stages to leave out, such as "4 8"
skip_train=false         # leave out the training stages, 3 and 6, and the training in stage 8
dry_run=false            # print the commands, and what would be submitted, instead of running them
ngpu=0 num_nodes=1       # GPUs on each machine that trains, 0 runs on the CPU; machines, through the queue of cmd.sh
inference_nj=1           # jobs that share decoding, cached states and pseudo translation, each on a GPU of its own
deepspeed_config=        # train with DeepSpeed, with settings such as conf/deepspeed/zero2.json
auto_batch=false         # trainings find the largest batches that a GPU takes; updates keep their size
nj=$(nproc)              # parallel processes that prepare data
datadir=data dumpdir=dump expdir=exp # prepared corpora, features, and results go to <folder>/<recipe>

# Data
recipe=                  # name of the recipe, and of its folders
data_sh='' local_data_opts='' # the recipe's data preparation, and further options of it
langs='' target_lang=en  # source languages, Common Voice codes such as "fr it", that of the translations, or several (utt2target)
test_set="test"          # sets to decode and score; further ones need not be there in every language
text_only=false          # a corpus without speech, from which stages 1 and 3 make a language model
tsv=                     # table of a corpus of your own, see egs2/tsv/comsl1
pseudo_set=              # set of transcribed speech to translate into further training data
shards=false             # composite training reads shards in sequence: for thousands of hours (stages 5 and 6)
further_sets=            # sets of stage 1 to train the composite model on too, such as "untranscribed"
min_duration=0.1 max_duration=30.0 # of a clip, in seconds; the speech encoder's window is 30
max_dropped=0.05         # share of clips that may be unusable before stage 2 fails
augmented_copies=0       # further copies of the training set as over telephones, in rooms, with noise
speed_factors=           # further copies of the training set at these speeds, such as "0.9 1.1"

# Models and their training
speech_encoder=base      # Whisper's name, or wav2vec 2.0, HuBERT, w2v-BERT 2.0, distil-whisper: hub id or folder
whisper_model=           # of the baselines and of word alignment (stages 8 and 10), where it is not the speech encoder
silence=0.5              # seconds of silence that the speech encoder hears after a clip's end
top_blocks=0             # of its blocks, how many run in training, on cached states from below them (stage 5)
language_model='' lm_size='' # mBART, M2M-100, NLLB or packed ComSL model to start from; or mBART's size as JSON, for a new one
init_model=              # packed ComSL model that composite training starts from: a folder or hub id (stage 6)
lm_config='' lm_share=1.0 # training of the language model (stage 3); share of its weights as trained: less forgets less
fine_tuned_lm=true       # the language blocks start from stage 3's model; false: from what that started from
frozen_config='' train_config='' # composite training, frozen and joint phase, which names the experiment (stage 6)
frozen_phase=some        # how much of the two phases the speech encoder stays frozen: none, some or all
whisper_config=          # training of Whisper itself, as one more baseline (stage 8)
override=                # files of what changes against all these, such as conf/modality_gap/waco.yaml
tag=                     # the experiment's name, in place of train_config's and override's

# Decoding, scores, analysis
tasks="st asr mt"        # what stage 7 does with the test set
decode_config=conf/decode.yaml # beam and batch (stages 7 and 8)
long_form=false          # also translate the test set's whole talks, cut to its segments afterwards (stage 7)
metrics="bleu chrf"      # of translations; comet too, where comet-score is installed (stage 9)
comet_model=Unbabel/wmt22-comet-da # COMET's, its name on the hub or a checkpoint's file
published=               # results of others on the same test sets, to be shown beside these (stage 9)
compare_with=            # a trained experiment whose similarity stands beside this one's (stage 10)
hf_repo=                 # where on the Hugging Face hub stage 12, if it is asked for, puts the model: "name/model"

# A study: rows, conf/<study>/<row>.yaml, trained, decoded and compared in place of one model
study='' study_rows=''   # ablation or modality_gap; some of its rows only, such as "1_st 2_mt"
study_opts='' study_folds='' # further options of every row; splits of the corpus whose test sets are pooled, "0 1 2"

. local/parse_options.sh
. ./path.sh
. ./cmd.sh
if [ -n "$override" ]; then # what its files say under `run`
  # shellcheck disable=SC2086 # several files
  changes=$(python -m comsl.bin.overrides $override)
  read_settings <(echo "$changes")
fi
read -r override <<<"$override" # blanks around it name nothing
read -r langs <<<"$langs"
if $text_only && [ "$stop_stage" -gt 3 ]; then stop_stage=3; fi
if [ "$num_nodes" -gt 1 ] && [ "$cmd_backend" = local ] && ! $dry_run; then
  die "--num_nodes $num_nodes needs a queue of machines, such as cmd_backend=slurm: see cmd.sh"
fi
gpus=$ngpu # that must be here
if [ "$cmd_backend" != local ] || $dry_run; then gpus=0; fi
python -m comsl.bin.check_options "$(options_in_use)" --gpus "$gpus"
. local/stages.sh

whisper_model=${whisper_model:-$speech_encoder}
data=$datadir/$recipe
raw=$dumpdir/$recipe/raw
if $text_only; then raw=$data; fi
exp=$expdir/$recipe

train_set=train # of the composite model
if [ -n "$pseudo_set" ]; then train_set+=_with_pseudo; fi
for set in $further_sets; do train_set+=_and_$set; done
encoder=$dumpdir/$recipe/encoder${train_set#train}
if [ "$top_blocks" -gt 0 ]; then encoder+=_below_top_$top_blocks; fi
teacher=$dumpdir/$recipe/teacher${train_set#train}
sharded=$dumpdir/$recipe/shards_of_$(basename "$encoder")

# conf/train_asterisk_joint.yaml and conf/modality_gap/waco.yaml are asterisk_joint_modality_gap_waco.
experiment_name() {
  local name changed=${override##* } # the last one
  name=$(basename "${1#*train_}" .yaml)
  if [ -n "$changed" ]; then name+=_$(basename "$(dirname "$changed")")_$(basename "$changed" .yaml); fi
  echo "$name"
}
experiment=$exp/${tag:-$(experiment_name "$train_config")}
frozen=$exp/$(experiment_name "$frozen_config")
if [ -n "$tag" ] || [ "$frozen" = "$experiment" ]; then frozen=${experiment}_frozen; fi
translator=$exp/lm_train/interpolated.pth # of text
decoded=$experiment/$(basename "$decode_config" .yaml)
talks=${decoded}_long_form
report=$exp/report
if [ -n "$override$tag" ]; then report=$experiment/report; fi
first_set=${test_set%% *} # cards, studies and stage 10 are of this one
tested=(--raw "$raw" --set "$test_set" --langs "$langs")

if [ -n "$study" ]; then
  exec python -m comsl.bin.run_study --options "$(options_in_use)" --decode "$(basename "$decoded")" \
    --command "$user_command" -- "$@"
fi

launch="command python -m espnet2.bin.launch" # for a dry run too: it shows what the queue would get
if [ "$cmd_backend" = local ]; then launch=${launch#command }; fi
show=
if $dry_run; then
  print_command() { printf '%q ' "$@" && echo; }
  show=print_command
  cuda_cmd+=" --dry_run"
  python() { print_command python "$@"; }
fi
if [ "$train_set" = train ]; then skip_stages+=" 4"; fi
if $skip_train; then skip_stages+=" 3 6"; fi
if $text_only; then skip_stages+=" 2"; fi

# train LOG TOOL OPTIONS...: an ESPnet training, on one machine or many, from its last checkpoint where it has one.
train() {
  local command=(python -m "comsl.bin.$2" --resume true --target_lang "$target_lang" --raw "$raw" "${@:3}")
  if [ -n "$deepspeed_config" ]; then command+=(--use_deepspeed true --deepspeed_config "$deepspeed_config"); fi
  if $auto_batch; then command+=(--auto_batch true); fi
  if [ "$num_nodes" -eq 1 ]; then
    if [ "$ngpu" -gt 1 ]; then command+=(--multiprocessing_distributed true); fi # a process for each
    $cuda_cmd --gpu "$ngpu" "$exp/logs/$1.log" "${command[@]}" --ngpu "$ngpu"
  else
    $launch --cmd "$cuda_cmd" --log "$exp/logs/$1.log" --ngpu "$ngpu" --num_nodes "$num_nodes" \
      --init_file_prefix "$(realpath -m "$exp")/.dist_init_" -- "${command[@]}"
  fi
}

# What a training can't be is said before the first of them runs.
check_trainings() {
  # shellcheck disable=SC2086 # several files, or none
  python -m comsl.bin.check_trainings "$@" ${whisper_config:+--whisper "$whisper_config"} ${override:+--override $override}
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
  once "$raw" --earlier keep from "$data" \
    by langs min_duration max_duration max_dropped speed_factors augmented_copies -- \
    python -m comsl.bin.prepare_speech --data "$data" --out "$raw" --langs "$langs" --nj "$nj" \
    --min_duration "$min_duration" --max_duration "$max_duration" --max_dropped "$max_dropped" \
    --speed_factors "$speed_factors" --augmented_copies "$augmented_copies" --speech_encoder "$speech_encoder"
fi

if run_stage 3 "language model: fine-tuning on paired text"; then
  for set in $pseudo_set $further_sets; do # before the hours until they are read
    $dry_run || [ -d "$raw/$set" ] ||
      die "there is no set $raw/$set: correct --pseudo_set or --further_sets, or have stage 1 make it"
  done
  if [ -n "$lm_size" ]; then
    once "$exp/lm_start" from "$raw" by lm_size langs target_lang -- \
      python -m comsl.bin.train_tokenizer --data "$raw/train" --config "$lm_size" \
      --langs "$langs $target_lang" --out OUT
  else
    once "$exp/lm_start" by language_model langs target_lang -- \
      python -m comsl.bin.add_languages --language_model "$language_model" --langs "$langs $target_lang" --out OUT
  fi
  if [ -n "$init_model" ]; then
    once "$exp/start.pth" from "$exp/lm_start" by init_model speech_encoder -- \
      python -m comsl.bin.export_start --model "$init_model" --speech_encoder "$speech_encoder" \
      --language_model "$exp/lm_start" --out OUT
  fi
  test_sets=()
  for set in $test_set; do test_sets+=("$raw/$set"_*); done
  once "$raw/train/source_shape" --earlier keep from "$raw" "$exp/lm_start" by test_set target_lang -- \
    python -m comsl.bin.token_lengths --language_model "$exp/lm_start" "$raw/train" "$raw/dev" \
    --target_lang "$target_lang" --test "${test_sets[@]}"
  if to_make "$exp/lm_train" --earlier aside from "$raw" "$exp/lm_start" by lm_config target_lang; then
    # shellcheck disable=SC2086 # or none, of text alone
    check_trainings "$lm_config" $frozen_config $train_config
    train lm train --config "$lm_config" --train_set train --language_model "$exp/lm_start" --output_dir "$exp/lm_train"
    made "$exp/lm_train"
  fi
  once "$translator" from "$exp/lm_train" "$exp/lm_start" by lm_share -- \
    python -m comsl.bin.interpolate --model "$exp/lm_train" --start "$exp/lm_start" --share "$lm_share" --out OUT
  once "$exp/lm" from "$translator" -- python -m comsl.bin.export_lm --model "$exp/lm_train" --out OUT
fi

if run_stage 4 "further training data: pseudo translations, sets of stage 1"; then
  sets=("$raw/train")
  if [ -n "$pseudo_set" ]; then
    pseudo=$raw/${pseudo_set}_pseudo
    once "$pseudo" from "$raw" "$translator" by test_set -- \
      share pseudo OUT python -m comsl.bin.translate_text --model "$exp/lm_train" --raw "$raw" \
      --data "$raw/$pseudo_set" --held_out "dev $test_set"
    sets+=("$pseudo")
  fi
  for set in $further_sets; do sets+=("$raw/$set"); done
  if to_make "$raw/$train_set" from "${sets[@]}" "$exp/lm_start" by test_set target_lang; then
    python -m comsl.bin.combine_sets --held_out "dev $test_set" --out "$new" "${sets[@]}"
    python -m comsl.bin.token_lengths --language_model "$exp/lm_start" "$new" --target_lang "$target_lang"
    made "$raw/$train_set"
  fi
fi

# States of the frozen speech encoder and of the frozen language model: only stages 6 and 8 train on them. Deleted to
# save disk, they are made again when something has to be trained.
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
  if [ -n "$init_model" ]; then start=$init_model; fi
  settings=(frozen_phase speech_encoder silence top_blocks target_lang override)
  options=(--train_set "$train_set" --encoder "$encoder" --teacher_states "$teacher" --top_blocks "$top_blocks"
    --language_model "$start" --teacher "$exp/lm"
    --speech_encoder_conf "model=$speech_encoder" --speech_encoder_conf "silence=$silence")
  if $shards; then options+=(--shards "$sharded") && settings+=(shards); fi
  for file in $override; do options+=(--override "$file"); done
  stays_frozen=(--speech_encoder_conf trainable_blocks=0)
  from=() # the adapter starts at random
  if [ -n "$init_model" ]; then reads+=("$exp/start.pth") from=(--init_param "$exp/start.pth"); fi
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
  whisper_tasks="st asr"
  if [ "$target_lang" != en ]; then
    echo "Whisper translates into English only: no whisper-zero-shot translation into '$target_lang'"
    whisper_tasks=asr # for the cascade
  fi
  baseline=(--raw "$raw" --sets "$test_set" --langs "$langs" --decode_config "$decode_config")
  once "$exp/whisper-zero-shot" from "$raw" by test_set langs whisper_tasks decode_config whisper_model -- \
    share whisper OUT python -m comsl.bin.decode_whisper "${baseline[@]}" --tasks "$whisper_tasks" \
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
    once "$exp/whisper-fine-tuned" from "$raw" "$tuned/whisper.pt" by test_set langs decode_config -- \
      share whisper_fine_tuned OUT python -m comsl.bin.decode_whisper "${baseline[@]}" \
      --whisper_model "$tuned/whisper.pt"
  fi
  text=(--model "$exp/lm_train" "${tested[@]}" --decode_config "$decode_config")
  once "$exp/cascade" from "$raw" "$translator" "$exp/whisper-zero-shot" by test_set langs decode_config -- \
    share cascade OUT python -m comsl.bin.decode "${text[@]}" --transcripts "$exp/whisper-zero-shot"
  once "$exp/mt-true-transcript" from "$raw" "$translator" by test_set langs decode_config -- \
    share mt OUT python -m comsl.bin.decode "${text[@]}" --tasks mt
fi

if run_stage 9 "scores and report"; then
  systems=(--system "comsl=$decoded") shown=("$decoded") trained=()
  if $long_form; then systems+=(--system "comsl-long-form=$talks") && shown+=("$talks"); fi
  for system in whisper-zero-shot whisper-fine-tuned cascade mt-true-transcript; do
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
  scores=$report/results.json about=$(dirname "$data_sh")/card.md
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
