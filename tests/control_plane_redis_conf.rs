//! What admission accepts, a real redis-server starts with and holds: random accepted configurations, rendered, started,
//! and read back with CONFIG GET. Needs no API server, only the loopback and the redis-server that the cluster's image has.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use redis_operator::{
    api::v1::RedisInstance,
    build,
    domain::{
        defaults::Defaults,
        directives::{Directive, Kind, LINES, Line, value::memory},
        owned_directives, validate,
    },
};
use serde_json::json;

/// Directives whose values the machine, the build or the running server decides about, not the grammar.
const HOST: [&str; 8] = [
    "activedefrag",
    "databases",
    "disable-thp",
    "jemalloc-bg-thread",
    "locale-collate",
    "maxclients",
    "repl-backlog-size",
    "watchdog-period",
];

#[test]
#[ignore = "needs redis-server"]
fn an_accepted_configuration_starts_and_reads_back() {
    let line = LINES.iter().find(|line| line.title() == "redis 7.0").unwrap();
    let mut runner = TestRunner::new(Config {
        cases: env::var("CONFIGS").map_or(100, |count| count.parse().unwrap()),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    });
    let names: Vec<&'static str> = line.names().filter(|name| is_tried(line, name)).collect();
    assert!(names.len() > 100, "only {} directives are tried", names.len());
    let choice = (prop::sample::select(names), any::<u64>());
    let outcome = runner.run(&prop::collection::vec(choice, 1..12), |choices| {
        let config =
            choices.iter().map(|(name, seed)| ((*name).to_owned(), value(line.directive(name).unwrap(), *seed)));
        check(line, &config.collect())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn is_tried(line: &Line, name: &str) -> bool {
    let directive = line.directive(name).unwrap();
    owned_directives::cure(name).is_none()
        && owned_directives::cure(&directive.name).is_none()
        && !HOST.contains(&directive.name.as_str())
        && !matches!(directive.kind, Kind::String | Kind::Octal)
        && !directive.has("ignored")
        && !directive.has("sentinel_mode_only")
}

/// A value of the directive's type: its bounds and what lies between, words in any case, every unit.
fn value(directive: &Directive, seed: u64) -> String {
    let pick = |items: &[&str]| items[usize::try_from(seed).unwrap() % items.len()].to_owned();
    match directive.kind {
        Kind::Bool => pick(&["yes", "no", "YES", "No"]),
        Kind::Enum => {
            let word = pick(&directive.values.iter().map(String::as_str).collect::<Vec<_>>());
            if seed.is_multiple_of(3) { word.to_uppercase() } else { word }
        }
        Kind::Integer => {
            let (min, max) = (directive.min.unwrap(), directive.max.unwrap());
            let small = min + i128::from(seed % 100);
            [min, max.min(1 << 30), small.min(max)][usize::try_from(seed % 3).unwrap()].to_string()
        }
        Kind::Memory | Kind::PercentOrMemory => {
            if directive.kind == Kind::PercentOrMemory && seed.is_multiple_of(2) {
                return format!("{}%", seed % 101);
            }
            let unit = pick(&["", "b", "k", "kb", "m", "MB", "g", "Gb"]);
            let number = 1 + seed % 40;
            let typed = format!("{number}{unit}");
            let bytes = memory(&typed).unwrap();
            let fits = bytes >= directive.min.unwrap() && bytes <= directive.max.unwrap();
            if fits { typed } else { directive.min.unwrap().max(0).to_string() }
        }
        Kind::Special => special(directive, seed),
        Kind::String | Kind::Octal => unreachable!("not tried"),
    }
}

fn special(directive: &Directive, seed: u64) -> String {
    let values: &[&str] = match directive.name.as_str() {
        "save" => &["", "900 1", "900 1 300 10", "60 0 5 5 1 1"],
        "client-output-buffer-limit" => &["normal 0 0 0", "pubsub 32mb 8mb 60 replica 256mb 64mb 60", "SLAVE 1k 1k 1"],
        "notify-keyspace-events" => &["", "KEA", "Ex", "Kn"],
        "latency-tracking-info-percentiles" => &["", "50 99 99.9", "0 100"],
        other => panic!("no example for {other}"),
    };
    values[usize::try_from(seed).unwrap() % values.len()].to_owned()
}

/// Renders the configuration if admission accepts it, starts a server with it, and reads back what was set.
fn check(line: &Line, config: &std::collections::BTreeMap<String, String>) -> Result<(), TestCaseError> {
    let object = json!({"metadata": {"name": "cache", "namespace": "shop"}, "spec": {"image": "redis:7.0.15", "auth": {"enabled": false}, "config": config}});
    let instance: RedisInstance = serde_json::from_value(object).unwrap();
    let defaults = Defaults { image: "redis:7.0.15".to_owned() };
    let Ok(instance) = validate::validate(&defaults.applied(&instance).unwrap()) else {
        // Two names of one directive, or writes that no replica could take: refused for a reason, and told.
        return Err(TestCaseError::reject("refused"));
    };
    let conf = build::build(&instance).config_map.data.unwrap()["redis.conf"].clone();
    let mut server = Server::start(&conf);
    for (name, typed) in config {
        let directive = line.directive(name).unwrap();
        let held = server.config(name);
        prop_assert!(same(directive, typed, &held), "{name}: set to {typed:?}, the server holds {held:?}\n{conf}");
    }
    prop_assert_eq!(server.config("protected-mode"), "no");
    Ok(())
}

/// Whether the server holds what was typed, in its own spelling.
fn same(directive: &Directive, typed: &str, held: &str) -> bool {
    let words = |text: &str| text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>();
    match directive.kind {
        Kind::Memory => memory(typed).map(|bytes| bytes.to_string()) == Some(held.to_owned()),
        Kind::PercentOrMemory if typed.ends_with('%') => held == typed || (typed == "0%" && held == "0"),
        Kind::PercentOrMemory => memory(typed).map(|bytes| bytes.to_string()) == Some(held.to_owned()),
        // The server moves hz into 1..500.
        Kind::Integer if directive.name == "hz" => held == typed.parse::<i64>().unwrap().clamp(1, 500).to_string(),
        Kind::Special if directive.name == "client-output-buffer-limit" => {
            let groups = words(typed);
            groups.chunks(4).all(|group| held.contains(&limit_as_held(group)))
        }
        Kind::Special if directive.name == "notify-keyspace-events" => letters(typed) == letters(held),
        _ => words(typed) == words(held),
    }
}

/// One group of `client-output-buffer-limit` in the server's spelling.
fn limit_as_held(group: &[String]) -> String {
    let [class, hard, soft, seconds] = group else { panic!("{group:?} is no group") };
    let class = if class == "replica" { "slave" } else { class };
    format!("{class} {} {} {seconds}", memory(hard).unwrap(), memory(soft).unwrap())
}

fn letters(events: &str) -> std::collections::BTreeSet<char> {
    events.chars().collect()
}

/// A redis-server of its own, with the operator's paths and port replaced by ones of this machine.
struct Server {
    process: Child,
    stream: BufReader<TcpStream>,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(conf: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = folder.path().join("redis.conf");
        let ours = conf
            .replace("\ndir /data\n", &format!("\ndir {}\n", folder.path().display()))
            .replace("\nport 6379\n", &format!("\nport {port}\n"))
            .replace("\nbind * -::*\n", "\nbind 127.0.0.1\n");
        fs::write(&file, ours).unwrap();
        let mut process = Command::new("redis-server")
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("redis-server must be installed");
        let begun = Instant::now();
        let stream = loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
                break stream;
            }
            let hopeless = process.try_wait().unwrap().is_some() || begun.elapsed() > Duration::from_secs(30);
            assert!(!hopeless, "redis-server does not start with\n{conf}\nand says\n{}", last_words(&mut process));
            std::thread::yield_now();
        };
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { process, stream: BufReader::new(stream), _folder: folder }
    }

    /// The value of one directive.
    fn config(&mut self, name: &str) -> String {
        self.stream.get_mut().write_all(format!("CONFIG GET {name}\r\n").as_bytes()).unwrap();
        let mut line = || {
            let mut text = String::new();
            self.stream.read_line(&mut text).unwrap();
            text.trim_end().to_owned()
        };
        let head = line();
        assert_eq!(head, "*2", "CONFIG GET {name}");
        for _ in 0..3 {
            line();
        }
        line()
    }
}

fn last_words(process: &mut Child) -> String {
    drop(process.kill());
    let mut said = String::new();
    drop(process.stdout.take().unwrap().read_to_string(&mut said));
    drop(process.stderr.take().unwrap().read_to_string(&mut said));
    said
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
