#!/usr/bin/env bash
# Stage 1 for the ablation's row of pseudo data: the prompts, and as untranslated speech festvox-ru in place of the
# prompts' own: 66 minutes within 12 s in place of 1.4. The pretrained model has heard them.
#   egs2/asterisk/comsl1/run.sh --study ablation --study_rows "7_cml 8_pseudo" --study_folds 0 --max_dropped 0.1 \
#     --datadir data/festvox --dumpdir dump/festvox --expdir exp/festvox \
#     --data_sh egs2/asterisk/comsl1/local/data_festvox.sh
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}") out=$2 recordings=${2}_recordings
"$here/data.sh" "$@"
python -m comsl.bin.list_prompts --out downloads/asterisk_prompts.txt --corrections "$here/corrections.tsv"
python -m comsl.bin.prepare_debian_speech --exclude downloads/asterisk_prompts.txt --out "$recordings" --langs ru
rm -r "$out"/untranslated_*
cp -r "$recordings/untranslated_ru" "$out"
