#!/usr/bin/env bash
# Stage 1: recorded speech in Debian's packages, sentence pairs of Debian's texts spoken by free voices, and as test set
# the dev prompts of egs2/asterisk. Usage: data.sh --out data/debian_speech --langs "es fr it ru" [--pico 22000]
# [--kokoro 2000] [--rhvoice 21000], which is how many sentences of a language each of these says
set -euo pipefail

out='' langs='' pico=22000 kokoro=2000 rhvoice=21000
while [ $# -gt 0 ]; do
  case $1 in
    --out | --langs | --pico | --kokoro | --rhvoice) printf -v "${1#--}" '%s' "${2?$1 needs a value}" ;;
    *) echo "error: unknown option $1" >&2 && exit 1 ;;
  esac
  shift 2
done
texts=data/debian_l10n prompts=data/asterisk spoken=${out}_spoken
near=$prompts/train_${langs##* }/text.tgt # half of what is spoken is to be like the prompts for training

[ -d "$prompts/dev_${langs##* }" ] || egs2/asterisk/comsl1/local/data.sh --out "$prompts" --langs "$langs"
[ -d "$texts/train_${langs##* }" ] || egs2/debian_l10n/mt1/local/data.sh --out "$texts" --langs "$langs"
python -m comsl.bin.list_prompts --out downloads/asterisk_prompts.txt --corrections egs2/asterisk/comsl1/local/corrections.tsv
python -m comsl.bin.prepare_debian_speech --exclude downloads/asterisk_prompts.txt --out "$out" --langs "$langs"

# speak ENGINE NUMBER LANGUAGES: so many pairs of those languages that are wanted
speak() {
  local lang wanted=""
  for lang in $langs; do [[ " $3 " != *" $lang "* ]] || wanted+=" $lang"; done
  [ -z "$wanted" ] || python -m comsl.bin.speak_pairs --engine "$1" --number "$2" --langs "$wanted" --max_words 20 \
    --pairs "$texts" --near "$near" --out "$spoken/$1"
}
speak rhvoice "$rhvoice" "ru" # first, since its library may be missing
speak pico "$pico" "es fr it"
speak kokoro "$kokoro" "es fr it"

for lang in $langs; do
  python -m comsl.bin.combine_sets --out "$out/spoken_$lang" "$spoken"/*/"spoken_$lang"
  cp -r "$prompts/dev_$lang" "$out/test_$lang"
done
