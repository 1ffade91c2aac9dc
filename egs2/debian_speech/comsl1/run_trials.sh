#!/usr/bin/env bash
# Small trainings that differ in one thing, to find out what helps before the hours of pretraining: RESULTS.md has what
# came of them. After run.sh --stop_stage 4. Usage: run_trials.sh [options of run.sh]
set -euo pipefail
here=$(dirname "$0")

# trial NAME SPEECH LANGUAGES OPTIONS: local/data_trial.sh says what it trains on
trial() {
  "$here/run.sh" --recipe "debian_speech_$2" --data_sh "$here/local/data_trial.sh" --local_data_opts "--speech $2" \
    --langs "$3" --pseudo_set '' --further_sets '' --text_pairs '' --tag "$1" --stop_stage 6 \
    --frozen_config "$here/conf/trial.yaml" --train_config "$here/conf/trial.yaml" "${@:4}"
}

# Recognition alone: voices and sentences
asr=(--override "$here/conf/trials/asr.yaml")
for speech in pico many espeak; do
  trial $speech $speech "es fr" "${asr[@]}" "$@"
done
for speech in festvox festvox_rhvoice; do
  trial $speech $speech ru "${asr[@]}" "$@"
done
for speech in any kokoro; do
  trial $speech $speech "es fr" "${asr[@]}" "$@"
done
augmented=(--dumpdir dump/augmented --expdir exp/augmented --augmented_copies 1)
trial pico_augmented pico "es fr" "${asr[@]}" "${augmented[@]}" "$@"
trial festvox_augmented festvox ru "${asr[@]}" "${augmented[@]}" "$@"

# Objectives
trial all many "es fr" "$@"
for change in no_teacher cml adapter_alone; do
  trial $change many "es fr" --override "$here/conf/trials/$change.yaml" "$@"
done
