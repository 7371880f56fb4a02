#!/bin/sh
# Installs SkyPilot (460 MB) for test/system/skypilot into .mnist-dist/skypilot, with pip, unless it
# is installed.
set -eu
cd "$(dirname "$0")/.."
folder=.mnist-dist/skypilot
packages="skypilot==0.14.1"
[ "$(cat "$folder/packages" 2> /dev/null)" != "$packages" ] || exit 0
echo "installing $packages"
rm -rf "$folder.new"
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
  --target "$folder.new" "$packages"
echo "$packages" > "$folder.new/packages"
rm -rf "$folder"
mv "$folder.new" "$folder"
