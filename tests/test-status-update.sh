#!/usr/bin/env bash
# The status while an instance lives: every phase is set when it begins and left when it ends, and the conditions are
# those that `kubectl wait` and tools of the kstatus kind read.
# Runs against any cluster with the operator in it: `tests/test-status-update.sh`.
# shellcheck source-path=SCRIPTDIR source=session.sh
. "$(dirname "${BASH_SOURCE[0]}")/session.sh"

# condition TYPE: its status, or nothing when it is not there
condition() { k get ri cache -o "jsonpath={.status.conditions[?(@.type==\"$1\")].status}"; }

say "created: Creating, Pending, Running"
begin
passed Creating Pending Running
shown wait ri/cache --for=condition=Ready --timeout=10s
[ -z "$(condition Reconciling)$(condition Stalled)" ] || fail "an instance at rest has an abnormal condition"

say "changed: Updating is set, and recovered from"
shown patch ri cache --type=merge -p '{"spec":{"config":{"databases":"4"}}}'
reaches Running
passed Creating Pending Running Updating Running
shown get ri cache -o 'jsonpath={.status.history[-2:].message}'
told "config changed: databases"
[ "$(k get ri cache -o 'jsonpath={.status.ready} {.status.readyPods} {.status.primary}')" = "True 1/1 cache-0" ] ||
  fail "ready, readyPods or primary is not what it should be"

say "broken: Failed with the reason, Stalled while it lasts"
shown patch ri cache --type=merge -p '{"spec":{"image":"redis:7.0.99"}}'
reaches Failed
[ "$(condition Stalled) $(condition Ready)" = "True False" ] || fail "Stalled and Ready are not what they should be"
shown patch ri cache --type=merge -p "{\"spec\":{\"image\":\"$image\"}}"
reaches Running
[ -z "$(condition Stalled)" ] || fail "Stalled outlived its cause"

say "the story, as it is told without being asked"
shown describe ri cache
for words in "waiting for the StatefulSet controller" "config changed: databases" \
  "image changed from $image to redis:7.0.99" "image cannot be pulled" "1 of 1 pods serve"; do
  told "$words"
done

say "deleted: Terminated while children remain"
# something else holds a child back, as a backup does
k patch configmap cache --type=merge -p '{"metadata":{"finalizers":["test.example.com/hold"]}}' >/dev/null
shown delete ri cache --cascade=foreground --wait=false
k wait ri/cache --for='jsonpath={.status.status}=Terminated' --timeout=60s >/dev/null || fail "phase Terminated was not reached"
k patch configmap cache --type=merge -p '{"metadata":{"finalizers":null}}' >/dev/null
k wait ri/cache --for=delete --timeout=60s >/dev/null || fail "the instance is not gone"
echo "passed"
