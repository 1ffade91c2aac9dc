#!/usr/bin/env bash
# Stage 1 for the ablation's row of pseudo data: the prompts, and as untranslated speech an hour and a half of Russian
# (festvox-ru) in place of the prompts' minute and a half. Usage: data_festvox.sh --out data/festvox/asterisk --langs "es fr it ru"
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}") out=$2 recordings=${2}_recordings
"$here/data.sh" "$@"
python -m comsl.bin.list_prompts --out downloads/asterisk_prompts.txt --corrections "$here/corrections.tsv"
python -m comsl.bin.prepare_debian_speech --exclude downloads/asterisk_prompts.txt --out "$recordings" --langs ru
rm -r "$out"/untranslated_*
cp -r "$recordings/untranslated_ru" "$out"
