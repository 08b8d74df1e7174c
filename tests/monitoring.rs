//! Alerts and dashboard against what the operator shows: every metric, label and value they name exists, every alert has
//! its runbook and fires when it should. The ignored tests run the real promtool, as `tests/run.sh install` does.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::{Value, json};

const RUNBOOKS: &str = "https://github.com/redis-operator/redis-operator/blob/main/docs/runbooks.md#";

/// What Prometheus itself says of each scrape.
const OF_PROMETHEUS: &[&str] = &["up"];
/// Labels that Prometheus adds to each series.
const OF_THE_TARGET: &[&str] = &["instance", "job"];

/// Words of the query language that stand where a metric's name could.
const WORDS: &[&str] =
    &["and", "bool", "by", "group_left", "group_right", "ignoring", "offset", "on", "or", "unless", "without"];
/// Those that labels in parentheses follow.
const BEFORE_LABELS: &[&str] = &["by", "group_left", "group_right", "ignoring", "on", "without"];

#[test]
fn every_metric_and_label_that_is_named_exists() {
    let known = Known::read();
    assert!(known.metrics.len() > 20, "only {} metrics in docs/metrics.md", known.metrics.len());
    let mut faults = Vec::new();
    for (place, expression) in expressions() {
        let named = Named::read(&expression);
        assert!(!named.metrics.is_empty(), "{place}: no metric found in {expression:?}");
        faults.extend(
            named.metrics.iter().filter(|name| !known.metric(name)).map(|name| format!("{place}: metric {name}")),
        );
        faults
            .extend(named.labels.iter().filter(|name| !known.label(name)).map(|name| format!("{place}: label {name}")));
        for (label, value) in &named.values {
            if label != "job" && !known.values.contains(value) {
                faults.push(format!("{place}: value {value:?} of {label}"));
            }
        }
    }
    assert!(faults.is_empty(), "docs/metrics.md does not have:\n{}", faults.join("\n"));
}

#[test]
fn every_alert_says_what_it_must_and_has_a_runbook() {
    let (page, listed) = (file("docs/runbooks.md"), file("docs/monitoring.md"));
    let headings: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut alerts = BTreeSet::new();
    for rule in rules() {
        let alert = rule["alert"].as_str().unwrap().to_owned();
        assert!(headings.contains(alert.as_str()), "docs/runbooks.md has no heading {alert}");
        assert_eq!(rule["annotations"]["runbook_url"], format!("{RUNBOOKS}{}", alert.to_lowercase()));
        assert!(
            matches!(rule["labels"]["severity"].as_str(), Some("critical" | "warning")),
            "{alert}: {}",
            rule["labels"]
        );
        let row = format!(
            "| [{alert}](runbooks.md#{}) | {} |",
            alert.to_lowercase(),
            rule["labels"]["severity"].as_str().unwrap()
        );
        assert!(listed.contains(&row), "docs/monitoring.md has no row {row}");
        for annotation in ["summary", "description"] {
            let said = rule["annotations"][annotation].as_str().unwrap_or_default();
            assert!(said.ends_with('.') && said.len() > 20, "{alert}: {annotation} {said:?}");
        }
        assert!(alerts.insert(alert.clone()), "{alert} twice");
    }
    let without: Vec<&&str> = headings.iter().filter(|heading| !alerts.contains(**heading)).collect();
    assert!(without.is_empty(), "runbooks of no alert: {without:?}");
}

#[test]
fn every_alert_is_shown_to_fire_and_to_stay_silent() {
    let tests: Value = serde_saphyr::from_str(&file("tests/alerts.yaml")).unwrap();
    let mut seen: BTreeSet<(String, bool)> = BTreeSet::new();
    for test in tests["tests"].as_array().unwrap() {
        for moment in test["promql_expr_test"].as_array().unwrap() {
            let expression = moment["expr"].as_str().unwrap();
            let alert = expression.split("alertname=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
            seen.insert((alert.to_owned(), !moment["exp_samples"].as_array().unwrap().is_empty()));
        }
    }
    let alerts = || rules().into_iter().map(|rule| rule["alert"].as_str().unwrap().to_owned());
    let wanted: BTreeSet<(String, bool)> = alerts().flat_map(|alert| [(alert.clone(), true), (alert, false)]).collect();
    assert_eq!(seen, wanted, "left: what tests/alerts.yaml shows; right: each alert firing (true) and silent (false)");
}

#[test]
#[ignore = "runs promtool: tests/run.sh install"]
fn alerts_fire_when_they_should() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.yaml"), json!({ "groups": groups() }).to_string()).unwrap();
    fs::copy(root().join("tests/alerts.yaml"), folder.path().join("alerts.yaml")).unwrap();
    promtool(&["check", "rules", &folder.path().join("rules.yaml").to_string_lossy()]);
    promtool(&["test", "rules", &folder.path().join("alerts.yaml").to_string_lossy()]);
}

