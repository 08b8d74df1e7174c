#!/usr/bin/env bash
# Fuzzes the parts that read what strangers type, steered by coverage (libFuzzer,
# on stable Rust): each target for SECONDS, from its seeds and from what earlier
# runs found, which the cache keeps. Fails on a finding and says where it is.
#
#   run.sh SECONDS [TARGET...]       config, image, quantity, review; all by default
#   run.sh FILE TARGET               one input again
#
# FUZZ_SEED makes two runs over the same corpus alike; 0, the default, is another each time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${FUZZ_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/redis-operator/fuzz}
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-../target}"); export CARGO_TARGET_DIR
readonly all=(config image quantity review)

# seeds TARGET FOLDER: a file each, or a line of one file each
seeds() {
  if [ -d "seeds/$1" ]; then cp "seeds/$1"/* "$2"; return; fi
  local line number=0
  while IFS= read -r line; do
    number=$((number + 1))
    printf '%s' "$line" >"$2/seed-$number"
  done <"seeds/$1.txt"
}

fuzz() { # fuzz TARGET SECONDS
  local corpus=$cache/corpus/$1 log=$cache/$1.log
  mkdir -p "$corpus" "$cache/findings"
  seeds "$1" "$corpus"
  if ! "$CARGO_TARGET_DIR/release/fuzz_$1" -seed="${FUZZ_SEED:-0}" -max_total_time="$2" -max_len=4096 -timeout=10 -rss_limit_mb=1024 -dict=words.dict \
    -artifact_prefix="$cache/findings/$1-" -print_final_stats=1 "$corpus" >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    echo "fuzz: $1 found something: again with fuzz/run.sh FILE $1; mend it and keep the file in fuzz/seeds" >&2
    return 1
  fi
  echo "$1: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $2 s," \
    "$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1 | grep -oE '[0-9]+') branches, $(find "$corpus" -type f | wc -l) inputs kept"
}

# libFuzzer is C++
compiler() {
  # shellcheck disable=SC2034
  local cache=/nonexistent here=$PWD/../tests/cluster
  # shellcheck source=tests/cluster/build.sh
  . ../tests/cluster/build.sh
  install_missing g++
}

command -v c++ >/dev/null || (compiler)
RUSTC_WRAPPER=$PWD/rustc.sh cargo build --release --locked
first=${1:?SECONDS or FILE}; shift
if [ -f "$first" ]; then exec "$CARGO_TARGET_DIR/release/fuzz_$1" "$first"; fi
[ $# != 0 ] || set -- "${all[@]}"
jobs=()
for target in "$@"; do fuzz "$target" "$first" & jobs+=($!); done
failed=0
for job in "${jobs[@]}"; do wait "$job" || failed=1; done
exit $failed
