#!/usr/bin/env bash
# The chart's life on a real cluster: installed by real Helm in the place of whatever operator is there, used, upgraded,
# uninstalled and installed again, while a Redis goes on serving. What an uninstallation leaves must be what
# docs/install.md says, and nothing else. CERTIFICATES is the chart's certificates.source.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=deploy.sh
. "$(dirname "${BASH_SOURCE[0]}")/deploy.sh"
readonly user=redis-operator-helm
# What may be left once the chart is gone: the CRD, and what the operator, cert-manager or generate.sh made.
readonly crd=CustomResourceDefinition//redisinstances.redis.github.com
readonly made="Lease/$namespace/redis-operator Secret/$namespace/redis-operator-webhook-cert Secret/$namespace/redis-operator-ca"
older=$(mktemp -d)
trap 'rm -rf "$older"' EXIT

helm() { "$here/cluster" exec helm "$@"; }

fail() { echo "FAILED: $*" >&2; exit 1; }

# is WANTED FOUND WHAT
is() { [ "$1" = "$2" ] || fail "$3 is \"$2\", not \"$1\""; }

# everything: every object there is, as Kind/namespace/name, but the user's and what Kubernetes makes by itself
everything() {
  local kinds others='^(apiservices|componentstatuses|endpoints|endpointslices|events|ipaddresses|persistentvolumes)(\.|$)'
  kinds=$(kubectl api-resources --verbs=list -o name | grep -vE "$others" | paste -sd,)
  kubectl get "$kinds" -A --ignore-not-found \
    -o go-template='{{range .items}}{{.kind}}/{{or .metadata.namespace ""}}/{{.metadata.name}}{{"\n"}}{{end}}' |
    grep -vE "/$user|^Lease/kube-" | LC_ALL=C sort
}

# what_is_left BEFORE: waits until what was not there before is the CRD and no more than what may be left
what_is_left() {
  local deadline=$((SECONDS + 60)) left object surplus
  while
    left=$(LC_ALL=C comm -13 <(echo "$1") <(everything))
    surplus=
    for object in $left; do [[ " $crd $made " == *" $object "* ]] || surplus+=" $object"; done
    [ -n "$surplus" ]
  do
    ((SECONDS < deadline)) || fail "uninstalled, and still there:$surplus"
    sleep 0.5
  done
  [[ $left == *"$crd"* ]] || fail "the CRD was not kept"
  printf 'left, as docs/install.md says:\n%s\n' "$left"
}

# installed CHART: as docs/install.md has it
installed() {
  local set=(--set "image.tag=${image#*:}" --set defaultImage=redis:7.0.15 --set "certificates.source=$certificates")
  shown helm install redis-operator "$1" -n "$namespace" "${set[@]}"
  helm install redis-operator "$1" -n "$namespace" "${set[@]}" >"$older/notes"
  grep -q 'rollout status' "$older/notes" || fail "the notes do not say what to do next: $(cat "$older/notes")"
  [ "$certificates" != provided ] || run webhook-certs/generate.sh
  run kubectl -n "$namespace" rollout status deployment/redis-operator --timeout=120s
  answers
}

# answers: a ready pod is not yet a reachable one, the Service's routes follow a moment later
answers() {
  local deadline=$((SECONDS + 30)) said
  until said=$(kubectl apply --dry-run=server -f manifests/samples/minimal.yaml 2>&1); do
    ((SECONDS < deadline)) || fail "admission does not answer: $said"
    sleep 0.2
  done
}

bundle() { kubectl get validatingwebhookconfiguration redis-operator -o 'jsonpath={.webhooks[0].clientConfig.caBundle}'; }

# looked_at GENERATION: the loop has seen this spec of the instance
looked_at() {
  kubectl -n $user wait ri/cache --for="jsonpath={.status.observedGeneration}=$1" --timeout=60s >/dev/null ||
    fail "the operator has not looked at generation $1"
}

redis_pod() { kubectl -n $user get pod cache-0 -o 'jsonpath={.metadata.uid}'; }

# of_the_instance: its objects, by name and identity
of_the_instance() {
  kubectl -n $user get statefulset,service,configmap,secret,pvc,pod -l app=redis \
    -o 'jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid}{"\n"}{end}'
}

without_an_operator() {
  say "a cluster without the operator"
  kubectl kustomize manifests | kubectl delete --ignore-not-found -f - >/dev/null
  kubectl delete namespace $user --ignore-not-found >/dev/null
  run kubectl create namespace "$namespace"
  run kubectl label namespace "$namespace" pod-security.kubernetes.io/enforce=restricted
}

every_kustomization() {
  local folder
  say "what kustomize makes, as the API server takes it"
  for folder in default provided namespaced network-policy; do
    kubectl kustomize manifests/$folder | kubectl apply --server-side --dry-run=server -f - >/dev/null ||
      fail "manifests/$folder is not accepted"
    echo "manifests/$folder: accepted"
  done
  kubectl apply --server-side --dry-run=server -f manifests/install.yaml >/dev/null || fail "install.yaml is not accepted"
}

# The chart as a version before this one might have been: its CRD is another.
chart_before() {
  cp -r charts/redis-operator "$older"
  sed -i 's/How clients authenticate\./As it was before./' "$older/redis-operator/files/crd.yaml"
}

