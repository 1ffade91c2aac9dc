# Sourced by run.pl and slurm.pl, which run a command, or an array of them, and end non-zero if one of them does:
#   run.pl | slurm.pl [--dry_run] [--gpu N] [--num_nodes N] [--cpus_per_gpu N] [JOB=1:n] LOG COMMAND...
# JOB in LOG and COMMAND stands for the number of the job; --gpu and --cpus_per_gpu are of each job, on each of its
# machines. --dry_run prints what would be run or submitted. A signal that ends run.pl or slurm.pl ends the jobs too.
# shellcheck shell=bash
# shellcheck disable=SC2034 # for those who source it

gpu=0 num_nodes=1 cpus_per_gpu=1 dry_run=false
last=1 number='' # of the jobs; the word that stands for each one's number, if they are an array
while [ $# -gt 0 ]; do
  case $1 in
    --dry_run) dry_run=true && shift ;;
    --gpu | --num_nodes | --cpus_per_gpu) printf -v "${1#--}" '%s' "$2" && shift 2 ;;
    JOB=1:*) last=${1#JOB=1:} number=JOB && shift ;;
    --*) echo "error: $(basename "$0") knows no option $1" >&2 && exit 1 ;;
    *) break ;;
  esac
done
log=$1
shift
$dry_run || mkdir -p "$(dirname "$log")"
