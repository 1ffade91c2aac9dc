#!/usr/bin/env bash
# Runs jobs on this machine, all at once; their output is shown too. Usage: see job.sh. A job takes the GPU of its number.
set -euo pipefail
# shellcheck source=local/job.sh
. "$(dirname "$0")/job.sh"

if [ -n "$show" ]; then
  show_command ${last:+"JOB=1:$last"} "$@" </dev/null
  exit
fi
if [ -z "$last" ]; then
  "$@" 2>&1 | tee "$log"
  exit
fi
cores=$(nproc) # that all jobs together take
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores > last ? cores / last : 1))}
for ((job = 1; job <= last; job++)); do
  ("${@//JOB/$job}" 2>&1 | tee "${log//JOB/$job}") & # in a subshell, whose status is the command's
  jobs+=($!)
done
status=0
for job in "${jobs[@]}"; do
  wait "$job" || status=1
done
exit "$status"
