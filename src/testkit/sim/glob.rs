//! [`matches`]: the patterns of `KEYS`, `SCAN` and `PSUBSCRIBE`, as the servers read them.

/// Whether the whole text is as the pattern says: `*`, `?`, `[abc]`, `[a-c]`, `[^a]`, and `\` before what is meant as
/// it stands.
///
/// As on a real server an empty text is matched by the empty pattern alone; `KEYS *` and `SCAN 0 MATCH *` ask for no
/// pattern at all.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut pattern, mut text) = (pattern, text);
    // What stands behind the last star, and the text that it is tried on: earlier stars need not be tried again.
    let mut behind_star: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some((b'*', rest)) = pattern.split_first() {
            behind_star = Some((rest, text));
            pattern = rest;
            continue;
        }
        match (one(pattern), text.split_first()) {
            (None, None) => return true,
            (Some((one, rest)), Some((byte, behind))) if one.is(*byte) => {
                (pattern, text) = (rest, behind);
                continue;
            }
            _ => {}
        }
        let Some((rest, [_, shorter @ ..])) = behind_star else { return false };
        behind_star = Some((rest, shorter));
        (pattern, text) = (rest, shorter);
    }
}

/// What one byte of the text is compared with.
enum One<'a> {
    Any,
    Byte(u8),
    /// What stands between the brackets, without a `^`.
    Class {
        is_negated: bool,
        members: &'a [u8],
    },
}

/// The first of a pattern that does not begin with a star, and the rest.
fn one(pattern: &[u8]) -> Option<(One<'_>, &[u8])> {
    Some(match pattern {
        [] => return None,
        [b'?', rest @ ..] => (One::Any, rest),
        [b'\\', byte, rest @ ..] => (One::Byte(*byte), rest),
        [b'[', b'^', rest @ ..] => class(true, rest),
        [b'[', rest @ ..] => class(false, rest),
        [byte, rest @ ..] => (One::Byte(*byte), rest),
    })
}

/// A class that is not closed reaches to the end.
fn class(is_negated: bool, pattern: &[u8]) -> (One<'_>, &[u8]) {
    let mut rest = pattern;
    while let Some((_, _, behind)) = member(rest) {
        rest = behind;
    }
    let (members, rest) = pattern.split_at_checked(pattern.len() - rest.len()).unwrap_or((pattern, rest));
    (One::Class { is_negated, members }, rest.split_first().map_or(rest, |(_, rest)| rest))
}

/// The first range of a class, and the rest; none at the class's end.
fn member(class: &[u8]) -> Option<(u8, u8, &[u8])> {
    Some(match class {
        [] | [b']', ..] => return None,
        [b'\\', byte, rest @ ..] => (*byte, *byte, rest),
        [from, b'-', to, rest @ ..] => (*from.min(to), *from.max(to), rest),
        [byte, rest @ ..] => (*byte, *byte, rest),
    })
}

impl One<'_> {
    fn is(&self, byte: u8) -> bool {
        match self {
            Self::Any => true,
            Self::Byte(wanted) => byte == *wanted,
            Self::Class { is_negated, members } => {
                let mut rest = *members;
                while let Some((from, to, behind)) = member(rest) {
                    if (from..=to).contains(&byte) {
                        return !is_negated;
                    }
                    rest = behind;
                }
                *is_negated
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_pattern_matches_what_it_matches_on_every_real_server() {
        let keys = ["a", "ab", "abc", "a[b", "a]b", "a-b", "a\\b", "", "^", "a*b"];
        let all = ["a", "ab", "abc", "a[b", "a]b", "a-b", "a\\b", "^", "a*b"];
        let around_b = ["a[b", "a]b", "a-b", "a\\b", "a*b"];
        let rows: &[(&str, &[&str])] = &[
            ("", &[""]),
            ("*", &all),
            ("**", &all),
            ("?", &["a", "^"]),
            ("[a", &["a"]),
            ("a[b", &["ab"]),
            ("a[bc", &["ab"]),
            ("a[]b", &[]),
            ("a[]]b", &[]),
            ("a[\\]]b", &["a]b"]),
            ("a[^]b", &around_b),
            ("a[^]bb", &[]),
            ("a[^x]b", &around_b),
            ("a[--z]b", &["a[b", "a]b", "a-b", "a\\b"]),
            ("a[a-]b", &["ab"]),
            ("a[-a]b", &["a-b"]),
            ("a[+-.]b", &["a-b"]),
            ("a\\", &[]),
            ("a\\\\b", &["a\\b"]),
            ("a\\*b", &["a*b"]),
            ("a[\\", &[]),
            ("a[\\\\]b", &["a\\b"]),
            ("a[a-", &[]),
            ("[\\^]", &["^"]),
            ("a*c", &["abc"]),
            ("*b*", &["ab", "abc", "a[b", "a]b", "a-b", "a\\b", "a*b"]),
            ("*?b", &["ab", "a[b", "a]b", "a-b", "a\\b", "a*b"]),
            ("a[b-", &["ab"]),
            ("a[c-a]", &["ab"]),
            ("a[^", &["ab"]),
            ("a[^b", &[]),
            ("[^a]", &["^"]),
            ("*]b", &["a]b"]),
        ];
        for (pattern, expected) in rows {
            let found: Vec<&str> =
                keys.into_iter().filter(|key| matches(pattern.as_bytes(), key.as_bytes())).collect();
            assert_eq!(found, *expected, "{pattern}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!matches(&b"a*".repeat(100), &b"a".repeat(99)));
        assert!(!matches([b"a*".repeat(50), b"b".to_vec()].concat().as_slice(), &b"a".repeat(10_000)));
    }
}
