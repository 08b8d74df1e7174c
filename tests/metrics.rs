//! docs/metrics.md against the code, both ways: what `/metrics` can show is on the page, and what is on the page is shown.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use redis_operator::{
    api::v1::Phase,
    controller::WATCHED,
    metrics::{
        ConnectionRefusal, Failure, Kind, Listener, LiveConfig, Metrics, Outcome, RequestRefusal, ServerFigures, Verb,
        Verdict, Webhook,
    },
};

/// Type, meaning and labels of a metric.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    sort: String,
    meaning: String,
    labels: BTreeSet<String>,
}

/// Metrics by name.
type Catalogue = BTreeMap<String, Entry>;
/// Values by label and metric.
type Values = BTreeMap<(String, String), BTreeSet<String>>;

#[test]
fn the_page_and_the_program_name_the_same_metrics() {
    let (shown, _) = parse(&everything());
    let written = catalogue(&page());
    assert!(shown.len() > 20, "only {} metrics shown", shown.len());
    for (name, entry) in &shown {
        assert_eq!(Some(entry), written.get(name), "left: what is shown of {name}; right: its row in docs/metrics.md");
    }
    for name in written.keys() {
        assert!(shown.contains_key(name), "docs/metrics.md has {name}, which is never shown");
    }
}

#[test]
fn the_page_and_the_program_name_the_same_values_of_labels() {
    let (_, mut shown) = parse(&everything());
    let written = values(&page());
    let version = shown.remove(&("version".to_owned(), "redis_operator_build_info".to_owned())).unwrap();
    assert_eq!(version, BTreeSet::from([env!("CARGO_PKG_VERSION").to_owned()]));
    for (of, values) in &shown {
        assert_eq!(Some(values), written.get(of), "left: values shown of {of:?}; right: those in docs/metrics.md");
    }
    for of in written.keys().filter(|(label, _)| label != "version") {
        assert!(shown.contains_key(of), "docs/metrics.md has values of {of:?}, which is never shown");
    }
}

