#!/usr/bin/env bash
# How fast it is, on clusters that are started for it and ended after it: first
# an API server without a node, then a whole cluster with the operator deployed.
# Figures only: nothing here fails because something is slow. The controller manager is given the requests a second that
# a cluster of this size gives it: with its default, 20, pods come three a second, and that is what would be measured. Claims
# are bound by the bench, not by it: of each that waits it tells in an event every 15 s.
#
#   bench.sh [webhooks] [limits] [admission] [scale] [ready]    these parts, or all of them
#
# Of admission: INSTANCES (5000). Of scale: INSTANCES (1000), IDLE_SECONDS (120), OUTAGE_SECONDS (0: the API server stays).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset KUBECONFIG # a user's cluster is never loaded
export CLUSTER_NAME=bench KCM_FLAGS='--kube-api-qps=100 --kube-api-burst=200'
readonly unbound='--controllers=*,-persistentvolume-binder-controller'
readonly cluster=tests/cluster/cluster
[ $# -gt 0 ] || set -- webhooks limits admission scale ready
for part in "$@"; do
  [[ " webhooks limits admission scale ready " == *" $part "* ]] || { sed -n '/^#   /s/^#   //p' "$0"; exit 2; }
done

# what the image ships
export OPERATOR_PROFILE=dist OPERATOR_PROGRAM=${CARGO_TARGET_DIR:-$PWD/target}/dist/redis-operator

measure() { "$cluster" exec env CARGO_NET_OFFLINE=true cargo bench --locked --quiet --bench operator -- "$@"; }

# what the webhooks are measured against; its service is not started
nginx() {
  # shellcheck disable=SC2034
  local cache=/nonexistent here=$PWD/tests/cluster
  # shellcheck source=tests/cluster/build.sh
  . tests/cluster/build.sh
  [ -x /usr/sbin/nginx ] || install_missing nginx
}

"$cluster" build
[[ " $* " != *" webhooks "* ]] || (nginx)
cargo build --profile "$OPERATOR_PROFILE" --locked
cargo bench --locked --no-run --bench operator
trap '"$cluster" down' EXIT
# each on a cluster of its own: what one leaves behind is not to burden the next
for part in "$@"; do
  "$cluster" down
  if [ "$part" = ready ]; then tests/deploy.sh up; else KCM_FLAGS="$KCM_FLAGS $unbound" "$cluster" up --control-plane; fi
  measure "$part"
done
