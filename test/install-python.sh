#!/bin/sh
# Installs Python packages for test/system with pip, unless they are already installed:
# numpy and safetensors into .mnist-dist/python, Keras with JAX into .mnist-dist/keras, ONNX Runtime
# into .mnist-dist/onnx, TensorBoard into .mnist-dist/tensorboard, MLflow (650 MB) into
# .mnist-dist/mlflow. If that fails, it prints the reason and exits with 0, and the tests are
# skipped with a message.
set -eu
cd "$(dirname "$0")/.."

# install FOLDER PACKAGE...
install() {
  folder=$1
  shift
  [ ! -e "$folder/complete" ] || return 0
  echo "installing $*"
  rm -rf "$folder" "$folder.new"
  if python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
    --no-compile --target "$folder.new" "$@"; then
    touch "$folder.new/complete"
    mv "$folder.new" "$folder"
  else
    echo "not installed: $* (pip install failed)"
  fi
}

install .mnist-dist/python numpy==2.4.6 safetensors==0.8.0 &
install .mnist-dist/onnx onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 &
install .mnist-dist/keras keras==3.15.1 jax==0.10.2 numpy==2.4.6 &
install .mnist-dist/tensorboard tensorboard==2.21.0 &
install .mnist-dist/mlflow 'mlflow[auth]==3.17.2' &
wait
