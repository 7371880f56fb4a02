#!/bin/sh
# Installs Debian packages that tests need, unless they are already installed. The tests in
# test/system/prometheus, browser, swift, slurm, hosts and process need prometheus,
# chromium-headless-shell, Swift (an S3 server), Slurm, network tools, shells and Fashion-MNIST.
# test/unit/coordinator/run-directory/file-systems.test.ts needs FUSE file systems. If the
# installation fails, it prints the reason and exits with 0, and the tests are skipped with a
# message.
set -eu

missing=""
for program in prometheus chromium-headless-shell; do
  command -v "$program" > /dev/null || missing="$missing $program"
done
for program in swift-proxy swift-account swift-container swift-object; do
  command -v "$program-server" > /dev/null || missing="$missing $program"
done
command -v slurmctld > /dev/null || missing="$missing slurmctld"
command -v slurmd > /dev/null || missing="$missing slurmd"
command -v sbatch > /dev/null || missing="$missing slurm-client"
command -v munged > /dev/null || missing="$missing munge"
command -v memcached > /dev/null || missing="$missing memcached"
{ command -v ip && command -v tc; } > /dev/null || missing="$missing iproute2"
command -v zsh > /dev/null || missing="$missing zsh"
command -v fish > /dev/null || missing="$missing fish"
command -v nft > /dev/null || missing="$missing nftables"
command -v systemd-analyze > /dev/null || missing="$missing systemd"
command -v tcpdump > /dev/null || missing="$missing tcpdump"
command -v mount.exfat-fuse > /dev/null || missing="$missing exfat-fuse"
command -v mkfs.exfat > /dev/null || missing="$missing exfatprogs"
command -v bindfs > /dev/null || missing="$missing bindfs"
command -v fuse-overlayfs > /dev/null || missing="$missing fuse-overlayfs"
command -v sshfs > /dev/null || missing="$missing sshfs"
[ -x /usr/lib/openssh/sftp-server ] || missing="$missing openssh-sftp-server"
[ -e /usr/share/datasets/fashion-mnist ] || missing="$missing dataset-fashion-mnist"
[ -n "$missing" ] || exit 0

cannot() {
  echo "not installed:$missing ($1)"
  exit 0
}
command -v apt-get > /dev/null || cannot "apt-get was not found"
[ "$(id -u)" -eq 0 ] || cannot "the installation needs root"

# Debian would start each server when it is installed, and some would listen on all addresses.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
fi
echo "installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || cannot "apt-get update failed"
# shellcheck disable=SC2086 # words are packages
apt-get install -y -qq --no-install-recommends $missing > /dev/null ||
  cannot "apt-get install failed"
