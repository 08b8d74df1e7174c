//! What admission accepts, real servers start with and hold: random configurations, rendered, started, and read back with
//! CONFIG GET; and the same reached on a running server with CONFIG SET. Needs the servers of `install.sh`, and only the
//! loopback. `CONFIGS=20000 just test-servers` tries that many a server; `SERVER='redis 7.0'` tries only that one.

mod passwords;
mod server;
mod values;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::Mutex,
    thread,
};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use redis_operator::{
    api::v1::{ConfigValue, RedisInstance},
    build,
    domain::{
        auth::Password,
        config::{self, Rules},
        defaults::Defaults,
        directives::{Directive, release, runtime_value},
        effective::Effective,
        instance::ValidatedInstance,
        owned_directives, validate,
        wanted::Wanted,
    },
    redis::{Credentials, Server as Connection, ServerError},
};
use serde_json::{Value, json};
use server::{Release, Server};

/// Name of a directive and a seed for its value.
type Choice = (&'static str, u64);
/// What the server is held to: directives by name, each with the words that are wanted.
type Words = BTreeMap<String, Vec<String>>;

#[derive(Default)]
struct Figures {
    started: usize,
    refused: usize,
    read_back: usize,
    left_alone: usize,
    set: usize,
    names: BTreeSet<&'static str>,
}

#[test]
#[ignore = "needs real servers: just test-servers"]
fn an_accepted_configuration_starts_and_reads_back() {
    on_each_server("started with random configurations", configs(), |release, choices, figures| {
        let (instance, conf) = accepted(release, choices, figures)?;
        let mut server = start(release, &instance, &conf)?;
        figures.started += 1;
        holds_all(release, &mut server, &wanted(&instance), &conf, figures)
    });
}

#[test]
#[ignore = "needs real servers: just test-servers"]
fn a_change_on_a_running_server_is_what_a_start_would_have_brought() {
    on_each_server("changed while they ran", configs().div_ceil(10), |release, choices, figures| {
        let (first, conf) = accepted(release, &[], figures)?;
        let mut server = start(release, &first, &conf)?;
        figures.started += 1;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (address, password) = ((server.address.into(), 6379), server.password.clone());
        let credentials = Credentials { current: &password, former: None };
        let mut connection = runtime
            .block_on(Connection::connect(address, (!password.is_empty()).then_some(credentials)))
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        let known = release::Release::Known(release.line);
        let mut before = Effective::of(&first, known);
        for choices in choices.chunks(6) {
            let (instance, _) = accepted(release, choices, figures)?;
            runtime.block_on(change(&mut connection, &before, &instance, figures))?;
            holds_all(release, &mut server, &wanted(&instance), "after CONFIG SET", figures)?;
            before = Effective::of(&instance, known);
        }
        Ok(())
    });
}

fn configs() -> u32 {
    env::var("CONFIGS").map_or(60, |count| count.parse().expect("CONFIGS: a number"))
}

/// Runs the property on every server at once and prints what was tried.
fn on_each_server(
    what: &str,
    cases: u32,
    property: impl Fn(&Release, &[Choice], &mut Figures) -> Result<(), TestCaseError> + Sync,
) {
    let live_only = what.starts_with("changed");
    thread::scope(|scope| {
        for release in Release::all() {
            let property = &property;
            scope.spawn(move || {
                let figures = Mutex::new(Figures::default());
                let names: Vec<&'static str> =
                    release.line.names().filter(|name| is_tried(&release, name, live_only)).collect();
                assert!(names.len() > 90, "only {} directives of {} are tried", names.len(), release.image());
                let choice = (prop::sample::select(names), any::<u64>());
                let mut runner = TestRunner::new(Config {
                    cases,
                    failure_persistence: None,
                    max_global_rejects: u32::MAX,
                    ..Config::default()
                });
                let outcome = runner.run(&prop::collection::vec(choice, 1..24), |choices| {
                    property(&release, &choices, &mut figures.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
                });
                let Figures { started, refused, read_back, left_alone, set, names } = figures.into_inner().unwrap();
                println!(
                    "{}: {started} servers {what}, {refused} values refused by admission, {set} set, {read_back} read back \
                     as wanted, {left_alone} left at their default; {} directives",
                    release.image(),
                    names.len()
                );
                if let Err(error) = outcome {
                    panic!("{}: {error}", release.image());
                }
            });
        }
    });
}

fn start(release: &Release, instance: &ValidatedInstance, conf: &str) -> Result<Server, TestCaseError> {
    let password = Password::from_entropy([7; 24]);
    Server::start(release, conf, instance.auth.is_enabled().then_some(&password)).map_err(TestCaseError::fail)
}

fn is_tried(release: &Release, name: &str, live_only: bool) -> bool {
    let directive = release.line.directive(name).unwrap();
    owned_directives::cure(name).is_none()
        && owned_directives::cure(&directive.name).is_none()
        && !directive.has("sentinel_mode_only")
        && (!live_only || directive.is_live())
}

/// An instance of the values that admission accepts, each alone and all together, and the file that is rendered of it.
fn accepted(
    release: &Release,
    choices: &[Choice],
    figures: &mut Figures,
) -> Result<(ValidatedInstance, String), TestCaseError> {
    let mut config = BTreeMap::new();
    let mut taken = BTreeSet::new();
    let auth = choices.len().is_multiple_of(2);
    for (name, seed) in choices {
        let directive = release.line.directive(name).unwrap();
        let value = values::value(directive, release.defragments, *seed);
        if !taken.insert(&directive.name) {
            continue; // two names of one directive are refused together
        }
        if is_accepted(release, name, &value) {
            figures.names.insert(name);
            config.insert(*name, value);
        } else {
            figures.refused += 1;
        }
    }
    // Refused for what they are together, such as more replicas to write to than there are.
    rendered(json!({"image": release.image(), "auth": {"enabled": auth}, "config": config}))
        .ok_or_else(|| TestCaseError::reject("refused together"))
}

/// The instance with this spec, and its redis.conf, if it is valid.
fn rendered(spec: Value) -> Option<(ValidatedInstance, String)> {
    let object = json!({"metadata": {"name": "cache", "namespace": "shop"}, "spec": spec});
    let instance: RedisInstance = serde_json::from_value(object).unwrap();
    let instance = validate::validate(&Defaults { image: String::new() }.applied(&instance)).ok()?;
    let conf = build::build(&instance).config_map.data.unwrap()["redis.conf"].clone();
    Some((instance, conf))
}

fn is_accepted(release: &Release, name: &str, value: &str) -> bool {
    let rules = Rules { release: release::Release::Known(release.line), vouched: Vec::new(), auth: true };
    config::validate(&BTreeMap::from([(name.to_owned(), ConfigValue(value.to_owned()))]), &rules).1.is_empty()
}

/// The user's directives by the name the server shows, over the operator's defaults.
fn wanted(instance: &ValidatedInstance) -> Words {
    let release = release::release(&instance.image);
    let words = |value: &str| vec![value.to_owned()];
    let mut wanted =
        Words::from([("appendonly".to_owned(), words("yes")), ("appendfsync".to_owned(), words("everysec"))]);
    wanted.extend(instance.config.iter().map(|(name, words)| {
        (release.directive(name).map_or(name, |directive| &directive.name).to_owned(), words.to_vec())
    }));
    wanted
}

/// Brings a running server from one configuration to another, by the operator's own connection and with its own proof.
async fn change(
    server: &mut Connection,
    before: &Effective,
    after: &ValidatedInstance,
    figures: &mut Figures,
) -> Result<(), TestCaseError> {
    let wanted = Wanted::of(after, Some(before), &std::collections::BTreeSet::new());
    let failed = |what: &str, error: ServerError| TestCaseError::fail(format!("{what}: {error}"));
    let held = server.config(&wanted.names()).await.map_err(|error| failed("CONFIG GET", error))?;
    for directive in wanted.lacking(&held) {
        let argument = wanted.argument(directive);
        let what = format!("CONFIG SET {} {}", directive.name, String::from_utf8_lossy(&argument));
        server.set(&directive.name, &argument).await.map_err(|error| failed(&what, error))?;
        figures.set += 1;
    }
    let held = server.config(&wanted.names()).await.map_err(|error| failed("CONFIG GET", error))?;
    let lacking: Vec<_> = wanted.lacking(&held).collect();
    prop_assert!(lacking.is_empty(), "set and not held: {lacking:?}");
    Ok(())
}

/// The server holds what is wanted, what is the operator's, and of everything else the default.
fn holds_all(
    release: &Release,
    server: &mut Server,
    wanted: &Words,
    conf: &str,
    figures: &mut Figures,
) -> Result<(), TestCaseError> {
    let known = release::Release::Known(release.line);
    for (name, words) in wanted {
        let directive = release.line.directive(name).unwrap();
        if directive.has("ignored") {
            continue;
        }
        let value = server.config(name).map_err(|error| TestCaseError::fail(format!("{error}\n{conf}")))?;
        let text = String::from_utf8_lossy(&value);
        prop_assert!(runtime_value::holds(known, name, words, &value), "{name} {words:?} is held as {text:?}\n{conf}");
        figures.read_back += 1;
    }
    let everything = server.everything().map_err(TestCaseError::fail)?;
    for (name, value) in &everything {
        let Some(directive) = release.line.directive(name) else { continue };
        if wanted.contains_key(&directive.name) || directive.name != *name {
            continue;
        }
        let text = String::from_utf8_lossy(value);
        prop_assert!(is_untouched(known, directive, value, server), "{name} was not asked for and is {text:?}\n{conf}");
        figures.left_alone += 1;
    }
    Ok(())
}

/// Whether a directive that the user did not set is the operator's line or the server's default.
fn is_untouched(release: release::Release, directive: &Directive, value: &[u8], server: &Server) -> bool {
    match directive.name.as_str() {
        "bind" => value == server.address.to_string().as_bytes(),
        "dir" => value == server.folder.path().as_os_str().as_encoded_bytes(),
        "protected-mode" => value == if server.password.is_empty() { "no" } else { "yes" }.as_bytes(),
        "requirepass" | "masterauth" | "primaryauth" => value == server.password,
        "masteruser" | "primaryuser" => value == if server.password.is_empty() { "" } else { "default" }.as_bytes(),
        // Lowered to what the limit on open files leaves.
        "maxclients" => true,
        name => runtime_value::default_words(release, name)
            .is_none_or(|words| runtime_value::holds(release, name, &words, value)),
    }
}
