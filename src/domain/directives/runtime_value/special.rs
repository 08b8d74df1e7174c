//! Compares the values of directives that have a syntax of their own, such as `save` and `client-output-buffer-limit`.

use std::collections::{BTreeMap, BTreeSet};

use super::{OUTPUT_BUFFER_LIMIT, default_of, number, size};
use crate::domain::directives::Directive;

/// The event classes that `A` in `notify-keyspace-events` stands for, in every release.
const ALL_EVENTS: &str = "g$lshzxetd";
const UNSHOWN_EVENTS: [char; 3] = ['n', 'o', 'c'];

pub(super) fn special(directive: &Directive, words: &[String], held: &str) -> bool {
    let held_words = || held.split_whitespace();
    match directive.name.as_str() {
        "save" => agree(numbers(words.iter().map(String::as_str)), numbers(held_words())),
        "notify-keyspace-events" => events(&words.concat()) == events(held),
        "latency-tracking-info-percentiles" => percentiles(words, held),
        OUTPUT_BUFFER_LIMIT => {
            let held: Vec<String> = held_words().map(str::to_owned).collect();
            let wanted = [default_of(directive).unwrap_or_default(), words.to_vec()].concat();
            agree(limits(&wanted), limits(&held))
        }
        _ => words.iter().map(String::as_str).filter(|word| !word.is_empty()).eq(held_words()),
    }
}

/// Whether both could be read and are equal.
fn agree<T: PartialEq>(wanted: Option<T>, held: Option<T>) -> bool {
    wanted.zip(held).is_some_and(|(wanted, held)| wanted == held)
}

/// Every word's number; an empty word is no word.
fn numbers<'a>(words: impl Iterator<Item = &'a str>) -> Option<Vec<i128>> {
    words.filter(|word| !word.is_empty()).map(number).collect()
}

/// The server shows six places, rounded.
fn percentiles(words: &[String], held: &str) -> bool {
    let wanted: Vec<&String> = words.iter().filter(|word| !word.is_empty()).collect();
    let held: Vec<&str> = held.split_whitespace().collect();
    let near = |(wanted, held): (&&String, &&str)| {
        wanted
            .parse::<f64>()
            .ok()
            .zip(held.parse::<f64>().ok())
            .is_some_and(|(wanted, held)| (wanted - held).abs() < 1e-6)
    };
    wanted.len() == held.len() && wanted.iter().zip(&held).all(near)
}

/// The letters, with `A` spelt out. Beside all of those the server never shows `n`, `o` and `c`, though it holds them.
fn events(letters: &str) -> BTreeSet<char> {
    let all: BTreeSet<char> = ALL_EVENTS.chars().collect();
    let mut events: BTreeSet<char> = letters.chars().collect();
    if events.remove(&'A') {
        events.extend(&all);
    }
    if events.is_superset(&all) {
        events.retain(|letter| !UNSHOWN_EVENTS.contains(letter));
    }
    events
}

/// The class of a group; `slave` is what the server calls a replica here.
fn class(word: &str) -> String {
    if word.eq_ignore_ascii_case("slave") { "replica".to_owned() } else { word.to_ascii_lowercase() }
}

/// Class and limits of each group; the last of a class counts.
fn limits(words: &[String]) -> Option<BTreeMap<String, Vec<i128>>> {
    let limit = |group: &[String]| {
        let (name, values) = group.split_first()?;
        let values: Option<Vec<i128>> = values.iter().map(|value| size(value)).collect();
        Some((class(name), values?))
    };
    words.chunks(4).map(limit).collect()
}
