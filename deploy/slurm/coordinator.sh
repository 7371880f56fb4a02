#!/bin/bash
# Starts the run in directory $1, or resumes it. Further arguments are options of `mnist-dist
# coordinator`.
set -eu
run=$1
shift
# A join file from an earlier start of this job would give workers the wrong address.
rm -f "$run/join"
if [ ! -e "$run/run.json" ]; then
  set -- --runs-dir "$(dirname "$run")" --run-id "$(basename "$run")" "$@"
elif [ -n "${SLURM_RESTART_COUNT:-}" ]; then
  if grep -q '"state": "finished"' "$run/run.json"; then
    echo "the run $run is already finished"
    exit 0
  fi
  # Slurm never runs a job twice at the same time: if the run's lock names a different node, an
  # earlier start of this job left it behind.
  set -- --resume "$run" --take-over "$@"
else
  set -- --resume "$run" "$@"
fi

# Creates a certificate for this node and this start. Workers get its CA certificate from the join
# string, and the keys never leave this node.
name=${MNIST_DIST_ADVERTISE:-$SLURMD_NODENAME}
certs=$(mktemp -d)
trap 'rm -rf "$certs"' EXIT
# The coordinator also gets the signal and shuts down; this script waits for it.
stopped=
trap stopped=yes TERM
node bin/mnist-dist.mjs certs "$name" --out "$certs" > /dev/null
rm "$certs/ca.key"
# A coordinator that starts after the signal would never get it.
[ -z "$stopped" ] || exit 143
node bin/mnist-dist.mjs coordinator --host "${MNIST_DIST_HOST:-0.0.0.0}" \
  --port "${MNIST_DIST_PORT:-0}" --advertise "$name" \
  --ssl-certfile "$certs/coordinator.crt" --ssl-keyfile "$certs/coordinator.key" "$@"
