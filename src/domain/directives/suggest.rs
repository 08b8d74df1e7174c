//! "Did you mean": the nearest known name, if it is near enough to be a slip of the fingers.

/// The most edits between a name and a slip of it.
const EDITS: usize = 3;

/// The nearest of the names, at most a third of its length away; the first in order of several. Linear in the names, and
/// bounded by their length: what is much longer or shorter is not compared.
#[must_use]
pub fn nearest<'a>(typed: &str, names: &[&'a str]) -> Option<&'a str> {
    let limit = |name: &str| (name.len() / 3).clamp(1, EDITS);
    let mut rows = Rows::default();
    names
        .iter()
        .filter(|name| name.len().abs_diff(typed.len()) <= limit(name))
        .filter_map(|name| Some((rows.distance(typed.as_bytes(), name.as_bytes(), limit(name))?, *name)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Three rows of the table of distances, kept from one comparison to the next.
#[derive(Default)]
struct Rows {
    before: Vec<usize>,
    above: Vec<usize>,
    current: Vec<usize>,
}

impl Rows {
    /// Insertions, deletions, substitutions and swaps of neighbours between two texts (optimal string alignment); `None` as
    /// soon as they are certain to be more than `limit`.
    fn distance(&mut self, from: &[u8], to: &[u8], limit: usize) -> Option<usize> {
        let Self { before, above, current } = self;
        above.clear();
        above.extend(0..=to.len());
        for (row, a) in from.iter().enumerate() {
            current.clear();
            current.push(row + 1);
            for (column, b) in to.iter().enumerate() {
                let cell = |line: &[usize], at: usize| line.get(at).copied().unwrap_or(usize::MAX / 2);
                let mut best = (cell(above, column + 1) + 1).min(cell(current, column) + 1);
                best = best.min(cell(above, column) + usize::from(a != b));
                let swapped = row > 0 && column > 0 && from.get(row - 1) == Some(b) && to.get(column - 1) == Some(a);
                if swapped {
                    best = best.min(cell(before, column - 1) + 1);
                }
                current.push(best);
            }
            // A later row starts from these two: without a swap it is at least the lower row's least, with one at least the
            // upper row's least plus one.
            let least = |line: &[usize]| line.iter().copied().min().unwrap_or_default();
            if least(current) > limit && least(above) >= limit {
                return None;
            }
            std::mem::swap(before, above);
            std::mem::swap(above, current);
        }
        above.last().copied().filter(|distance| *distance <= limit)
    }
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
        let distance = |from: &[u8], to: &[u8]| Rows::default().distance(from, to, EDITS);
        assert_eq!(distance(b"kitten", b"sitting"), Some(3));
        assert_eq!((distance(b"ab", b"ba"), distance(b"", b"abc"), distance(b"abc", b"")), (Some(1), Some(3), Some(3)));
        assert_eq!((distance(b"abcdefgh", b"ijklmnop"), distance(b"abcd", b"badc")), (None, Some(2)));
    }
}
