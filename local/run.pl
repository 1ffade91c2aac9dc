#!/usr/bin/env bash
# Runs jobs on this machine, all at once; their output is shown too. Usage: see job.sh. A job takes the GPU of its number.
set -euo pipefail
# shellcheck source=local/job.sh
. "$(dirname "$0")/job.sh"

if $dry_run; then
  printf '%q ' ${number:+"JOB=1:$last"} "$@" && echo
  exit
fi
run() { "${@:2}" 2>&1 | tee "$1"; }

cores=$(nproc) # that all jobs together take
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores > last ? cores / last : 1))}
set -m # every job is a process group, which ends as one
jobs=()
trap 'kill -- "${jobs[@]/#/-}"; exit 1' INT TERM HUP
for ((job = 1; job <= last; job++)); do
  run "${log//$number/$job}" "${@//$number/$job}" </dev/null &
  jobs+=($!)
done
status=0
for job in "${jobs[@]}"; do
  wait "$job" || status=1
done
exit "$status"
