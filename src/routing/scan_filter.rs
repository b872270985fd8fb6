//! [`ScanFilter`]: which keys a scan is for.

use bytes::Bytes;

use crate::slot::Slot;
use crate::topology::slot_set::SlotSet;

/// What the servers are asked to leave out. It belongs to a scan from its begin to its end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct ScanFilter {
    pub(crate) pattern: Option<Bytes>,
    pub(crate) of_type: Option<Box<str>>,
}

impl ScanFilter {
    /// The slots that may have such keys: one if the pattern names a hash tag, or a key.
    pub(crate) fn slots(&self) -> SlotSet {
        match self.pattern.as_deref().and_then(slot_of_pattern) {
            Some(slot) => [slot].into_iter().collect(),
            None => SlotSet::all(),
        }
    }
}

/// The slot of everything that matches `pattern`, if it tells.
fn slot_of_pattern(pattern: &[u8]) -> Option<Slot> {
    let is_literal = |text: &[u8]| !text.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
    if is_literal(pattern) {
        return Some(Slot::of_key(pattern));
    }
    // What stands before the tag must not match a brace.
    let open = pattern.iter().position(|byte| *byte == b'{')?;
    let (before, tag) = pattern.split_at_checked(open + 1)?;
    let tag = tag.get(..tag.iter().position(|byte| *byte == b'}')?)?;
    (is_literal(before) && is_literal(tag) && !tag.is_empty()).then(|| Slot::of_key(tag))
}

#[cfg(test)]
mod tests {
    use super::slot_of_pattern;
    use crate::slot::Slot;

    #[test]
    fn a_hash_tag_in_a_pattern_names_its_slot() {
        let user = Some(Slot::of_key(b"user"));
        for pattern in ["{user}*", "{user}:?", "a{user}[xy]", "{user}", "user"] {
            assert_eq!(slot_of_pattern(pattern.as_bytes()), user, "{pattern}");
        }
        for pattern in [
            "*",
            "user*",
            "*{user}",
            "?{user}",
            "{us?r}*",
            "{us[e]r}",
            "{}*",
            "{user*",
            "\\{user}*",
            "[{]user}*",
        ] {
            assert_eq!(slot_of_pattern(pattern.as_bytes()), None, "{pattern}");
        }
    }
}
