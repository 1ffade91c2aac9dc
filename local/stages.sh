# Sourced by run.sh: runs one stage with its announcement, log and elapsed time, or skips it where its work is done.
# A stage N is the function stage_N, with needs[N], the stages it reads from (`8?`: only where made), and makes[N],
# the paths that are there once it is complete (they appear last, by renaming), and check_N, if there is one, dies where
# it had better not start.
# shellcheck shell=bash
# shellcheck disable=SC2154 # the options and arrays of run.sh

# The stages that run.sh describes, as lines `number text`.
list_stages() { sed -n 's/^# Stage \([0-9]*\): /\1 /p' run.sh; }

title() { list_stages | sed -n "s/^$1 //p"; }

check_range() {
  local number
  for number in "$@"; do
    [ -n "$(title "$number")" ] || die "there is no stage $number: --help lists the stages"
  done
  [ "$1" -le "$2" ] || die "nothing to do from --stage $1 to --stop_stage $2"
}

# Beside the first thing that the stage makes, so that every experiment has its own.
stamp() {
  local first=${makes[$1]%% *}
  echo "$(dirname "$first")/.$(basename "$first").done"
}

is_complete() {
  local path
  for path in ${makes[$1]}; do
    [ -e "$path" ] || return 1
  done
}

is_skipped() { [[ " $skip_stages " == *" $1 "* ]]; }

# The options, of those under `what`, that a function names.
options_of() {
  local name body
  body=$(declare -f "$1")
  for name in $(option_names what); do
    if [[ $body =~ \$\{?$name([^a-z_]|$) ]]; then echo "$name"; fi
  done
}

# What a recipe's db.sh, if it has one, sets; the environment may set it too.
corpus_folders() (
  [ -f "$1" ] || return 0
  # shellcheck disable=SC1090
  . "$1"
  sed -n 's/^\([A-Z0-9_]*\)=.*/\1/p' "$1" | while read -r name; do echo "$name=${!name}"; done
)

# fingerprint FUNCTION [STAGE]...: what a function's result depends on, as one hash: its options, the content of the files
# and folders that they name, and which run of the stages it reads from.
fingerprint() {
  local name need file
  {
    for name in $(options_of "$1"); do
      echo "$name=${!name}"
      for file in "${!name}" ${!name}; do # one, whose name may have spaces, or several
        if [ -f "$file" ]; then sha256sum <"$file"; fi
      done
      # Data preparation reads what lies beside it, such as lists of corrections.
      if [ "$name" = data_sh ]; then
        cat "$(dirname "$data_sh")"/* | sha256sum
        corpus_folders "$(dirname "$data_sh")/../db.sh"
      fi
      if [ -d "${!name}" ]; then find "${!name}" -type f -printf '%P %s %T@\n' | sort; fi
    done
    for need in "${@:2}"; do
      cat "$(stamp "$need")" 2>/dev/null || true
    done
  } | sha256sum | cut -d ' ' -f 1
}

check_files() {
  local name
  for name in $(options_of "stage_$1"); do
    [[ $name =~ _(config|sh)$ && -n ${!name} ]] || continue
    [ -f "${!name}" ] || die "--$name: there is no file ${!name} (paths are relative to $PWD)"
  done
}

check_needs() {
  local need path
  for need in ${needs[$1]}; do
    if [[ $need == *\? ]]; then continue; fi
    for path in ${makes[$need]}; do
      [ -e "$path" ] || die "stage $1 needs $path, which stage $need makes: run with --stage $need first"
    done
  done
}

# resume_or_set_aside FOLDER [INPUTS]: a training that began from other data or settings, the stage's where no others
# are given, must not be resumed: its folder is kept under another name.
resume_or_set_aside() {
  local folder=$1 inputs aside
  if ${dry_run:-false}; then return; fi
  inputs=${2:-$stage_inputs}
  if [ -d "$folder" ] && [ "$(cat "$folder/.began_from" 2>/dev/null)" != "$inputs" ]; then
    aside=$folder.$(date +%Y%m%d-%H%M%S)
    echo "data or settings have changed since $folder began: it is now $aside"
    mv "$folder" "$aside"
  fi
  mkdir -p "$folder"
  echo "$inputs" >"$folder/.began_from"
}

# The function in a subshell under `set -e`, its output on the terminal and in the log.
run_logged() {
  local log=$2 status started=$SECONDS
  set +e
  (
    set -e
    "stage_$1"
  ) 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  set -e
  if [ "$status" -ne 0 ]; then
    echo "error: stage $1 failed after $((SECONDS - started)) s, its log $log ends with:" >&2
    tail -n 5 "$log" | sed 's/^/  /' >&2
    exit 1
  fi
  echo "stage $1: done in $((SECONDS - started)) s"
}

# Two runs at once, or what a killed one has left running, must not write the same files. Processes that the stage
# starts hold the lock too.
lock_stage() {
  mkdir -p "$exp/logs"
  exec {stage_lock}>"$exp/logs/stage$1.lock"
  if ! flock -n "$stage_lock"; then
    echo "stage $1: another run is at it, waiting for that"
    flock "$stage_lock"
  fi
}

is_up_to_date() { is_complete "$1" && [ "$(head -n 1 "$2" 2>/dev/null)" = "$stage_inputs" ]; }

run_stage() {
  local mark
  mark=$(stamp "$1")
  echo "stage $1: $(title "$1")"
  if is_skipped "$1"; then
    echo "stage $1: skipped"
    return
  fi
  if ${dry_run:-false}; then # its commands print themselves
    "stage_$1"
    return
  fi
  check_needs "$1"
  if declare -F "check_$1" >/dev/null; then "check_$1"; fi
  # shellcheck disable=SC2086 # several stages
  stage_inputs=$(fingerprint "stage_$1" ${needs[$1]//\?/})
  lock_stage "$1"
  if is_up_to_date "$1" "$mark"; then
    echo "stage $1: up to date"
  else
    rm -f "$mark" # a failure may leave something half-changed
    run_logged "$1" "$exp/logs/stage$1.log"
    is_complete "$1" || die "stage $1 ended without making all of ${makes[$1]}"
    # The time tells later stages that this one has run anew.
    printf '%s\n%s\n' "$stage_inputs" "$(date +%s.%N)" >"$mark"
  fi
  exec {stage_lock}>&-
}

run_stages() {
  local number
  for ((number = $1; number <= $2; number++)); do
    is_skipped "$number" || check_files "$number"
  done
  for ((number = $1; number <= $2; number++)); do
    run_stage "$number"
  done
}
