#!/bin/bash
# Starts the coordinator of the run in directory $1, or goes on with that run; what follows are options of `mnist-dist coordinator`.
set -eu
run=$1
shift
# What an earlier try of this job has left leads workers astray.
rm -f "$run/join"
if [ ! -e "$run/run.json" ]; then
  set -- --runs-dir "$(dirname "$run")" --run-id "$(basename "$run")" "$@"
elif [ -n "${SLURM_RESTART_COUNT:-}" ]; then
  if grep -q '"state": "finished"' "$run/run.json"; then
    echo "the run $run is finished already"
    exit 0
  fi
  # Slurm runs a job once at a time: a coordinator that has the lock of this run on another node is an earlier try.
  set -- --resume "$run" --take-over "$@"
else
  set -- --resume "$run" "$@"
fi

# A certificate for this node and this try; workers know its authority by the join string, and the keys never leave this node.
name=${MNIST_DIST_ADVERTISE:-$SLURMD_NODENAME}
certs=$(mktemp -d)
trap 'rm -rf "$certs"' EXIT
# The coordinator gets the signal, too, and ends in good order: that is waited for.
trap : TERM
node bin/mnist-dist.mjs certs "$name" --out "$certs" > /dev/null
rm "$certs/ca.key"
node bin/mnist-dist.mjs coordinator --host "${MNIST_DIST_HOST:-0.0.0.0}" --port "${MNIST_DIST_PORT:-0}" --advertise "$name" \
  --ssl-certfile "$certs/coordinator.crt" --ssl-keyfile "$certs/coordinator.key" "$@"
