#!/usr/bin/env bash
# The tests in their order, the cheapest first, saying what it is at. A tier is
# known by its file names: tests/control_plane_*.rs, tests/e2e_*.rs and tests/soak_*.rs hold ignored
# tests that run inside a cluster of their own; every other test needs nothing.
#
#   run.sh all | lint | deny | unit | differential | fuzz | servers | install | control-plane | cluster | cert-manager | soak
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset KUBECONFIG # a user's cluster is never tested on
readonly cluster=tests/cluster/cluster
started=$SECONDS

at() { printf '\n=== %s (%d s)\n' "$*" $((SECONDS - started)); }

# targets PATTERN: cargo's options for the integration tests whose name matches
targets() {
  local file
  for file in tests/*.rs; do
    file=${file##*/}
    # shellcheck disable=SC2053
    [[ $file == $1 ]] && printf -- '--test %s ' "${file%.rs}"
  done
  true
}

lint() {
  at "format"
  cargo fmt --check
  rustfmt --check --edition 2024 fuzz/targets/*.rs
  at "clippy"
  cargo clippy --locked --lib --bins -- -D warnings
  # tests may end where something is missing: that is how they say it
  cargo clippy --locked --all-targets -- -D warnings -A clippy::unwrap_used -A clippy::unwrap_in_result -A clippy::expect_used -A clippy::panic \
    -A clippy::indexing_slicing -A clippy::needless_pass_by_value -A clippy::print_stdout -A clippy::print_stderr
  if command -v shellcheck >/dev/null; then
    at "shellcheck"
    shellcheck -x tests/*.sh tests/*/*.sh fuzz/*.sh tests/cluster/cluster tests/cluster/kubectl tests/tools/tool webhook-certs/*.sh docs/diagrams/*.sh .ci/run
  fi
}

# The tool is compiled once, without optimisation, since that takes a third of the time. The advisories come from a git
# repository: where it cannot be reached, the rest is checked and the output says so.
deny() {
  local version=0.20.2 root=${XDG_CACHE_HOME:-$HOME/.cache}/redis-operator/cargo-deny
  at "licences, bans, sources and advisories of the dependencies, with cargo-deny"
  "$root/bin/cargo-deny" --version 2>/dev/null | grep -qxF "cargo-deny $version" || {
    echo "compiling cargo-deny $version (5 minutes on 2 cores, once)"
    cargo install --quiet --locked --debug --version "=$version" --root "$root" --target-dir "$root/target" cargo-deny
    rm -rf "$root/target"
  }
  "$root/bin/cargo-deny" check bans licenses sources
  if "$root/bin/cargo-deny" fetch db; then
    "$root/bin/cargo-deny" check --disable-fetch advisories
  else
    echo "NOT CHECKED: advisories, because the advisory database cannot be reached from this machine"
  fi
}

unit() {
  at "unit tests, golden and generated files, architecture, webhooks through their router and over TLS"
  cargo test --locked
}

differential() {
  local program; program=$(realpath -m "${CARGO_TARGET_DIR:-target}")/vectors
  at "quantities and images against Go's own parsers"
  go build -C tests/vectors -trimpath -o "$program" .
  VECTORS=$program cargo test --locked --test vectors -- --ignored --nocapture
}

fuzz() {
  at "fuzz targets: seeds and a fixed number of inputs"
  # the same inputs on every machine; `just fuzz` explores
  fuzz/run.sh replay
}

servers() {
  at "accepted configurations and the start script on real Redis and Valkey servers"
  REDIS_SERVERS=$(tests/servers/install.sh) cargo test --locked --test servers --test start_script -- --ignored --nocapture
}

install() {
  at "manifests, chart, alerts and dashboard, with kustomize, Helm and promtool"
  tests/tools/tool build
  cargo test --locked --test install --test monitoring --test gitops -- --ignored
}

# in_cluster PATTERN [OPTION...]: the ignored tests of these files, inside the cluster CLUSTER_NAME
in_cluster() {
  local tests; tests=$(targets "$1")
  shift
  [ -n "$tests" ] || { echo "no tests here yet"; return; }
  # compiled out here, where the network is
  # shellcheck disable=SC2086
  cargo test --locked --no-run $tests
  # shellcheck disable=SC2086
  "$cluster" exec env CARGO_NET_OFFLINE=true cargo test --locked --no-fail-fast $tests -- --ignored "$@"
}

# ended: what a failure leaves to read, then the end of the cluster
ended() {
  local status=$?
  if [ $status != 0 ]; then
    echo "--- the operator's last lines, if it ran as a pod" >&2
    "$cluster" exec kubectl -n redis-operator-system logs -l app.kubernetes.io/name=redis-operator --prefix --tail=40 >&2 || true
  fi
  "$cluster" down
}

# A cluster for the tests alone: a user's own, `dev`, goes on undisturbed.
control-plane() {
  export CLUSTER_NAME=test-control-plane
  at "tests against an API server with no node"
  "$cluster" build
  trap ended EXIT
  "$cluster" down
  "$cluster" up --control-plane
  # one at a time: each runs operators of its own, which see every namespace
  in_cluster 'control_plane_*' --test-threads=1
  "$cluster" down
  trap - EXIT
}

cluster() {
  export CLUSTER_NAME=test
  at "tests with real Redis pods"
  trap ended EXIT
  "$cluster" down
  tests/deploy.sh up
  tests/deploy.sh next
  in_cluster 'e2e_*'
  local script
  for script in tests/test-*.sh; do
    at "$script"
    "$cluster" exec "$script"
  done
  at "tests/helm.sh"
  tests/helm.sh
  "$cluster" down
  trap - EXIT
}

# what `all` does a few times, done often: ROUNDS failovers, rolls, evictions, and operators that die
soak() {
  export CLUSTER_NAME=soak ROUNDS=${ROUNDS:-100}
  at "$ROUNDS rounds of every accident"
  trap ended EXIT
  "$cluster" down
  tests/deploy.sh up
  in_cluster 'e2e_replication*' --nocapture --test-threads=1
  EVERY=${EVERY:-1} in_cluster 'soak_*' --nocapture
  "$cluster" down
  trap - EXIT
}

cert-manager() {
  export CLUSTER_NAME=test-cert-manager CERTIFICATES=cert-manager
  at "certificates of cert-manager's own controllers"
  trap ended EXIT
  "$cluster" down
  tests/deploy.sh up
  in_cluster 'cert_manager_*' --nocapture
  "$cluster" down
  trap - EXIT
}

all() { lint; deny; unit; QUANTITIES=50000 IMAGES=20000 differential; fuzz; servers; install; control-plane; cluster; cert-manager; at "all passed"; }

shopt -s extglob
case ${1:-} in
  all | lint | deny | unit | differential | fuzz | servers | install | control-plane | cluster | soak | cert-manager) "$1" ;;
  *) sed -n '/^#   /s/^#   //p' "$0"; exit 2 ;;
esac
