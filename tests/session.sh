# shellcheck shell=bash
# What the scripts beside it share: a namespace of their own in whatever cluster kubectl reaches, and checks that say
# what was missing. Sourced, never run. KUBECTL names another kubectl; REDIS_IMAGE another image to run.
set -euo pipefail
kubectl=${KUBECTL:-kubectl}
image=${REDIS_IMAGE:-redis:7.0.15}
namespace=redis-operator-script-$$
readonly kubectl image namespace
answer='' # what the last command said

say() { printf '\n# %s\n' "$*"; }

k() { "$kubectl" -n "$namespace" "$@"; }

# shown CMD...: runs kubectl as a person would see it; warnings are part of the answer
shown() {
  local word line='$ kubectl'
  for word in "$@"; do
    [[ $word =~ ^[A-Za-z0-9_./:=,@-]+$ ]] || word="'$word'"
    line+=" $word"
  done
  echo "$line"
  answer=$(k "$@" 2>&1) || {
    echo "$answer"
    return 1
  }
  echo "$answer"
}

fail() {
  echo "FAILED: $*" >&2
  k get ri,statefulset,pods -o wide >&2 || true
  k describe ri >&2 || true
  exit 1
}

# told TEXT: the last answer holds the text
told() { [[ $answer == *"$1"* ]] || fail "expected \"$1\" in the answer above"; }

# refused CMD...: the command fails
refused() { if shown "$@"; then fail "should have been refused"; fi; }

# reaches PHASE: the instance is in the phase, for the spec as it is now
reaches() {
  local generation phase; generation=$(k get ri cache -o 'jsonpath={.metadata.generation}')
  k wait ri/cache --for="jsonpath={.status.observedGeneration}=$generation" --timeout=60s >/dev/null ||
    fail "the operator has not looked at generation $generation"
  k wait ri/cache --for="jsonpath={.status.status}=$1" --timeout=60s >/dev/null || {
    phase=$(k get ri cache -o 'jsonpath={.status.status}: {.status.lastConditionMessage}')
    fail "phase $1 was not reached; it is $phase"
  }
  echo "  phase $1"
}

# passed PHASE...: the history ends with these phases, in this order
passed() {
  local phases; phases=$(k get ri cache -o 'jsonpath={.status.history[*].phase}')
  [[ $phases == *"$*" ]] || fail "expected the history to end with \"$*\"; it is \"$phases\""
  echo "  history ... $*"
}

# start: what tells one start of Redis from another
start() { k get pod cache-0 -o 'jsonpath={.metadata.uid} {.status.containerStatuses[0].state.running.startedAt}'; }

# redis CMD...: what Redis itself answers, asked inside its pod
redis() {
  # shellcheck disable=SC2016
  k exec cache-0 -c redis -- sh -c 'REDISCLI_AUTH=$(cat /usr/local/etc/redis-auth/password) redis-cli "$@"' redis "$@"
}

# holds DIRECTIVE VALUE: Redis holds it
holds() {
  local held; held=$(redis CONFIG GET "$1" | tail -n 1)
  [ "$held" = "$2" ] || fail "redis holds $1 \"$held\", not \"$2\""
  echo "  redis holds $1 $2"
}

# untouched START, restarted START: whether Redis is still the start that it was
untouched() { [ "$(start)" = "$1" ] || fail "the pod was restarted"; echo "  the same pod, not restarted"; }
restarted() { [ "$(start)" != "$1" ] || fail "the pod was not restarted"; echo "  restarted"; }

begin() {
  "$kubectl" create namespace "$namespace" >/dev/null
  trap '"$kubectl" delete namespace "$namespace" --wait=false >/dev/null' EXIT
  shown apply -f - <<X
apiVersion: redis.github.com/v1
kind: RedisInstance
metadata: {name: cache}
spec: {image: "$image", storage: {size: 64Mi}, config: {maxmemory: 100mb}}
X
  reaches Running
}
