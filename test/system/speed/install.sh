#!/bin/sh
# Installs PyTorch, TensorFlow and Keras 2 into .mnist-dist/peers, unless they are there already.
set -eu
cd "$(dirname "$0")/../../.."
folder=.mnist-dist/peers
[ ! -e "$folder/complete" ] || exit 0
echo "installing PyTorch and TensorFlow into $folder (several gigabytes)"
rm -rf "$folder"
python3 -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
  torch==2.15.0 tensorflow-cpu==2.21.0 tf_keras==2.21.0 numpy==2.4.6
touch "$folder/complete"
