#!/bin/bash
# Runs a worker for the run in directory $1 until that run ends. Further arguments are options of
# `mnist-dist worker`. The coordinator may start later, or stop and start again on another node:
# this script reads the run's join file before each attempt. If no coordinator has answered for
# WAIT_SECONDS, it ends with exit code 16.
set -eu
run=$1
shift
wait=${WAIT_SECONDS:-600}
# The worker's name contains its node and the job id, in the form that scancel accepts.
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
name=$SLURMD_NODENAME.${job:-$SLURM_JOB_ID.$SLURM_PROCID}
since=$SECONDS
stopped=
# The worker also gets the signal and shuts down; this script waits for it.
trap 'stopped=yes' TERM
while [ -z "$stopped" ]; do
  if [ -s "$run/join" ]; then
    start=$SECONDS
    code=0
    node bin/mnist-dist.mjs worker --join - --max-wait-time 5 --name "$name" "$@" \
      < "$run/join" || code=$?
    case $code in
      # No coordinator, or a different token or certificate: the file may be from an earlier start.
      16 | 17 | 33) ;;
      # The coordinator was stopped, not this worker; it will start again with its job.
      129 | 130 | 143) ;;
      *) exit "$code" ;;
    esac
    # After a minute with a coordinator, WAIT_SECONDS start anew.
    if [ $((SECONDS - start)) -gt 60 ]; then since=$SECONDS; fi
  fi
  # A coordinator that extends a finished run may be about to open it.
  if [ $((SECONDS - since)) -ge $((wait < 30 ? wait : 30)) ] &&
    grep -qs '"state": "finished"' "$run/run.json"; then
    echo "the run $run is finished"
    exit 0
  fi
  if [ $((SECONDS - since)) -ge "$wait" ]; then
    echo "no coordinator of the run $run has answered for $wait s (WAIT_SECONDS)" >&2
    exit 16
  fi
  sleep 1
done
exit 143
