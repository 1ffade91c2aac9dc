#!/usr/bin/env bash
# Stage 1 of a trial (run_trials.sh): an hour of training speech of one kind; the prompts' dev set, which no trial trains
# on, is dev and test. Usage: data_trial.sh --out data/debian_speech_pico --langs "es fr" --speech pico
set -euo pipefail

out=$2 langs=$4 speech=$6
corpus=data/debian_speech texts=data/debian_l10n near=data/asterisk/train_fr/text.tgt
festvox=dump/debian_speech/raw/untranslated_pseudo # recordings with the translations of stage 4

# say ENGINE NUMBER PAIRS OPTIONS: so many pairs of a folder become the training set
say() {
  python -m comsl.bin.speak_pairs --engine "$1" --number "$2" --langs "$langs" --pairs "$3" --out "${out}_spoken" "${@:4}"
  for lang in $langs; do cp -rT "${out}_spoken/spoken_$lang" "$out/train_$lang"; done
}

mkdir -p "$out"
for lang in $langs; do
  cp -rT "$corpus/test_$lang" "$out/dev_$lang"
  cp -rT "$corpus/test_$lang" "$out/test_$lang"
done
case $speech in
  festvox) python -m comsl.bin.combine_sets --out "$out/train_ru" $festvox ;;
  festvox_*) # its texts by another voice
    mkdir -p "$out.texts"
    cp -rT $festvox "$out.texts/train_ru"
    say "${speech#festvox_}" 470 "$out.texts" --min_words 1 --max_words 60
    ;;
  any) say pico 480 $texts --max_words 20 ;;
  many) say pico 4800 $texts --max_words 20 --near $near ;;
  *) say "$speech" 480 $texts --max_words 20 --near $near ;; # by an engine
esac
