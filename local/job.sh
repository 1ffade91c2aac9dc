# Sourced by run.pl and slurm.pl, which run a command, or an array of them, and end non-zero if one of them does:
#   run.pl | slurm.pl [--dry_run] [--gpu N] [--num_threads N] [--num_nodes N] [--cpus_per_gpu N] [JOB=1:n] LOG COMMAND...
# JOB in LOG and COMMAND stands for the number of the job; the numbers before it are of each job, those of GPUs and cores
# of each machine. --dry_run prints what would be run or submitted.
# shellcheck shell=bash
# shellcheck disable=SC2034 # for those who source it

gpu=0 num_threads=1 num_nodes=1 cpus_per_gpu=1 last='' show=''
while [ $# -gt 0 ]; do
  case $1 in
    --dry_run) show=show_command && shift ;;
    --gpu | --num_threads | --num_nodes | --cpus_per_gpu) printf -v "${1#--}" '%s' "$2" && shift 2 ;;
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
