#!/usr/bin/env bash
# Brings the operator into a cluster: cluster, image, certificate, manifests. Done
# again, it changes what has changed and nothing else. The cluster is the local
# one, or the one that KUBECONFIG names; that one finds its image by IMAGE.
#
#   deploy.sh image        compile the operator and build its image
#   deploy.sh up           everything; CERTIFICATES=self-managed (as it is), cert-manager or provided
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here=$root/tests/cluster
cache=${CLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/redis-operator/cluster}
export KUBECTL=$here/kubectl # for webhook-certs/generate.sh too
namespace=redis-operator-system
certificates=${CERTIFICATES:-self-managed}

# shellcheck source-path=SCRIPTDIR source=cluster/build.sh
. "$here/build.sh"

say() { printf '\n# %s\n' "$*"; }

kubectl() { "$KUBECTL" "$@"; }

# shown CMD...: as a user would type it
shown() {
  local line='$' word
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_./:=,@-]+$ ]] || word="'$word'"
    line+=" $word"
  done
  echo "$line"
}

run() { shown "$@"; "$@"; }

# The tag is the content's digest: the same program is the same image, and another one rolls the Deployment.
image() {
  local program=${CARGO_TARGET_DIR:-$root/target}/release/redis-operator key
  run cargo build --release --locked
  key=$(cat "$program" "$root/Dockerfile" | sha256sum)
  image=redis-operator:dev-${key:0:12}
  once operator "$key" make_image "$program"
}

make_image() { # make_image PROGRAM
  local context; context=$(mktemp -d -p "$cache")
  with_libraries "$1" "$context/rootfs" redis-operator
  mkdir "$context/empty"
  progress "building the image $image from Dockerfile" \
    archive "docker.io/library/$image" operator "$root/Dockerfile" "$context/empty" --build-context "build=$context"
  rm -rf "$context"
}

local_cluster() {
  "$here/cluster" build
  image
  say "the local cluster: Kubernetes $kubernetes, one node, no way out of this machine"
  run tests/cluster/cluster up
  "$here/cluster" load "$cache/images/operator.tar"
}

# The operator makes its certificates itself, or has them from cert-manager, or finds them.
operator() {
  local folder=manifests/default
  say "the operator, with two replicas: $certificates certificates"
  case $certificates in
    self-managed) ;;
    cert-manager)
      folder=manifests/cert-manager
      [ -n "${KUBECONFIG:-}" ] || run tests/cluster/cluster cert-manager
      ;;
    provided)
      folder=manifests/provided
      run kubectl apply --server-side -f manifests/default/namespace.yaml -f manifests/default/webhooks.yaml
      run webhook-certs/generate.sh
      ;;
  esac
  # the local cluster has one Redis image, Debian's
  local edit="s|image: redis-operator:.*|image: $image|"
  [ -n "${KUBECONFIG:-}" ] || edit+="; s|default-image=redis:.*|default-image=redis:7.0.15|"
  echo "\$ kubectl kustomize $folder | sed '$edit' | kubectl apply --server-side -f -"
  kubectl kustomize "$folder" | sed "$edit" | kubectl apply --server-side -f -
  run kubectl wait --for=condition=Established crd/redisinstances.redis.github.com --timeout=30s
  run kubectl -n "$namespace" rollout status deployment/redis-operator --timeout=120s || {
    kubectl -n "$namespace" describe pods | sed -n '/^Events:/,$p' >&2
    kubectl -n "$namespace" logs deployment/redis-operator --tail=20 >&2
    return 1
  }
}

up() {
  mkdir -p "$cache"
  cd "$root"
  if [ -n "${KUBECONFIG:-}" ]; then
    image=${IMAGE:-}
    [ -n "$image" ] || {
      echo "the cluster of KUBECONFIG needs IMAGE=registry/name:tag, the image of the operator to run" >&2
      return 1
    }
  else
    local_cluster
  fi
  run kubectl get nodes
  operator
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then # demo.sh has a use for the functions
  case ${1:-} in
    image | up) "$1" ;;
    *) sed -n '/^#   /s/^#   //p' "$0"; exit 2 ;;
  esac
fi
