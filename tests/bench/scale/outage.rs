//! The API server dies and comes back: what the operator does meanwhile, and how soon all is in step again.

use std::{
    fs::{self, OpenOptions},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::ConfigMap};
use kube::api::ListParams;
use serde_json::json;

use super::{Ledger, all_running, name, patiently};
use crate::{
    common::{cluster::Place, operator::Operator},
    figures,
};

/// Instances whose creation the end of the API server cuts short.
const CUT_SHORT: usize = 20;

/// Kills the API server in the middle of some creations, starts it again after a while, and prints how it went on.
pub(super) async fn survived(place: &Place, operator: &Operator, instances: usize, away: Duration) {
    println!("\nAPI server killed amid {CUT_SHORT} creations, away for {away:?}; {}", figures::machine());
    let mut ledger = Ledger::open(operator);
    let creations = stream::iter(instances..instances + CUT_SHORT).map(|number| async move {
        place.create(&name(number), json!({})).await.unwrap();
    });
    creations.buffer_unordered(CUT_SHORT).collect::<()>().await;
    let server = ApiServer::find();
    let lines = operator.log().lines().count();
    server.kill();
    let pause = tokio::time::Instant::now() + away;
    tokio::time::interval_at(pause, away).tick().await;
    let (resident, _) = figures::memory(operator.id());
    let logged = operator.log().lines().count() - lines;
    println!("  meanwhile: CPU {:.2} s, resident {resident:.0} MiB, {logged} log lines", ledger.cpu());

    server.start();
    patiently("API server that is ready", || async {
        place.client.request_text(hyper::Request::get("/readyz").body(Vec::new()).unwrap()).await.ok()
    })
    .await;
    let begun = Instant::now();
    ledger.read();
    println!("  {} of {CUT_SHORT} StatefulSets were there", count(place).await.saturating_sub(instances));
    let elapsed = || begun.elapsed().as_secs_f64();
    place.delete::<ConfigMap>(&name(0)).await;
    place.create("afterwards", json!({})).await.unwrap();
    let put_back = async {
        place.until(&name(0), "ConfigMap", |map: Option<&ConfigMap>| map.is_some()).await;
        elapsed()
    };
    let new = async {
        place.until("afterwards", "StatefulSet", |set: Option<&StatefulSet>| set.is_some()).await;
        elapsed()
    };
    let cut_short = async {
        patiently("StatefulSets of what was cut short", || async {
            (count(place).await > instances + CUT_SHORT).then_some(())
        })
        .await;
        elapsed()
    };
    let (put_back, new, cut_short) = tokio::join!(put_back, new, cut_short);
    println!("  back: a deleted ConfigMap after {put_back:.2} s, a new instance's StatefulSet after {new:.2} s,");
    println!("        all that was cut short after {cut_short:.2} s; {}", figures::machine());
    all_running(place, instances + CUT_SHORT + 1).await;
    ledger.quiet().await;
    ledger.print(instances);
}

async fn count(place: &Place) -> usize {
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=redis-operator");
    place.api::<StatefulSet>().list_metadata(&ours).await.map_or(0, |sets| sets.items.len())
}

/// The API server's process in this PID namespace, as it was started.
struct ApiServer {
    process: u32,
    command: Vec<String>,
    log: PathBuf,
}

impl ApiServer {
    fn find() -> Self {
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let command = |process: &u32| -> Option<Vec<String>> {
            let text = fs::read_to_string(format!("/proc/{process}/cmdline")).ok()?;
            Some(text.split_terminator('\0').map(str::to_owned).collect())
        };
        let is_ours = |(process, command): &(u32, Vec<String>)| {
            command.get(1).is_some_and(|name| name == "kube-apiserver") && *process != 0
        };
        let (process, command) = numbers
            .filter_map(|process| Some((process, command(&process)?)))
            .find(is_ours)
            .expect("a kube-apiserver among the processes of the cluster");
        let log = fs::read_link(format!("/proc/{process}/fd/1")).unwrap();
        Self { process, command, log }
    }

    fn kill(&self) {
        let killed = Command::new("kill").args(["-9", &self.process.to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// Starts it as it was started before; it outlives this process, as it would have.
    fn start(&self) {
        let log = OpenOptions::new().append(true).open(&self.log).unwrap();
        let mut again = Command::new("setsid");
        again.arg("--fork").args(&self.command).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        assert!(again.status().unwrap().success());
    }
}
