#!/bin/sh
# Starts or resumes the run MNIST_DIST_RUN_ID. Arguments are options of `mnist-dist coordinator`.
set -eu
mnist_dist=${0%/*}/../../bin/mnist-dist.mjs
run=$MNIST_DIST_RUNS_DIR/${MNIST_DIST_RUN_ID:?must name the run: set it in coordinator.env}
if grep -qs '"state": "finished"' "$run/run.json"; then
  echo "the run $run is already finished: to start a new one, change MNIST_DIST_RUN_ID"
  [ -z "${MNIST_DIST_ARTIFACTS:-}" ] || exec node "$mnist_dist" push "$run" "$MNIST_DIST_ARTIFACTS"
  exit 0
fi
if [ -e "$run/run.json" ]; then
  unset MNIST_DIST_RUN_ID
  set -- --resume "$run" "$@"
fi
exec node "$mnist_dist" coordinator "$@"
