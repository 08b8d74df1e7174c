#!/usr/bin/env bash
# Brings the operator into a cluster: cluster, image, certificate, manifests. Done
# again, it changes what has changed and nothing else. The cluster is the local
# one, or the one that KUBECONFIG names; that one finds its image by IMAGE. CERTIFICATES tells whose the certificate is:
# self-managed by the operator (unless said otherwise), of cert-manager, or provided by webhook-certs/generate.sh.
# OPERATOR_PROFILE is what it is compiled with: release (unless said otherwise), or dist, which the image ships.
#
#   deploy.sh image        compile the operator and build its image
#   deploy.sh up           everything
#   deploy.sh next         the same program as a later version, as the image redis-operator:next in the local cluster
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here=$root/tests/cluster
cache=${CLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/redis-operator/cluster}
export KUBECTL=$here/kubectl # for webhook-certs/generate.sh too
namespace=redis-operator-system
readonly profile=${OPERATOR_PROFILE:-release} certificates=${CERTIFICATES:-self-managed}

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
  local program=${CARGO_TARGET_DIR:-$root/target}/$profile/redis-operator key
  run cargo build --profile "$profile" --locked
  key=$(cat "$program" "$root/Dockerfile" | sha256sum)
  image=redis-operator:dev-${key:0:12}
  once operator "$key" make_image "$image" operator "$program"
}

# The version is all that differs. The copy shares the folder of what is compiled: only the crate itself is compiled again,
# and in a hurry.
next() {
  local target; target=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
  local copy=$target/next program=$target/next/redis-operator key
  cd "$root"
  rm -rf "$copy"
  mkdir -p "$copy" "$cache"
  cp -r Cargo.toml Cargo.lock src "$copy"
  sed -i '/^name = "redis-operator"$/{n;s/^version = .*/version = "9999.0.0"/}' "$copy/Cargo.toml" "$copy/Cargo.lock"
  run cargo build --release --locked --manifest-path "$copy/Cargo.toml" --target-dir "$target" \
    --config profile.release.package.redis-operator.opt-level=0
  mv "$target/release/redis-operator" "$program"
  cargo build --release --locked --quiet # puts ours back
  key=$(cat "$program" "$root/Dockerfile" | sha256sum)
  once operator-next "$key" make_image redis-operator:next operator-next "$program"
  "$here/cluster" load "$cache/images/operator-next.tar"
}

make_image() { # make_image IMAGE NAME PROGRAM
  local context; context=$(mktemp -d -p "$cache")
  with_libraries "$3" "$context/rootfs" redis-operator
  mkdir "$context/empty"
  progress "building the image $1 from Dockerfile" \
    archive "docker.io/library/$1" "$2" "$root/Dockerfile" "$context/empty" --build-context "build=$context"
  rm -rf "$context"
}

local_cluster() {
  "$here/cluster" build
  image
  say "the local cluster: Kubernetes $kubernetes, one node, no way out of this machine"
  run tests/cluster/cluster up
  "$here/cluster" load "$cache/images/operator.tar"
}

# cert-manager runs, if it is asked for; a user's own cluster has it
cert_manager() {
  if [ "$certificates" = cert-manager ] && [ -z "${KUBECONFIG:-}" ] &&
    ! kubectl get namespace cert-manager >/dev/null 2>&1; then
    run tests/cluster/cluster cert-manager
  fi
}

# What is mounted is there before the pod that mounts it, which then starts ready; the kubelet is slow to bring it later.
certificate() {
  case $certificates in
    self-managed) ;;
    provided)
      run kubectl apply --server-side -f manifests/default/namespace.yaml -f manifests/default/webhooks.yaml
      run webhook-certs/generate.sh
      ;;
    cert-manager)
      cert_manager
      run kubectl apply --server-side -f manifests/default/namespace.yaml -f webhook-certs/cert-manager.yaml
      run kubectl -n "$namespace" wait --for=condition=Ready certificate/redis-operator-webhook --timeout=60s
      ;;
    *)
      echo "CERTIFICATES is self-managed, cert-manager or provided, not $certificates" >&2
      return 1
      ;;
  esac
}

operator() {
  local folder=manifests/${certificates/self-managed/default}
  say "the operator, its certificate $certificates"
  certificate
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
    image | up | next) "$1" ;;
    *) sed -n '/^#   /s/^#   //p' "$0"; exit 2 ;;
  esac
fi
