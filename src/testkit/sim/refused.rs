//! [`Refused`]: why a command was not executed, in the words of a real server.

use std::borrow::Cow;

use bytes::Bytes;

use crate::testkit::sim::profile::Profile;

/// So many bytes of a name or of arguments are repeated in an error.
const SHOWN: usize = 128;

/// The text of an error reply, without its `-`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refused(pub(super) Cow<'static, str>);

impl Refused {
    pub(super) fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self(text.into())
    }

    pub(super) fn wrong_type() -> Self {
        Self::new("WRONGTYPE Operation against a key holding the wrong kind of value")
    }

    pub(super) fn syntax() -> Self {
        Self::new("ERR syntax error")
    }

    pub(super) fn not_an_integer() -> Self {
        Self::new("ERR value is not an integer or out of range")
    }

    pub(super) fn not_a_float() -> Self {
        Self::new("ERR value is not a valid float")
    }

    pub(super) fn wrong_number(name: &str) -> Self {
        Self::new(format!("ERR wrong number of arguments for '{name}' command"))
    }

    pub(super) fn unknown_command(args: &[Bytes], profile: Profile) -> Self {
        let name = args.first().map(Bytes::as_ref).unwrap_or_default();
        let mut shown = String::new();
        for arg in args.iter().skip(1) {
            let Some(room) = SHOWN.checked_sub(shown.len()).filter(|room| *room > 0) else { break };
            let arg = text(arg.get(..room.min(arg.len())).unwrap_or_default());
            shown += &if profile.since_7_0() { format!("'{arg}' ") } else { format!("`{arg}`, ") };
        }
        Self::new(if profile.since_7_0() {
            let name = text(name.get(..SHOWN.min(name.len())).unwrap_or_default());
            format!("ERR unknown command '{name}', with args beginning with: {shown}")
        } else {
            format!("ERR unknown command `{}`, with args beginning with: {shown}", text(name))
        })
    }

    pub(super) fn unknown_subcommand(first: &[u8], second: &[u8], profile: Profile) -> Self {
        let second = text(second.get(..SHOWN.min(second.len())).unwrap_or_default());
        let first = text(first).to_uppercase();
        Self::new(if profile.since_7_0() {
            format!("ERR unknown subcommand '{second}'. Try {first} HELP.")
        } else {
            format!("ERR Unknown subcommand or wrong number of arguments for '{second}'. Try {first} HELP.")
        })
    }

    /// For `PUBSUB CHANNELS a b`: a subcommand that counts its arguments itself.
    pub(super) fn wrong_subcommand(first: &str, second: &[u8], profile: Profile) -> Self {
        let unknown = if profile.since_7_0() { "unknown" } else { "Unknown" };
        let second = text(second);
        Self::new(format!(
            "ERR {unknown} subcommand or wrong number of arguments for '{second}'. Try {first} HELP."
        ))
    }
}

/// Up to a zero byte, which ends a text for a server.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::Refused;
    use crate::testkit::sim::profile::Profile;

    #[test]
    fn an_unknown_command_is_told_with_the_first_of_its_arguments() {
        let args = |words: &str| -> Vec<Bytes> {
            words.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
        };
        let told = |words: &str, profile| Refused::unknown_command(&args(words), profile).0.into_owned();
        assert_eq!(
            told("FOO a b", Profile::Redis62),
            "ERR unknown command `FOO`, with args beginning with: `a`, `b`, "
        );
        assert_eq!(
            told("FOO a b", Profile::Redis70),
            "ERR unknown command 'FOO', with args beginning with: 'a' 'b' "
        );
        let many = format!("FOO{}", " abcdefghij".repeat(40));
        assert_eq!(told(&many, Profile::Valkey91).matches("abcdefghij").count(), 10);
        assert!(told(&many, Profile::Redis62).ends_with("`abcdefghij`, `ab`, "));
        assert_eq!(told(&format!("{} x", "F".repeat(200)), Profile::Redis82).matches('F').count(), 128);
        assert_eq!(told(&format!("{} x", "F".repeat(200)), Profile::Redis62).matches('F').count(), 200);
    }
}
