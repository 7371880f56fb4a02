#!/bin/sh
# Builds node:22-bookworm-slim, the base image of deploy/docker/Dockerfile, from Debian and npm
# packages, for machines without access to an image registry. Usage: base-image.sh SCRATCH; podman's
# variables say where its storage is.
set -eu
scratch=$1
cd "$(dirname "$0")/../../.."

test/install-nodes.sh
node=$PWD/.mnist-dist/nodes/22/node_modules/node-linux-$(node -p process.arch)/bin/node
npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")

mkdir -p "$scratch/local/bin" "$scratch/local/lib/node_modules"
cp "$node" "$scratch/local/bin/node"
cp -R "$npm" "$scratch/local/lib/node_modules/npm"
ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$scratch/local/bin/npm"

authorities=/etc/ssl/certs/ca-certificates.crt
# Excludes the files that the slim images omit.
mmdebstrap --quiet --variant=minbase --include=ca-certificates \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook="cp -R '$scratch/local/.' \"\$1/usr/local/\"" \
  --customize-hook="cp $authorities \"\$1$authorities\"" \
  bookworm "$scratch/root.tar"

# The host's bundle contains the certificate authority of the builder's network.
podman import --quiet \
  --change 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt' \
  --change 'CMD ["node"]' \
  "$scratch/root.tar" docker.io/library/node:22-bookworm-slim
rm -rf "$scratch/root.tar" "$scratch/local"
