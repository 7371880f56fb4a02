# Shared by the sbatch scripts, which source it from the root of the checkout.

# Ends this job with exit code $1. First requeues the job if SIGTERM ended it (its time is nearly
# up, or another job preempts it) or, at most MAX_RESTARTS times, if it crashed. If Slurm itself is
# cancelling or requeueing the job, its state is not RUNNING, and it is not requeued here.
finish() {
  again=
  case $1 in
    143) again=yes ;;
    1 | 13[1-9] | 1[4-9]? | 2??)
      [ "${SLURM_RESTART_COUNT:-0}" -ge "${MAX_RESTARTS:-100}" ] || again=yes
      ;;
  esac
  if [ -n "$again" ] && [ "$(squeue --noheader --job "$SLURM_JOB_ID" --format %T)" = RUNNING ]; then
    echo "exit code $1: requeueing this job"
    scontrol requeue "$SLURM_JOB_ID"
  fi
  exit "$1"
}
