#!/usr/bin/env bash
# The show: an instance from `kubectl apply` to Running, used by another pod, kept
# over the loss of its pod, then with replicas over the loss of its primary; and a refusal. Every command is one that a user could
# type, and what is printed is what it said. It works in a namespace of its own, which it deletes first.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=deploy.sh
. "$(dirname "${BASH_SOURCE[0]}")/deploy.sh"
demo=redis-operator-demo

# in_client COMMAND...: shown once, tried until the Service has learnt of the Redis pod
in_client() {
  local deadline=$((SECONDS + 30)) out
  shown kubectl exec client -- "$@"
  until out=$(kubectl exec client -- "$@" 2>&1); do
    ((SECONDS < deadline)) || { echo "$out"; return 1; }
    sleep 0.1
  done
  echo "$out"
}

fresh_namespace() {
  say "from here on everything is in a namespace of the show (-n $demo)"
  kubectl delete namespace $demo --ignore-not-found --timeout=60s
  run kubectl create namespace $demo
  run kubectl label namespace $demo pod-security.kubernetes.io/enforce=restricted
  kubectl() { "$KUBECTL" -n $demo "$@"; }
}

becomes_running() {
  local watch
  say "an instance: accepted, its defaults filled in by the webhook, and on its way to Running"
  "$KUBECTL" -n $demo get ri --watch & watch=$!
  run kubectl apply -f manifests/samples/cache.yaml
  kubectl wait --for='jsonpath={.status.status}=Running' ri/cache --timeout=60s >/dev/null
  kill $watch; wait $watch 2>/dev/null || true
  run kubectl get ri
  run kubectl get ri cache -o 'jsonpath={range .status.history[*]}{.time} {.phase}: {.message}{"\n"}{end}'
  run kubectl get ri cache -o 'jsonpath={.spec}{"\n"}'
  run kubectl get statefulset,service,configmap,secret,pvc -l app=redis
}

serves_a_client() {
  say "another pod speaks to it through its Service, with the password from its Secret"
  run kubectl apply -f manifests/samples/client.yaml
  run kubectl wait --for=condition=Ready pod/client --timeout=60s
  in_client redis-cli -h cache SET greeting "written before the pod was lost"
  in_client redis-cli -h cache GET greeting
}

survives_its_pod() {
  say "the Redis pod is lost and comes back with its data"
  run kubectl delete pod cache-0
  run kubectl wait --for=create pod/cache-0 --timeout=60s
  run kubectl wait --for=condition=Ready pod/cache-0 --timeout=60s
  in_client redis-cli -h cache GET greeting
  run kubectl get ri
}

loses_its_primary() {
  local begun
  say "three pods: one takes the writes, the others are copies of it; the first goes on running"
  run kubectl patch ri cache --type=merge -p '{"spec":{"replicas":3}}'
  kubectl wait --for='jsonpath={.status.readyPods}=3/3' ri/cache --timeout=60s >/dev/null
  run kubectl wait --for=condition=Ready ri/cache --timeout=60s
  run kubectl get ri,pods -l app.kubernetes.io/name=redis -L redis.github.com/role
  run kubectl get ri
  in_client redis-cli -e -h cache SET greeting "written before the primary was lost"

  say "the primary ends from one moment to the next: how long until writes are taken again?"
  begun=${EPOCHREALTIME/./}
  shown kubectl exec client -- redis-cli -h cache SHUTDOWN NOSAVE NOW
  kubectl exec client -- redis-cli -h cache SHUTDOWN NOSAVE NOW || true
  in_client redis-cli -e -h cache SET after "written after it was lost"
  awk -v from="$begun" -v to="${EPOCHREALTIME/./}" 'BEGIN { printf "# after %.1f s\n", (to - from) / 1000000 }'
  in_client redis-cli -h cache GET greeting
  kubectl wait --for=condition=Ready ri/cache --timeout=60s >/dev/null
  run kubectl get pods -l redis.github.com/instance=cache -L redis.github.com/role
  run kubectl get events --field-selector reason=FailedOver -o 'custom-columns=REASON:.reason,MESSAGE:.message'
}

refuses() {
  say "four faults in one spec: refused at once, all four named, nothing stored"
  if run kubectl apply -f manifests/samples/four-faults.yaml 2>&1; then
    echo "demo: the spec was accepted" >&2
    return 1
  fi
}

how_to_go_on() {
  say "yours now"
  cat <<X
just kubectl -n $demo get ri --watch
just kubectl apply -f manifests/samples/minimal.yaml      (or -f - and a spec on standard input)
just kubectl explain ri.spec
just logs                                                 (the operator's)
just down                                                 (stops all of it and leaves nothing behind)
X
}

up
fresh_namespace
becomes_running
serves_a_client
survives_its_pod
loses_its_primary
refuses
how_to_go_on