#[test]
#[ignore = "runs promtool: tests/run.sh install"]
fn every_query_of_the_dashboard_can_be_parsed() {
    let rule = |(number, (place, expr)): (usize, &(String, String))| json!({"record": format!("query:{number}"), "expr": expr, "labels": {"panel": place}});
    let queries = queries();
    let rules: Vec<Value> = queries.iter().enumerate().map(rule).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queries.yaml");
    fs::write(&path, json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string()).unwrap();
    let said = promtool(&["check", "rules", &path.to_string_lossy()]);
    assert!(said.contains(&format!("{} rules found", queries.len())), "{said}");
}

/// What an expression names. Not a parser: promtool has shown that it is one.
#[derive(Debug, Default)]
struct Named {
    metrics: BTreeSet<String>,
    labels: BTreeSet<String>,
    values: BTreeSet<(String, String)>,
}

impl Named {
    fn read(expression: &str) -> Self {
        let mut named = Self::default();
        let mut rest = expression;
        let mut labels_follow = false;
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len());
            if first.is_ascii_digit() {
                rest = &rest[word.max(1)..];
            } else if word > 0 {
                let (name, after) = rest.split_at(word);
                let next = after.trim_start();
                let called = next.starts_with('(') || next.starts_with("by ") || next.starts_with("without ");
                labels_follow = BEFORE_LABELS.contains(&name);
                if !WORDS.contains(&name) && !called {
                    named.metrics.insert(name.to_owned());
                }
                rest = after;
            } else if first == '[' {
                rest = rest.split_once(']').unwrap().1;
            } else if first == '{' {
                let (matchers, after) = rest[1..].split_once('}').unwrap();
                named.matchers(matchers);
                rest = after;
            } else if first == '(' && labels_follow {
                let (labels, after) = rest[1..].split_once(')').unwrap();
                named
                    .labels
                    .extend(labels.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()));
                labels_follow = false;
                rest = after;
            } else {
                rest = &rest[first.len_utf8()..];
            }
        }
        named
    }

    fn matchers(&mut self, matchers: &str) {
        for matcher in matchers.split(',') {
            let label = matcher.trim().split(['=', '!']).next().unwrap().to_owned();
            let values = matcher.split('"').nth(1).unwrap_or_else(|| panic!("no value in {matcher:?}"));
            self.values.extend(values.split('|').map(|value| (label.clone(), value.to_owned())));
            self.labels.insert(label);
        }
    }
}

/// What docs/metrics.md has; `tests/metrics.rs` holds it to the code.
struct Known {
    /// Type by name.
    metrics: BTreeMap<String, String>,
    page: String,
    values: BTreeSet<String>,
}

impl Known {
    fn read() -> Self {
        let page = file("docs/metrics.md");
        let (mut metrics, mut values) = (BTreeMap::new(), BTreeSet::new());
        for line in page.lines() {
            let Some(row) = line.strip_prefix("| `") else { continue };
            let (name, rest) = row.split_once('`').unwrap();
            let sort = rest.split('|').nth(1).unwrap_or_default().trim();
            if ["counter", "gauge", "histogram", "info"].contains(&sort) {
                metrics.insert(name.to_owned(), sort.to_owned());
            } else {
                values.insert(name.to_owned());
            }
        }
        Self { metrics, page, values }
    }

    fn metric(&self, name: &str) -> bool {
        let stem = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let of_histogram = stem.is_some_and(|stem| self.metrics.get(stem).is_some_and(|sort| sort == "histogram"));
        let plain = self.metrics.get(name).is_some_and(|sort| sort != "histogram");
        plain || of_histogram || OF_PROMETHEUS.contains(&name)
    }

    fn label(&self, name: &str) -> bool {
        name == "le" || OF_THE_TARGET.contains(&name) || self.page.contains(&format!("### `{name}` of "))
    }
}

/// Every expression of an alert or a panel, and where it stands.
fn expressions() -> Vec<(String, String)> {
    let of_rule =
        |rule: &Value| (rule["alert"].as_str().unwrap().to_owned(), rule["expr"].as_str().unwrap().to_owned());
    rules().iter().map(of_rule).chain(queries()).collect()
}

/// The dashboard's queries as Prometheus gets them: Grafana fills in its variable first.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&file("manifests/monitoring/redis-operator.json")).unwrap();
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
            assert!(!expression.contains('$'), "{title}: a variable is left in {expression:?}");
            found.push((title.to_owned(), expression));
        }
    }
    assert!(found.len() > 20, "only {} queries found", found.len());
    found
}

fn rules() -> Vec<Value> {
    let groups = groups();
    let found: Vec<Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect();
    assert!(found.len() > 10, "only {} alerts found", found.len());
    found
}

fn groups() -> Vec<Value> {
    let rule: Value = serde_saphyr::from_str(&file("manifests/monitoring/prometheus_rule.yaml")).unwrap();
    rule["spec"]["groups"].as_array().unwrap().clone()
}

fn promtool(arguments: &[&str]) -> String {
    let output = Command::new("tests/tools/tool").current_dir(root()).arg("promtool").args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}

fn file(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
