#!/usr/bin/env bash
# How fast it is, on clusters that are started for it and ended after it: first
# an API server without a node, then a whole cluster with the operator deployed.
# Figures only: nothing here fails because something is slow.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset KUBECONFIG # a user's cluster is never loaded
export CLUSTER_NAME=bench
readonly cluster=tests/cluster/cluster

"$cluster" build
cargo bench --locked --no-run
trap '"$cluster" down' EXIT
"$cluster" down
"$cluster" up --control-plane
measure() { "$cluster" exec env CARGO_NET_OFFLINE=true cargo bench --locked --quiet --bench operator "$@"; }
measure "$@"
"$cluster" down
tests/deploy.sh up
measure "$@"
