#!/bin/sh
# Installs Ray for test/system/ray into .mnist-dist/ray, with pip, unless it is installed.
set -eu
cd "$(dirname "$0")/../../.."
folder=.mnist-dist/ray
requirements=test/system/ray/requirements.txt
! cmp -s "$requirements" "$folder/requirements.txt" || exit 0
echo "installing Ray"
rm -rf "$folder" "$folder.new"
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
  --only-binary :all: --no-deps --require-hashes --requirement "$requirements" \
  --target "$folder.new"
cp "$requirements" "$folder.new/requirements.txt"
mv "$folder.new" "$folder"
