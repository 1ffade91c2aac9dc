#!/usr/bin/env bash
# The recipe on three splits of the prompts, whose test sets have no sentence in common, and one report of the three
# together: exp/asterisk/report/folds. 15 to 30 minutes a split. Usage: run_folds.sh [options of run.sh]
set -euo pipefail
cd "$(dirname "$0")/../../.."

case " $* " in *" --help "*) exec ./run.sh --help ;; esac
show=
case " $* " in *" --dry_run true "*) show='echo' ;; esac
for option in recipe langs local_data_opts datadir dumpdir expdir tag override train_config decode_config test_set; do
  case " $* " in *" --$option "*) echo "error: the report of the splits can't follow --$option: leave it out" >&2 && exit 1 ;; esac
done
folds=()
for fold in 0 1 2; do
  recipe=asterisk split=()
  if [ "$fold" -gt 0 ]; then recipe+=_fold$fold split=(--recipe "$recipe" --local_data_opts "--fold $fold"); fi
  ./run.sh "${split[@]}" --stop_stage 9 "$@"
  folds+=(--fold "dump/$recipe/raw" "exp/$recipe")
done

. ./path.sh
pooled=exp/asterisk/folds parts=() whole=()
for name in comsl whisper-zero-shot cascade mt-true-transcript; do
  folder=$name
  if [ $name = comsl ]; then folder=asterisk_joint/decode; fi
  parts+=(--system "$name=$folder") whole+=(--system "$name=$pooled/$name")
done
$show python -m comsl.bin.pool_folds "${folds[@]}" --langs "es fr it ru" "${parts[@]}" --out $pooled
$show python -m comsl.bin.score --recipe "asterisk, three folds" --raw $pooled/raw --langs "es fr it ru" "${whole[@]}" \
  --out exp/asterisk/report/folds --command "egs2/asterisk/comsl1/run_folds.sh $*"
