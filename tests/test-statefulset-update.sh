#!/usr/bin/env bash
# Changes of the configuration: given to the running Redis where it takes them, by a restart where it does not, and by a
# StatefulSet made anew where the update policy asks for that.
# Runs against any cluster with the operator in it: `tests/test-statefulset-update.sh`.
# shellcheck source-path=SCRIPTDIR source=session.sh
. "$(dirname "${BASH_SOURCE[0]}")/session.sh"

say "an instance with data in it"
begin
redis SET order 4711

say "live: a directive that a running Redis takes"
before=$(start)
shown patch ri cache --type=merge -p '{"spec":{"config":{"maxmemory":"64mb"}}}'
told "spec.config[maxmemory]: applied live, no restart"
reaches Running
k wait ri/cache --for='jsonpath={.status.conditions[?(@.type=="ConfigApplied")].message}=applied live, no restart: maxmemory' \
  --timeout=30s >/dev/null || fail "no condition ConfigApplied that names maxmemory"
holds maxmemory 67108864
untouched "$before"

say "live: what this build of Redis refuses changes nothing, and a corrected spec heals it"
if [[ $(redis CONFIG SET activedefrag yes) == *ERR* ]]; then
  shown patch ri cache --type=merge -p '{"spec":{"config":{"activedefrag":"yes","maxmemory":"32mb"}}}'
  reaches Failed
  shown get ri cache -o 'jsonpath={.status.lastConditionMessage}'
  told "redis refuses spec.config[activedefrag]"
  holds maxmemory 67108864
  shown patch ri cache --type=merge -p '{"spec":{"config":{"activedefrag":null,"maxmemory":"64mb"}}}'
  reaches Running
else
  echo "  not shown: this Redis takes activedefrag"
fi
untouched "$before"

say "rolling: a directive that needs a restart"
shown patch ri cache --type=merge -p '{"spec":{"config":{"databases":"4"}}}'
told "spec.config[databases]: rolls 1 pod"
reaches Running
holds databases 4
restarted "$before"

say "recreate: the policy asks for the StatefulSet to be made anew; the volume stays"
shown patch ri cache --type=merge -p '{"spec":{"updatePolicy":{"config":"Recreate"}}}'
reaches Running
set=$(k get statefulset cache -o 'jsonpath={.metadata.uid}')
claim=$(k get pvc redis-data-cache-0 -o 'jsonpath={.metadata.uid}')
shown patch ri cache --type=merge -p '{"spec":{"config":{"maxmemory":"48mb"}}}'
told "spec.config[maxmemory]: recreates the StatefulSet: the pod restarts, its volume stays"
reaches Running
passed Updating Running
holds maxmemory 50331648
[ "$(k get statefulset cache -o 'jsonpath={.metadata.uid}')" != "$set" ] || fail "the StatefulSet was not made anew"
[ "$(k get pvc redis-data-cache-0 -o 'jsonpath={.metadata.uid}')" = "$claim" ] || fail "the claim was made anew"
[ "$(redis GET order)" = 4711 ] || fail "the data is gone"
echo "passed"