described() {
  local auth='{.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.auth.description}'
  kubectl get crd redisinstances.redis.github.com -o "jsonpath=$auth"
}

an_instance() {
  say "an instance, in a namespace that enforces Pod Security restricted"
  kubectl create namespace $user >/dev/null
  kubectl label namespace $user pod-security.kubernetes.io/enforce=restricted >/dev/null
  run kubectl -n $user apply -f manifests/samples/cache.yaml
  run kubectl -n $user wait --for=condition=Ready ri/cache --timeout=90s
  if run kubectl -n $user apply -f manifests/samples/four-faults.yaml 2>&1; then fail "four faults were accepted"; fi
}

upgraded() {
  local trusted pod set=(--reset-then-reuse-values --set replicas=3)
  say "upgraded: another CRD and a third replica; the caBundle and Redis stay as they are"
  trusted=$(bundle) pod=$(redis_pod)
  [ -n "$trusted" ] || fail "no caBundle"
  is "As it was before." "$(described)" "the description of spec.auth"
  shown helm upgrade redis-operator charts/redis-operator -n "$namespace" "${set[@]}"
  helm upgrade redis-operator charts/redis-operator -n "$namespace" "${set[@]}" --wait --timeout 120s >/dev/null
  is "How clients authenticate." "$(described)" "the description of spec.auth"
  is 3 "$(kubectl -n "$namespace" get deployment redis-operator -o 'jsonpath={.status.readyReplicas}')" "the number of ready operators"
  is "$trusted" "$(bundle)" "the caBundle"
  is "$pod" "$(redis_pod)" "the Redis pod"
}

# may WANTED USER VERB RESOURCE NAMESPACE [SUBRESOURCE]
may() {
  local answer; answer=$(kubectl auth can-i "$3" "$4" --subresource="${6:-}" -n "$5" --as="$2" 2>/dev/null || true)
  is "$1" "$answer" "whether $2 may $3 $4 ${6:-} in $5"
}

people() {
  say "whoever has the role edit in a namespace may write instances there, whoever has view may read them"
  kubectl -n $user create rolebinding writer --clusterrole=edit --user=writer >/dev/null
  kubectl -n $user create rolebinding reader --clusterrole=view --user=reader >/dev/null
  may yes writer create redisinstances.redis.github.com $user
  may yes writer patch redisinstances.redis.github.com $user scale
  may no writer patch redisinstances.redis.github.com $user status
  may no writer create redisinstances.redis.github.com default
  may yes reader list redisinstances.redis.github.com $user
  may no reader delete redisinstances.redis.github.com $user
}

narrowed() {
  local operator=system:serviceaccount:$namespace:redis-operator set=(--reset-then-reuse-values --set "watchNamespaces={$user}")
  say "narrowed to one namespace: no permission in others; rolled back: in all of them"
  may yes "$operator" list statefulsets.apps default
  shown helm upgrade redis-operator charts/redis-operator -n "$namespace" "${set[@]}"
  helm upgrade redis-operator charts/redis-operator -n "$namespace" "${set[@]}" --wait --timeout 120s >/dev/null
  may yes "$operator" list statefulsets.apps $user
  may yes "$operator" update leases.coordination.k8s.io/redis-operator "$namespace"
  may no "$operator" list statefulsets.apps default
  may no "$operator" get secrets default
  kubectl -n $user patch ri cache --type=merge -p '{"spec": {"config": {"maxmemory-samples": "6"}}}' >/dev/null
  looked_at 2
  run helm rollback redis-operator -n "$namespace" --wait --timeout 120s
  may yes "$operator" list statefulsets.apps default
}

uninstalled() {
  local objects
  say "uninstalled: instances and their objects stay, and writes are not refused for want of an operator"
  objects=$(of_the_instance)
  run helm uninstall redis-operator -n "$namespace" --wait --timeout 120s
  what_is_left "$before"
  run kubectl -n $user label ri cache seen=yes
  is "$objects" "$(of_the_instance)" "what the instance has"
}

installed_again() {
  local pod
  say "installed again: the CRD is taken over, the instance is found as it was"
  pod=$(redis_pod)
  installed charts/redis-operator
  kubectl -n $user patch ri cache --type=merge -p '{"spec": {"config": {"maxmemory-samples": "7"}}}'
  looked_at 3
  run kubectl -n $user wait --for=condition=Ready ri/cache --timeout=60s
  is "$pod" "$(redis_pod)" "the Redis pod"
}

ended() {
  say "the instance deleted: its claim is kept; the chart uninstalled: only what the docs say is left"
  run kubectl -n $user delete ri cache
  run kubectl -n $user wait --for=delete pod/cache-0 --timeout=60s
  is persistentvolumeclaim/redis-data-cache-0 "$(kubectl -n $user get pvc -o name)" "what is kept of the instance"
  run helm uninstall redis-operator -n "$namespace" --wait --timeout 120s
  what_is_left "$before"
  kubectl delete namespace $user "$namespace" >/dev/null
  kubectl delete crd redisinstances.redis.github.com >/dev/null
}

cd "$root"
mkdir -p "$cache"
local_cluster
tests/tools/tool build
cert_manager
without_an_operator
every_kustomization
before=$(everything)
chart_before
installed "$older/redis-operator"
an_instance
people
upgraded
narrowed
uninstalled
installed_again
ended
