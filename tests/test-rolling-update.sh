#!/usr/bin/env bash
# Changes that the pods follow one at a time, without the StatefulSet being made anew: replicas, image, resources.
# Runs against any cluster with the operator in it: `tests/test-rolling-update.sh`.
# shellcheck source-path=SCRIPTDIR source=session.sh
. "$(dirname "${BASH_SOURCE[0]}")/session.sh"

say "an instance with data in it"
begin
redis SET order 4711
set=$(k get statefulset cache -o 'jsonpath={.metadata.uid}')

say "replicas: more of them restart nobody, have the data, and go again"
before=$(start)
shown scale ri/cache --replicas=3
reaches Running
shown get pods -l redis.github.com/instance=cache -L redis.github.com/role
shown get ri cache -o 'jsonpath={.status.conditions[?(@.type=="Replicated")].message}'
told "all replicas are in sync with primary cache-0"
refused scale ri/cache --replicas=17
shown patch ri cache --type=merge -p '{"spec":{"replicas":1}}'
told "spec.replicas: replicas changed from 3 to 1"
reaches Running
untouched "$before"

say "image: one that does not exist stops at the first pod, and the corrected one heals it"
shown patch ri cache --type=merge -p '{"spec":{"image":"redis:7.0.99"}}'
told "spec.image: rolls 1 pod: about one restart of downtime"
reaches Failed
shown get ri cache -o 'jsonpath={.status.lastConditionMessage}'
told "image cannot be pulled"
shown patch ri cache --type=merge -p "{\"spec\":{\"image\":\"$image\"}}"
reaches Running
passed Updating Failed Updating Running

say "resources: the pod is restarted with the new ones"
before=$(start)
shown patch ri cache --type=merge -p '{"spec":{"resources":{"limits":{"memory":"256Mi"}}}}'
told "spec.resources: rolls 1 pod"
reaches Running
restarted "$before"
shown get pod cache-0 -o 'jsonpath={.spec.containers[0].resources.limits.memory}'
told 256Mi
passed Updating Running

say "the StatefulSet is the one that it was, and so is the data"
[ "$(k get statefulset cache -o 'jsonpath={.metadata.uid}')" = "$set" ] || fail "the StatefulSet was made anew"
[ "$(redis GET order)" = 4711 ] || fail "the data is gone"
echo "passed"
