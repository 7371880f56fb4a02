#!/bin/sh
# Installs numpy and safetensors for test/system/process into .mnist-dist/python, with pip, unless
# they are already installed. If that fails, it prints the reason and exits with 0, and the test is
# skipped with a message.
set -eu
cd "$(dirname "$0")/.."
folder=.mnist-dist/python
[ ! -d "$folder/safetensors" ] || exit 0
echo "installing numpy and safetensors"
rm -rf "$folder.new"
if python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
  --target "$folder.new" numpy==2.4.6 safetensors==0.8.0; then
  rm -rf "$folder"
  mv "$folder.new" "$folder"
else
  echo "not installed: numpy and safetensors (pip install failed)"
fi
