# How heavy work is started; sourced by run.sh. Choose with `cmd_backend=slurm ./run.sh ...`, or change it here.
#   local  on this machine
#   slurm  through sbatch, which reads partition, account and time limit from its own variables (SBATCH_PARTITION ...);
#          --cpus_per_gpu: cores for each GPU's process and those that read its data (num_workers of the training)
# shellcheck shell=bash
# shellcheck disable=SC2034
case ${cmd_backend:=local} in
  local) cuda_cmd=local/run.pl ;;
  slurm) cuda_cmd="local/slurm.pl --cpus_per_gpu 6" ;;
  *) die "cmd_backend is '$cmd_backend': use local or slurm" ;;
esac
