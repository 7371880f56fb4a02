# What the sbatch scripts have in common; they include it.
if [ ! -e bin/mnist-dist.mjs ]; then
  echo "sbatch is to be called in the root of the checkout, not in $PWD" >&2
  exit 2
fi
# At a requeue and at a cancellation Slurm signals this shell, too: the steps end in good order first.
trap : TERM

# Ends this job with exit code $1, and puts it back into the queue where it has crashed or was told to go (SIGTERM: the end of its time
# is near, or another job pushes it away). Where Slurm itself cancels or requeues it, it is not "RUNNING" any more.
finish() {
  if [ "$1" -eq 1 ] || [ "$1" -gt 128 ]; then
    state=$(squeue --noheader --job "$SLURM_JOB_ID" --format %T)
    if [ "$state" = RUNNING ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "${MAX_RESTARTS:-100}" ]; then
      echo "exit code $1: this job goes back into the queue"
      scontrol requeue "$SLURM_JOB_ID"
    fi
  fi
  exit "$1"
}
