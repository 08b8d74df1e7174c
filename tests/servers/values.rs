//! Random values of directives: of their type, at and between their bounds, in every spelling; now and then mutilated, for
//! admission to refuse or to vouch for. Knows what would end the test rather than fail it: a limit that this test's own
//! connection breaks, and what the host decides.

use redis_operator::domain::directives::{Directive, Kind, value::memory};

/// A generator of random numbers that a proptest seed starts (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// A value for this directive.
pub(crate) fn value(directive: &Directive, defragments: bool, seed: u64) -> String {
    let mut dice = Dice(seed);
    if let Some(value) = decided_elsewhere(directive, defragments, &mut dice) {
        return value;
    }
    let value = typed(directive, &mut dice);
    match dice.below(8) {
        // A limit on ourselves that lost a digit or its unit would end the connection that asks.
        0 if directive.name != "client-output-buffer-limit" => mutilated(&value, &mut dice),
        1 => format!("  {value} "),
        2 if !value.contains(['"', '\\', ' ']) => format!("\"{value}\""),
        3 if !value.contains(['\'', '\\', ' ']) => format!("'{value}'"),
        _ => value,
    }
}

fn typed(directive: &Directive, dice: &mut Dice) -> String {
    match directive.kind {
        Kind::Bool => dice.pick(&["yes", "no", "YES", "No"]).to_owned(),
        Kind::Enum => {
            let words: Vec<&str> = directive.values.iter().map(String::as_str).collect();
            let word = dice.pick(&words);
            if dice.one_in(3) { word.to_uppercase() } else { word.to_owned() }
        }
        Kind::Integer => whole(directive.min.unwrap(), directive.max.unwrap(), dice).to_string(),
        Kind::PercentOrMemory if dice.one_in(2) => format!("{}%", dice.below(101)),
        Kind::Memory | Kind::PercentOrMemory => size(directive, dice),
        Kind::String => string(dice),
        Kind::Special => special(directive, dice),
        Kind::Octal => unreachable!("the operator's"),
    }
}

/// What is held back, and why.
fn decided_elsewhere(directive: &Directive, defragments: bool, dice: &mut Dice) -> Option<String> {
    let value = match directive.name.as_str() {
        // Needs the server's own jemalloc.
        "activedefrag" if !defragments => "no".to_owned(),
        // Needs a kernel with multipath TCP.
        "mptcp" | "repl-mptcp" => "no".to_owned(),
        // A locale that the host has.
        "locale-collate" => dice.pick(&["", "C", "POSIX"]).to_owned(),
        // Memory, threads and file descriptors that this machine must have.
        "databases" => whole(1, 5000, dice).to_string(),
        "io-threads" => whole(1, 20, dice).to_string(),
        "maxclients" => whole(10, 1000, dice).to_string(),
        // Limits that would end our own connection.
        "maxmemory" => dice.pick(&["0", "1gb", "2Gb", "3000m", "4000000000", "17179869184b"]).to_owned(),
        "maxmemory-clients" => dice.pick(&["0", "0%", "5%", "100%", "64mb", "1g", "100000000"]).to_owned(),
        "timeout" => dice.pick(&["0", "600", "2147483647"]).to_owned(),
        _ => return None,
    };
    Some(value)
}

fn whole(min: i128, max: i128, dice: &mut Dice) -> i128 {
    let near = i128::from(dice.below(1000));
    let far = i128::from(dice.below(u64::MAX));
    match dice.below(6) {
        0 => min,
        1 => max,
        2 => (min + near).min(max),
        3 => (max - near).max(min),
        4 => near.clamp(min, max),
        _ => min + far % (max - min + 1),
    }
}

fn size(directive: &Directive, dice: &mut Dice) -> String {
    let (min, max) = (directive.min.unwrap().max(0), directive.max.unwrap());
    if dice.one_in(3) {
        return whole(min, max, dice).to_string();
    }
    let unit = dice.pick(&["", "b", "k", "kb", "m", "MB", "g", "Gb", "K", "M"]);
    let zeros = dice.pick(&["", "", "00"]);
    let typed = format!("{zeros}{}{unit}", 1 + dice.below(3000));
    let fits = memory(&typed).is_some_and(|bytes| (min..=max).contains(&bytes));
    if fits { typed } else { min.to_string() }
}

fn string(dice: &mut Dice) -> String {
    dice.pick(&["", "\"\"", "0-1", "abc", "\"a b\"", "'it\\'s'", r#""\"\\\x41""#, "#x", "a=b,c", "\"\\xc3\\xa9 \\n\""])
        .to_owned()
}

fn special(directive: &Directive, dice: &mut Dice) -> String {
    let some = |most: u64, dice: &mut Dice, make: &dyn Fn(&mut Dice) -> String| {
        let parts: Vec<String> = (0..dice.below(most + 1)).map(|_| make(dice)).collect();
        parts.join(" ")
    };
    match directive.name.as_str() {
        "save" => some(4, dice, &|dice| format!("{} {}", 60 + dice.below(5000), dice.below(10_000))),
        "client-output-buffer-limit" => {
            let group = |dice: &mut Dice| {
                // Below a megabyte our own connection would be closed.
                let limit = |dice: &mut Dice| dice.pick(&["0", "1mb", "64MB", "1g", "5000000", "2097152b"]).to_owned();
                let class = dice.pick(&["normal", "replica", "slave", "pubsub", "Normal", "SLAVE"]).to_owned();
                format!("{class} {} {} {}", limit(dice), limit(dice), dice.below(1000))
            };
            format!("{} {}", group(dice), some(3, dice, &group))
        }
        "notify-keyspace-events" => {
            let letters: Vec<String> = "KEg$lshzxeAtmdnoc".chars().map(String::from).collect();
            let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
            (0..dice.below(12)).map(|_| dice.pick(&letters)).collect()
        }
        "latency-tracking-info-percentiles" => some(4, dice, &|dice| {
            dice.pick(&["0", "50", "99", "99.9", "100", "99.999999", "007", "12.3456789"]).to_owned()
        }),
        // Accepted for compatibility, without effect.
        _ => dice.pick(&["yes", "128"]).to_owned(),
    }
}

/// One character more, less or other.
fn mutilated(value: &str, dice: &mut Dice) -> String {
    let mut letters: Vec<char> = value.chars().collect();
    let at = usize::try_from(dice.below(letters.len() as u64 + 1)).unwrap();
    let letter =
        *dice.pick(&[&'-', &'+', &'0', &'9', &' ', &'%', &'k', &'b', &'.', &'"', &'\'', &'\\', &'#', &'x', &'e', &'é']);
    match dice.below(3) {
        0 if at < letters.len() => drop(letters.remove(at)),
        1 if at < letters.len() => letters[at] = letter,
        _ => letters.insert(at, letter),
    }
    letters.into_iter().collect()
}
