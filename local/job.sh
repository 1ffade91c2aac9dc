#!/usr/bin/env bash
# Runs a command, or an array of them, with its output in LOG; ends non-zero if one of them does.
#   run.pl | slurm.pl [--dry_run] [--gpu N] [--num_threads N] [--num_nodes N] [JOB=1:n] LOG COMMAND...
# Called as run.pl it runs here, all at once, and shows the output too; called as slurm.pl, through sbatch, and waits.
# JOB in LOG and COMMAND stands for the number of the job. --dry_run prints what would be run or submitted.
set -euo pipefail

gpu=0 num_threads=1 num_nodes=1 last='' show=''
while [ $# -gt 0 ]; do
  case $1 in
    --dry_run) show=show_command && shift ;;
    --gpu | --num_threads | --num_nodes) printf -v "${1#--}" '%s' "$2" && shift 2 ;;
    JOB=1:*) last=${1#JOB=1:} && shift ;;
    --*) echo "error: $(basename "$0") knows no option $1" >&2 && exit 1 ;;
    *) break ;;
  esac
done
[ $# -ge 2 ] || { echo "error: $(basename "$0") wants a log file and a command" >&2 && exit 1; }
log=$1
shift
[ -n "$show" ] || mkdir -p "$(dirname "$log")"

# In place of a command: prints it, and what it would read.
show_command() {
  printf '%q ' "$@"
  echo
  cat
}

run_here() {
  local job jobs=() status=0
  for ((job = 1; job <= ${last:-1}; job++)); do
    ("${@//JOB/$job}" 2>&1 | tee "${log//JOB/$job}") & # in a subshell, whose status is the command's
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do
    wait "$job" || status=1
  done
  return "$status"
}

# The queue's machines see this folder, and sbatch hands the environment on.
run_in_slurm() {
  local command
  command=$(printf '%q ' "$@")
  $show sbatch --wait --job-name "$(basename "$log" .log)" --output "${log//JOB/%a}" ${last:+--array "1-$last"} \
    --nodes "$num_nodes" --ntasks-per-node 1 --cpus-per-task "$num_threads" --gpus-per-node "$gpu" <<END
#!/usr/bin/env bash
${command//JOB/\$SLURM_ARRAY_TASK_ID}
END
}

case $(basename "$0") in
  slurm.pl) run_in_slurm "$@" ;;
  *) if [ -n "$show" ]; then show_command "$@" </dev/null; else run_here "$@"; fi ;;
esac
