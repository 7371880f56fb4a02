#!/bin/bash
# A worker of the run in directory $1, until that run is over; what follows are options of `mnist-dist worker`.
# The coordinator may start later, be away for a while and come back elsewhere: its join file is read before each attempt. Where nobody
# has answered for WAIT_SECONDS, this ends with exit code 16.
set -eu
run=$1
shift
wait=${WAIT_SECONDS:-600}
# The node, and what scancel calls this worker's job.
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
name=$SLURMD_NODENAME.${job:-$SLURM_JOB_ID.$SLURM_PROCID}
since=$SECONDS
stopped=
# The worker gets the signal, too, and leaves in good order: that is waited for.
trap 'stopped=yes' TERM
while [ -z "$stopped" ]; do
  if [ -s "$run/join" ]; then
    start=$SECONDS
    code=0
    node bin/mnist-dist.mjs worker --join - --max-wait-time 5 --name "$name" "$@" < "$run/join" || code=$?
    case $code in
      # Nobody there, another token, another certificate: that file may be of an earlier try.
      16 | 17 | 33) ;;
      # The coordinator was stopped, not this worker: it comes back when its job does.
      129 | 130 | 143) ;;
      *) exit "$code" ;;
    esac
    # Who has computed meanwhile waits anew.
    if [ $((SECONDS - start)) -gt 60 ]; then since=$SECONDS; fi
  fi
  # A coordinator that prolongs a finished run may be about to open it.
  if [ $((SECONDS - since)) -ge $((wait < 30 ? wait : 30)) ] && grep -qs '"state": "finished"' "$run/run.json"; then
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
