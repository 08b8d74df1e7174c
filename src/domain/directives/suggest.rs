//! "Did you mean": the nearest known name, if it is near enough to be a slip of the fingers.

/// The nearest of the names, at most a third of its length away; the first in order of several. Linear in the names, and
/// bounded by their length: what is much longer or shorter is not compared.
#[must_use]
pub fn nearest<'a>(typed: &str, names: &[&'a str]) -> Option<&'a str> {
    let limit = |name: &str| (name.len() / 3).clamp(1, 3);
    names
        .iter()
        .filter(|name| name.len().abs_diff(typed.len()) <= limit(name))
        .map(|name| (distance(typed.as_bytes(), name.as_bytes()), *name))
        .filter(|(distance, name)| *distance <= limit(name))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Insertions, deletions, substitutions and swaps of neighbours between two texts (optimal string alignment).
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, b) in to.iter().enumerate() {
            let cell = |line: &[usize], at: usize| line.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut best = (cell(&above, column + 1) + 1).min(cell(&current, column) + 1);
            best = best.min(cell(&above, column) + usize::from(a != b));
            let swapped = row > 0 && column > 0 && from.get(row - 1) == Some(b) && to.get(column - 1) == Some(a);
            if swapped {
                best = best.min(cell(&before, column - 1) + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or(from.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let names = ["maxclients", "maxmemory", "maxmemory-policy", "save", "timeout"];
        assert_eq!(nearest("maxmemroy", &names), Some("maxmemory"));
        assert_eq!(nearest("maxmemry", &names), Some("maxmemory"));
        assert_eq!(nearest("maxmemory_policy", &names), Some("maxmemory-policy"));
        assert_eq!(nearest("tiemout", &names), Some("timeout"));
        assert_eq!(nearest("banana", &names), None);
        assert_eq!(nearest("", &names), None);
    }

    #[test]
    fn distances() {
        assert_eq!(distance(b"kitten", b"sitting"), 3);
        assert_eq!((distance(b"ab", b"ba"), distance(b"", b"abc"), distance(b"abc", b"")), (1, 3, 3));
    }
}
