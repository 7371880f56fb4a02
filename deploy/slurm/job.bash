# What the sbatch scripts have in common; they include it, from the root of the checkout.

# Ends this job with exit code $1, and puts it back into the queue where it was told to go (SIGTERM: the end of its time is near, or
# another job pushes it away), and after a crash, MAX_RESTARTS times. Where Slurm itself cancels or requeues it, it is not RUNNING now.
finish() {
  again=
  case $1 in
    143) again=yes ;;
    1 | 13[1-9] | 1[4-9]? | 2??) [ "${SLURM_RESTART_COUNT:-0}" -ge "${MAX_RESTARTS:-100}" ] || again=yes ;;
  esac
  if [ -n "$again" ] && [ "$(squeue --noheader --job "$SLURM_JOB_ID" --format %T)" = RUNNING ]; then
    echo "exit code $1: this job goes back into the queue"
    scontrol requeue "$SLURM_JOB_ID"
  fi
  exit "$1"
}
