//! Failover on a real cluster where a wrong choice loses data: a primary that is slow and not dead, a replica that was not in
//! sync, a pod that ran alone, and an administrator's word. Writes count as acknowledged without WAIT.

mod common;

use std::time::Duration;

use common::{
    cluster::{Place, Redis, eventually},
    deployed,
    members::Members,
    writer::Writer,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use redis_operator::api::v1::{Phase, RedisInstance};
use serde_json::json;
use tokio::time::timeout;

/// How long a command may take that blocks the server on purpose.
const SCRIPT_DEADLINE: Duration = Duration::from_mins(1);

/// Deletes the first pod, waits until another one is the primary, and writes there; the primary.
async fn write_with_primary_other_than_first(members: &Members<'_>) -> String {
    members.place.delete::<Pod>("cache-0").await;
    let primary = members.primary_after("cache-0").await;
    members.place.reaches("cache", Phase::Running).await;
    assert_eq!(members.ask(&primary, "SET order 4711").await, "+OK");
    primary
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn pods_that_are_added_wait_for_the_one_that_ran_alone() {
    let place = Place::new("alone").await;
    let members = place.create_cache(1, json!({})).await;
    assert_eq!(members.ask("cache-0", "SET order 4711").await, "+OK");
    members.signal("cache-0", "STOP").await;
    place.change("cache", json!({"replicas": 3})).await;
    place.wait_for_message("no replica was in sync with it").await;
    assert_eq!(members.mark("cache-0").await, Some((1, "primary".to_owned())));
    for pod in ["cache-1", "cache-2"] {
        let role = members.ask(pod, "INFO replication").await;
        assert!(role.contains("role:slave"), "{pod} was promoted without data: {role}");
    }
    members.signal("cache-0", "CONT").await;
    place.reaches("cache", Phase::Running).await;
    for pod in ["cache-0", "cache-1", "cache-2"] {
        assert_eq!(members.ask(pod, "GET order").await, "4711", "{pod}");
    }
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_pod_without_the_newest_data_takes_no_writes_when_fewer_are_made() {
    let place = Place::new("fewer").await;
    let members = place.create_cache(3, json!({})).await;
    let primary = write_with_primary_other_than_first(&members).await;
    place.delete::<RedisInstance>("cache").await;
    for pod in ["cache-0", "cache-1", "cache-2"] {
        place.gone::<Pod>(pod).await;
    }

    place.create("cache", json!({"image": "redis:7.0.15", "storage": {"size": "64Mi"}})).await.unwrap();
    place.wait_for_message(&format!("the newest data is in the volume of {primary}")).await;
    let refused = members.ask("cache-0", "SET order 1").await;
    assert!(refused.starts_with("-READONLY"), "{refused}");
    place.change("cache", json!({"replicas": 3})).await;
    place.reaches("cache", Phase::Running).await;
    assert_eq!(members.primary().await.as_deref(), Some(primary.as_str()));
    assert_eq!(members.ask(&primary, "GET order").await, "4711");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn an_instance_that_takes_up_the_pods_of_another_hands_the_role_over_before_any_goes() {
    let place = Place::new("orphans").await;
    let members = place.create_cache(3, json!({})).await;
    write_with_primary_other_than_first(&members).await;
    let orphan =
        DeleteParams { propagation_policy: Some(kube::api::PropagationPolicy::Orphan), ..DeleteParams::default() };
    place.api::<RedisInstance>().delete("cache", &orphan).await.unwrap();
    place.gone::<RedisInstance>("cache").await;
    place.create_cache(1, json!({})).await;
    for pod in ["cache-1", "cache-2"] {
        place.gone::<Pod>(pod).await;
    }
    assert_eq!(members.ask("cache-0", "GET order").await, "4711");
    assert_eq!(members.ask("cache-0", "SET order 4712").await, "+OK");
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_replica_that_was_cut_off_is_not_promoted_over_a_primary_that_restarts() {
    for replicas in [2, 3] {
        let place = Place::new("stale").await;
        let members = place.create_cache(replicas, json!({"replication": {"durability": "Available"}})).await;
        let former = members.one_takes_writes().await;
        let address = members.pod(&former).await.unwrap().status.unwrap().pod_ip.unwrap();
        let others: Vec<String> =
            (0..replicas).map(|ordinal| format!("cache-{ordinal}")).filter(|pod| *pod != former).collect();
        for pod in &others {
            members.deafen(pod, &address, true).await;
        }
        for pod in &others {
            eventually(&format!("mark of {pod} that it is behind"), || async {
                members.mark(pod).await.filter(|(_, state)| state == "behind")
            })
            .await;
        }
        let writer = Writer::start(&place, "cache").await;
        writer.goes_on(50).await;
        members.signal(&former, "KILL").await;
        writer.goes_on(50).await;
        assert_eq!(members.one_takes_writes().await, former, "it has all that was acknowledged");
        for pod in &others {
            members.deafen(pod, &address, false).await;
        }
        place.reaches("cache", Phase::Running).await;
        writer.stop_without_loss(&format!("{replicas} pods, replicas cut off, primary killed")).await;
        place.leave().await;
    }
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_promotion_that_was_not_asked_for_is_refused_and_does_nothing_later() {
    let place = Place::new("word").await;
    let members = place.create_cache(3, json!({})).await;
    let primary = members.one_takes_writes().await;
    let other = if primary == "cache-1" { "cache-2" } else { "cache-1" };
    let (term, _) = members.mark(&primary).await.unwrap();
    let word = json!({"metadata": {"annotations": {"redis.github.com/promote": format!("{other}@{term}")}}});
    place.api::<RedisInstance>().patch("cache", &PatchParams::default(), &Patch::Merge(word)).await.unwrap();
    let note = place.wait_for_event("PromotionRefused", "").await;
    assert!(note.contains(&format!("{primary} takes the writes")), "{note}");
    for pod in ["cache-0", "cache-1", "cache-2"] {
        eventually(&format!("mark of {pod} in a new term"), || async {
            members.mark(pod).await.filter(|(now, state)| *now > term && state != "behind")
        })
        .await;
    }
    members.signal(&primary, "STOP").await;
    place.wait_for_message("does not answer; it is asked again").await;
    members.signal(&primary, "CONT").await;
    place.reaches("cache", Phase::Running).await;
    assert_eq!(members.one_takes_writes().await, primary);
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_primary_that_refuses_only_the_operator_keeps_its_role() {
    let place = Place::new("resets").await;
    let members = place.create_cache(3, json!({})).await;
    let writer = Writer::start(&place, "cache").await;
    writer.goes_on(50).await;
    let primary = members.primary().await.unwrap();
    let operators = deployed::pods(&place.client).list(&ListParams::default()).await.unwrap().items;
    let addresses: Vec<String> = operators.into_iter().filter_map(|pod| pod.status?.pod_ip).collect();
    for address in &addresses {
        members.refuse(&primary, address, true).await;
    }
    place.wait_for_message("does not answer the operator while its replicas hear it").await;
    writer.goes_on(50).await;
    for pod in ["cache-0", "cache-1", "cache-2"] {
        let role = members.ask(pod, "INFO replication").await;
        assert_eq!(role.contains("role:master"), pod == primary, "{pod}: {role}");
    }
    for address in &addresses {
        members.refuse(&primary, address, false).await;
    }
    place.reaches("cache", Phase::Running).await;
    let outcome = writer.stop().await;
    assert!(outcome.lost.is_empty(), "{:?}", outcome.lost);
    place.leave().await;
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn a_script_that_blocks_for_long_loses_nothing_that_it_acknowledged() {
    for (replicas, threshold, resources) in [
        (3, "5000", json!({})),
        (3, "30000", json!({})),
        (2, "30000", json!({})),
        (3, "5000", json!({"limits": {"cpu": "200m"}})),
    ] {
        let place = Place::new("script").await;
        let members = place.create_cache(replicas, json!({ "resources": resources })).await;
        let former = members.one_takes_writes().await;
        let mut client = members.connect(&former).await.unwrap();
        // Admission refuses more than 5000 with several pods, and cannot keep anyone from setting it on the server.
        assert_eq!(client.ask(&format!("CONFIG SET busy-reply-threshold {threshold}")).await, "+OK");
        let acknowledged = timeout(SCRIPT_DEADLINE, block(&mut client, 8)).await.expect("an answer of the script");
        place.reaches("cache", Phase::Running).await;
        let primary = members.one_takes_writes().await;
        let done = members.try_ask(&primary, "GET done").await;
        eprintln!("{replicas} pods, threshold {threshold}, {resources}: {former}, then {primary}; {acknowledged:?}");
        assert!(acknowledged.as_deref() != Some("+OK") || done.as_deref() == Some("1"), "{acknowledged:?}, {done:?}");
        place.leave().await;
    }
}

/// A script that runs for so many seconds and then writes; its answer, if the connection lasts so long.
async fn block(client: &mut Redis, seconds: u32) -> Option<String> {
    let script = format!(
        "local function now() local t = redis.call('TIME') return t[1] + t[2] / 1000000 end local s = now() \
         repeat for i = 1, 100000 do end until now() - s > {seconds} return redis.call('SET', 'done', 1)"
    );
    client.try_ask(&format!("EVAL \"{script}\" 0")).await
}

#[tokio::test]
#[ignore = "needs a cluster with the operator"]
async fn pods_that_lose_their_labels_get_them_back_and_lose_no_write() {
    let place = Place::new("labels").await;
    let members = place.create_cache(3, json!({})).await;
    let writer = Writer::start(&place, "cache").await;
    writer.goes_on(50).await;
    let pods = ["cache-0", "cache-1", "cache-2"];
    let primary = members.primary().await.unwrap();
    for lost in [vec![primary.as_str()], pods.to_vec()] {
        let mut uids = Vec::new();
        for pod in &lost {
            uids.push(members.pod(pod).await.unwrap().uid());
            let without = json!({"metadata": {"labels": {"redis.github.com/instance": null, "app": null}}});
            place.api::<Pod>().patch(pod, &PatchParams::default(), &Patch::Merge(without)).await.unwrap();
        }
        for (pod, uid) in lost.iter().zip(uids) {
            eventually(&format!("labels of {pod}"), || async {
                let pod = members.pod(pod).await?;
                assert_eq!(pod.uid(), uid, "the pod is the same");
                let is_adopted = pod.owner_references().iter().any(|owner| owner.kind == "StatefulSet");
                (is_adopted && pod.labels().contains_key("app")).then_some(())
            })
            .await;
        }
        assert_eq!(members.one_takes_writes().await, primary, "no other pod was promoted");
        place.reaches("cache", Phase::Running).await;
        writer.goes_on(50).await;
    }
    writer.stop_without_loss("pods without labels").await;
    place.leave().await;
}
