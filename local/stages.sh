# Sourced by run.sh: what all stages, and all things that they make, have in common.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # variables of run.sh, and for it

running='' # the stage that runs
exec 3>&1 4>&2

# run_stage N TITLE: whether the stage is to be run. It is announced, and its output goes to a log too.
run_stage() {
  end_stage
  if [ "$1" -lt "$stage" ] || [ "$1" -gt "$stop_stage" ]; then return 1; fi
  echo "stage $1: $2"
  if [[ " $skip_stages " == *" $1 "* ]]; then
    echo "stage $1: skipped"
    return 1
  fi
  if $dry_run; then return; fi
  mkdir -p "$exp/logs"
  running=$1 started=$SECONDS stage_log=$exp/logs/stage$1.log
  exec > >(tee -i "$stage_log" >&3) 2>&1
  tee=$!
}

end_stage() {
  if [ -z "$running" ]; then return; fi
  exec >&3 2>&4
  wait "$tee"
  echo "stage $running: done in $((SECONDS - started)) s"
  running=
}

# What a process has started, and what that has, each before its own.
processes_below() { # PID
  local pid
  for pid in $(pgrep -P "$1"); do echo "$pid" && processes_below "$pid"; done
}

on_exit() {
  local pid
  if [ -z "$running" ]; then return; fi
  exec >&3 2>&4
  for pid in $(processes_below $$); do # a signal to this script alone leaves them running
    if [ "$pid" != "$tee" ]; then kill "$pid" 2>/dev/null || true; fi
  done
  wait "$tee" 2>/dev/null || true
  echo "error: stage $running failed after $((SECONDS - started)) s, its log $stage_log ends with:" >&2
  tail -n 5 "$stage_log" | sed 's/^/  /' >&2
}
trap on_exit EXIT

# What a recipe's db.sh, if it has one, sets (lines NAME=...); the environment may set it too.
corpus_folders() (
  if [ ! -f "$1" ]; then return; fi
  # shellcheck disable=SC1090
  . "$1"
  grep -oE '^[A-Z0-9_]+' "$1" | while read -r name; do echo "$name=${!name}"; done
)

# to_make OUT [--earlier here|keep|aside] [--deletable] [from THING...] [cached THING...] [by OPTION|NAME=VALUE...]:
# whether OUT has still to be made, of these things and by these settings (comsl/made.py). What makes it writes to $new;
# `made OUT` then says that it is whole. Two runs at once share the work: the second waits for the first.
declare -A locks
to_make() {
  local out=$1 word words=() group='' status=0 root file
  new=$out
  if $dry_run; then return; fi
  for word in "${@:2}"; do
    case $group:$word in
      *:from | *:cached | *:by) group=$word && word=--$word ;;
      by:*=*) ;;
      by:*) word=$word=${!word} ;;
    esac
    words+=("$word")
  done
  for root in "$datadir" "$dumpdir" "$expdir"; do
    if [[ $out == "$root"/* ]]; then break; fi
  done
  file=${out#"$root/"} file=$root/.locks/${file//\//_} # beside what runs share, however its path is written
  if { mkdir -p "$root/.locks" && : >>"$file"; } 2>/dev/null; then
    exec {lock}>>"$file"
  else
    exec {lock}<<<'' # somebody else's folder: nothing to share
  fi
  locks[$out]=$lock
  if ! flock -n "$lock"; then
    echo "$out: another run is at it, waiting for that"
    flock "$lock"
  fi
  new=$(python -m comsl.bin.made "$out" "${words[@]}" 2>&4) || status=$?
  case $status in
    0) return ;;
    3) echo "$out: up to date" && unlock "$out" && return 1 ;;
    *) running='' && exit 1 ;; # it has said why
  esac
}

made() {
  if $dry_run; then return; fi
  python -m comsl.bin.made "$1" --finish
  unlock "$1"
}

unlock() { lock=${locks[$1]} && exec {lock}>&-; }

# once OUT [as to_make] -- COMMAND...: what one command makes; the word OUT in it is where to write.
once() {
  local out=$1 word wanted=() command=()
  while [ "$1" != -- ]; do wanted+=("$1") && shift; done
  if to_make "${wanted[@]}"; then
    for word in "${@:2}"; do
      if [ "$word" = OUT ]; then word=$new; fi
      command+=("$word")
    done
    "${command[@]}"
    made "$out"
  fi
}
