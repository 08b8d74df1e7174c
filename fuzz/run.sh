#!/usr/bin/env bash
# Fuzzes the parsers of untrusted input with libFuzzer on stable Rust. Fails on a finding and prints where the input is.
#
#   run.sh SECONDS [TARGET...]       explores for SECONDS per target: config, image, quantity, review; all by default.
#                                    Starts from the seeds and from the inputs of earlier runs, which the cache keeps.
#   run.sh replay [TARGET...]        replays the seeds of the repository and a fixed number of inputs derived from them with
#                                    a fixed seed: the same inputs on every machine, whatever its speed. `just test` runs this.
#   run.sh FILE TARGET               runs one input
#
# FUZZ_SEED is the random seed of an exploration; 0, the default, differs between runs.
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

# Inputs that a replay derives from the seeds, per target: about 10 s each on one core.
inputs_of() {
  case $1 in
    config) echo 15000 ;;
    image | quantity) echo 150000 ;;
    review) echo 6000 ;;
  esac
}

# fuzz TARGET OPTION...: runs libFuzzer and prints what it did
fuzz() {
  local target=$1 log=$cache/$1.log; shift
  if ! setarch -R "$CARGO_TARGET_DIR/release/fuzz_$target" "$@" -max_len=4096 -timeout=60 -rss_limit_mb=1024 -dict=words.dict \
    -artifact_prefix="$cache/findings/$target-" -print_final_stats=1 >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    echo "fuzz: $target failed; repeat with fuzz/run.sh FILE $target, fix it and add the file to fuzz/seeds" >&2
    return 1
  fi
  echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs," \
    "$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1 | grep -oE '[0-9]+') branches"
}

# explore TARGET SECONDS
explore() {
  local corpus=$cache/corpus/$1
  mkdir -p "$corpus"
  seeds "$1" "$corpus"
  fuzz "$1" -seed="${FUZZ_SEED:-0}" -max_total_time="$2" "$corpus"
}

# replay TARGET: starts from the seeds alone, in the order of their names, and keeps no corpus: neither earlier explorations,
# nor the order of a folder, nor addresses that differ between runs can change the inputs.
replay() {
  local folder=$cache/replay/$1
  rm -rf "$folder"
  mkdir -p "$folder"
  seeds "$1" "$folder"
  printf '%s\n' "$folder"/* | LC_ALL=C sort | paste -sd, | tr -d '\n' >"$folder.list"
  fuzz "$1" -seed=1 -reload=0 -runs="$(inputs_of "$1")" -seed_inputs=@"$folder.list"
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
first=${1:?SECONDS, replay or FILE}; shift
mkdir -p "$cache/findings"
if [ -f "$first" ]; then exec "$CARGO_TARGET_DIR/release/fuzz_$1" "$first"; fi
[ $# != 0 ] || set -- "${all[@]}"
jobs=()
for target in "$@"; do
  if [ "$first" = replay ]; then replay "$target" & else explore "$target" "$first" & fi
  jobs+=($!)
done
failed=0
for job in "${jobs[@]}"; do wait "$job" || failed=1; done
exit $failed
