#!/usr/bin/env bash
# Runs jobs through sbatch, and waits for them. Usage: see job.sh. The machines of the queue see this folder, and sbatch
# hands the environment on.
set -euo pipefail
# shellcheck source=local/job.sh
. "$(dirname "$0")/job.sh"

name=$(basename "$log" .log)
command=$(printf '%q ' "$@")
cores=$((gpu * cpus_per_gpu > num_threads ? gpu * cpus_per_gpu : num_threads)) # loaders of data run beside each GPU
options=(--nodes "$num_nodes" --ntasks-per-node 1 --cpus-per-task "$cores")
if [ "$gpu" -gt 0 ]; then options+=(--gpus-per-node "$gpu"); fi
if [ -n "$last" ]; then
  options+=(--array "1-$last")
  name=${name%.JOB} log=${log//JOB/%a} command=${command//JOB/\$SLURM_ARRAY_TASK_ID}
fi
$show sbatch --wait --job-name "$name" --output "$log" "${options[@]}" <<END
#!/usr/bin/env bash
export SRUN_CPUS_PER_TASK=$cores # srun would take one
$command
END
