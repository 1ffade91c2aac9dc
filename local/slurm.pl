#!/usr/bin/env bash
# Runs jobs through sbatch, and waits for them. Usage: see job.sh. The machines of the queue see this folder, and sbatch
# hands the environment on.
set -euo pipefail
# shellcheck source=local/job.sh
. "$(dirname "$0")/job.sh"

name=$(basename "$log" .log)
command=$(printf '%q ' "$@")
cores=$((gpu > 0 ? gpu * cpus_per_gpu : 1)) # loaders of data run beside each GPU
options=(--nodes "$num_nodes" --ntasks-per-node 1 --cpus-per-task "$cores")
if [ "$gpu" -gt 0 ]; then options+=(--gpus-per-node "$gpu"); fi
if [ -n "$number" ]; then
  options+=(--array "1-$last")
  name=${name%.JOB} log=${log//JOB/%a} command=${command//JOB/\$SLURM_ARRAY_TASK_ID}
fi
submit=(sbatch --parsable --wait --job-name "$name" --output "$log" "${options[@]}")
script="#!/usr/bin/env bash
export SRUN_CPUS_PER_TASK=$cores # srun would take one
$command"
if $dry_run; then
  printf '%q ' "${submit[@]}" && echo && echo "$script"
  exit
fi

cancel() {
  if [ -z "$id" ]; then read -r id <&"$submitted" || exit 1; fi # submitted just now
  scancel "${id%;*}"                                            # without the cluster's name
  exit 1
}
id=''
exec {submitted}< <(trap '' INT TERM HUP && exec "${submit[@]}" <<<"$script") # ends as the jobs do
waiting=$!
trap cancel INT TERM HUP
read -r id <&"$submitted" || exit 1 # sbatch has said why it refuses
wait "$waiting" || { echo "error: Slurm's job $id failed, its log is $log" >&2 && exit 1; }
