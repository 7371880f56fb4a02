#!/bin/sh
# Installs the Node versions that test/system/process/nodes.test.ts runs, about 50 MB each, unless
# they are already installed.
set -eu
cd "$(dirname "$0")/.."
package="node-linux-$(node -p process.arch)"
for version in 20.19 22 24 26; do
  folder=".mnist-dist/nodes/$version"
  [ -x "$folder/node_modules/$package/bin/node" ] && continue
  echo "installing Node $version"
  npm install --no-save --no-audit --no-fund --silent --prefix "$folder" "$package@$version"
done