#[test]
fn names_are_what_prometheus_expects() {
    let (shown, _) = parse(&everything());
    for (name, entry) in shown {
        assert!(name.starts_with("redis_operator_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), entry.sort == "counter", "{name}");
        assert_eq!(name.ends_with("_info"), entry.sort == "info", "{name}");
        for scaled in ["_ms", "milliseconds", "_kb", "minutes", "percent"] {
            assert!(!name.contains(scaled), "{name} is not in a base unit");
        }
    }
}

#[test]
fn before_anything_happens_the_fixed_series_are_there_and_say_nothing() {
    let text = Metrics::new().exposition().unwrap();
    assert!(text.contains("redis_operator_reconcile_failures_total{class=\"conflict\"} 0\n"), "{text}");
    assert!(text.contains("redis_operator_admission_reviews_total{webhook=\"validate\",verdict=\"denied\"} 0\n"));
    assert!(!text.contains("certificate_expiry"), "0 would be a date");
    assert!(!text.contains("redis_operator_instances{"), "before the watch nothing is known");
}

#[test]
fn what_happens_is_counted() {
    let metrics = Metrics::new();
    let running = metrics.controller.began(Some(Duration::from_secs(2)));
    let second = metrics.controller.began(None);
    let shown = || metrics.exposition().unwrap();
    let holds = |line: &str| assert!(shown().contains(&format!("\n{line}\n")), "no {line} in {}", shown());
    holds("redis_operator_reconciles_in_flight 2");
    holds("redis_operator_reconcile_wait_seconds_sum 2.0");
    running.ended(Some(Failure::Conflict));
    second.ended(None);
    holds("redis_operator_reconciles_in_flight 0");
    holds("redis_operator_reconcile_failures_total{class=\"conflict\"} 1");
    holds("redis_operator_reconcile_duration_seconds_count{result=\"error\"} 1");
    holds("redis_operator_reconcile_duration_seconds_count{result=\"ok\"} 1");
    drop(metrics.requests.sent(Kind::Secret, Verb::Get));
    metrics.requests.sent(Kind::Secret, Verb::Get).answered(Outcome::NotFound);
    let secret = "redis_operator_api_requests_total{kind=\"Secret\",verb=\"get\",result";
    holds(&format!("{secret}=\"unreachable\"}} 1"));
    holds(&format!("{secret}=\"not_found\"}} 1"));
    holds("redis_operator_api_request_duration_seconds_count{kind=\"Secret\",verb=\"get\"} 2");
}

/// What is shown when everything has happened that can.
fn everything() -> String {
    let metrics = Metrics::new();
    let loops = &metrics.controller;
    loops.observe(|| Phase::ALL.iter().map(|phase| (format!("{phase:?}"), 1)).collect(), || 1);
    loops.began(Some(Duration::ZERO)).ended(None);
    for class in Failure::ALL {
        loops.began(None).ended(Some(*class));
    }
    for kind in WATCHED {
        loops.watch_interrupted(kind);
    }
    for result in LiveConfig::ALL {
        loops.live_config(*result);
    }
    for kind in Kind::ALL {
        for verb in Verb::ALL {
            for outcome in Outcome::ALL {
                metrics.requests.sent(*kind, *verb).answered(*outcome);
            }
        }
    }
    for webhook in Webhook::ALL {
        for verdict in Verdict::ALL {
            metrics.webhooks.reviewed(*webhook, *verdict, Duration::ZERO);
        }
    }
    for reason in RequestRefusal::ALL {
        metrics.webhooks.refused(*reason);
    }
    for listener in Listener::ALL {
        for reason in ConnectionRefusal::ALL {
            metrics.listeners.refused(*listener, *reason);
        }
    }
    metrics.servers.show();
    let figures =
        ServerFigures { memory_used: 1, memory_limit: 1, clients: 1, is_replica: true, silence: Some(1), lag: Some(1) };
    metrics.servers.told("NAMESPACE", "NAME", "POD", figures);
    metrics.webhooks.certificate_loaded(1);
    metrics.webhooks.certificate_refused();
    metrics.exposition().unwrap()
}

/// Reads the text form of OpenMetrics, as far as it is used here.
fn parse(text: &str) -> (Catalogue, Values) {
    let (mut catalogue, mut values) = (Catalogue::new(), Values::new());
    let (mut help, mut name) = (String::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            rest.split_once(' ').unwrap().1.clone_into(&mut help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (family, sort) = rest.split_once(' ').unwrap();
            let suffix = match sort {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            name = format!("{family}{suffix}");
            let entry = Entry { sort: sort.to_owned(), meaning: help.clone(), labels: BTreeSet::new() };
            assert!(catalogue.insert(name.clone(), entry).is_none(), "{name} is shown twice");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(name.trim_end_matches("_total")), "{line} does not belong to {name}");
            for (label, value) in labels(line) {
                // A histogram's own.
                if label != "le" {
                    catalogue.get_mut(&name).unwrap().labels.insert(label.to_owned());
                }
                // Names of objects, of which there is no list.
                if !["le", "namespace", "redis", "redis_pod"].contains(&label) {
                    values.entry((label.to_owned(), name.clone())).or_default().insert(value.to_owned());
                }
            }
        }
    }
    assert!(text.ends_with("\n# EOF\n"), "cut short: {text}");
    (catalogue, values)
}

fn labels(line: &str) -> Vec<(&str, &str)> {
    let Some((_, rest)) = line.split_once('{') else { return Vec::new() };
    let pairs = rest.rsplit_once('}').unwrap().0;
    let pair = |pair| {
        let (label, value): (&str, &str) = str::split_once(pair, "=\"").unwrap();
        (label, value.trim_end_matches('"'))
    };
    pairs.split("\",").map(pair).collect()
}

/// The rows `| metric | type | labels | meaning |` of the page.
fn catalogue(page: &str) -> Catalogue {
    let row = |line: &str| {
        let [name, sort, labels, meaning]: [&str; 4] = cells(line)?.try_into().ok()?;
        let name = name.strip_prefix('`')?.strip_suffix('`')?;
        let labels = codes(labels).map(str::to_owned).collect();
        Some((name.to_owned(), Entry { sort: sort.to_owned(), meaning: meaning.to_owned(), labels }))
    };
    page.lines().filter_map(row).collect()
}

/// The tables below headings such as "### `label` of `metric`, `metric`".
fn values(page: &str) -> Values {
    let mut found = Values::new();
    let mut of: Vec<(String, String)> = Vec::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            let mut codes = codes(heading).map(str::to_owned);
            let label = codes.next().unwrap();
            of = codes.map(|metric| (label.clone(), metric)).collect();
            for of in &of {
                assert!(found.insert(of.clone(), BTreeSet::new()).is_none(), "{of:?} is explained twice");
            }
        } else if line.starts_with("## ") {
            of.clear();
        } else if let Some([value, _]) = cells(line).as_deref()
            && let Some(value) = codes(value).next()
        {
            for of in &of {
                found.get_mut(of).unwrap().insert(value.to_owned());
            }
        }
    }
    found
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(row.split('|').map(str::trim).collect())
}

fn codes(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap()
}
