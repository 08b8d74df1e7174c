//! Measures the readers of quantities, image references and YAML against Go's own: every difference is listed at once, and each
//! one that is meant has its reason here and in docs/parsers.md. The verdicts are committed (`*.json`), and a million more
//! are streamed by `just test-differential`. How they are made: `main.go`.

mod images;
mod judge;
mod quantities;
mod yaml;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use images::ImageVector;
use judge::Judge;
use quantities::{Quantities, QuantityVector};
use serde::Deserialize;

/// Said when the files and our structs have drifted apart.
const READABLE: &str = "the vectors have the fields that `main.go` writes";

#[derive(Deserialize)]
struct File<V> {
    vectors: Vec<V>,
}

fn vectors<V: for<'a> Deserialize<'a>>(json: &str) -> Vec<V> {
    let file: File<V> = serde_json::from_str(json).expect(READABLE);
    assert!(file.vectors.len() > 1000, "only {} vectors", file.vectors.len());
    file.vectors
}

/// A line of the stream.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Quantity(QuantityVector),
    Image(ImageVector),
}

#[test]
#[ignore = "needs Go: just test-differential"]
fn a_million_more_agree() {
    let program = env::var_os("VECTORS").expect("VECTORS: run it with `just test-differential`");
    let asked = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().to_string();
    let (seed, quantities, images) = (asked("SEED", &now), asked("QUANTITIES", "1000000"), asked("IMAGES", "200000"));
    println!("SEED={seed} QUANTITIES={quantities} IMAGES={images}");
    let mut go = Command::new(program)
        .args(["-bulk", "-seed", &seed, "-quantities", &quantities, "-images", &images])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut compared = Quantities::new();
    let mut judge = Judge::new(&images::DIFFERENCES);
    for line in BufReader::new(go.stdout.take().unwrap()).lines() {
        match serde_json::from_str(&line.unwrap()).expect(READABLE) {
            Verdict::Quantity(vector) => compared.take(&vector),
            Verdict::Image(vector) => images::take(&mut judge, &vector),
        }
    }
    assert!(go.wait().unwrap().success(), "the Go program failed");
    println!("quantities: {}", compared.judge.figures());
    println!("  {} pairs in order, {} not asked in Go, which would hang", compared.ordered, compared.skipped);
    println!("images: {}", judge.figures());
    assert!(compared.judge.agreed > 0 && judge.agreed > 0, "nothing was compared");
    compared.judge.explained();
    judge.explained();
}

#[test]
fn every_intended_difference_is_written_down() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/parsers.md")).unwrap();
    let flowing = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let reasons = quantities::DIFFERENCES.iter().map(|difference| difference.reason);
    let reasons = reasons.chain(images::DIFFERENCES.iter().map(|difference| difference.reason));
    for reason in reasons.chain(yaml::DIFFERENCES.iter().map(|difference| difference.reason)) {
        assert!(flowing.contains(reason), "docs/parsers.md does not say: {reason}");
    }
}
