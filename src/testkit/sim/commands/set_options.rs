//! [`SetOptions`]: what may stand behind the values of `SET`, `GETEX` and `MSETEX`.

use bytes::Bytes;

use crate::testkit::sim::call::DataCall;
use crate::testkit::sim::commands::deadline::Unit;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;

/// Whose options they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::testkit::sim) enum Of {
    Set,
    GetEx,
    MSetEx,
}

/// What shall become of the key's expiry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::testkit::sim) enum Expiry {
    Keep,
    Persist,
    At(Unit, Bytes),
}

/// On what the command depends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::testkit::sim) enum Condition {
    Absent,
    Present,
    /// Valkey's `IFEQ`.
    Equal(Bytes),
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::testkit::sim) struct SetOptions {
    pub(in crate::testkit::sim) expiry: Option<Expiry>,
    pub(in crate::testkit::sim) condition: Option<Condition>,
    /// `GET`: the reply is what was there before.
    pub(in crate::testkit::sim) returns_old: bool,
}

impl SetOptions {
    pub(in crate::testkit::sim) fn parse(args: &[Bytes], of: Of, profile: Profile) -> Result<Self, Refused> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let is = |word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
            let condition = if of == Of::GetEx {
                None
            } else if is("NX") {
                Some(Condition::Absent)
            } else if is("XX") {
                Some(Condition::Present)
            } else if of == Of::Set && profile.is_valkey() && is("IFEQ") {
                Some(Condition::Equal(args.next().cloned().ok_or_else(Refused::syntax)?))
            } else {
                None
            };
            if condition.is_some() {
                if options.condition.as_ref().is_some_and(|before| Some(before) != condition.as_ref()) {
                    return Err(Refused::syntax());
                }
                options.condition = condition;
            } else if of == Of::Set && is("GET") {
                options.returns_old = true;
            } else {
                let expiry = if let Some(unit) = Unit::named(arg) {
                    Expiry::At(unit, args.next().cloned().ok_or_else(Refused::syntax)?)
                } else if of == Of::GetEx && is("PERSIST") {
                    Expiry::Persist
                } else if of != Of::GetEx && is("KEEPTTL") {
                    Expiry::Keep
                } else {
                    return Err(Refused::syntax());
                };
                if options.expiry.as_ref().is_some_and(|before| !before.is_like(&expiry)) {
                    return Err(Refused::syntax());
                }
                options.expiry = Some(expiry);
            }
        }
        if !profile.since_7_0() && options.returns_old && options.condition == Some(Condition::Absent) {
            return Err(Refused::syntax());
        }
        Ok(options)
    }

    /// The moment that is asked for, if one is.
    pub(in crate::testkit::sim) fn moment(
        &self,
        call: &DataCall<'_>,
        command: &str,
    ) -> Result<Option<u64>, Refused> {
        let Some(Expiry::At(unit, value)) = &self.expiry else { return Ok(None) };
        unit.moment(value, call.keys.now(), call.profile, command).map(Some)
    }

    /// The expiry of a key that is written.
    pub(in crate::testkit::sim) fn of_written(
        &self,
        call: &DataCall<'_>,
        key: &Bytes,
        moment: Option<u64>,
    ) -> Option<u64> {
        match self.expiry {
            Some(Expiry::Keep) => call.keys.entry(key).and_then(|entry| entry.expires_at),
            Some(Expiry::Persist | Expiry::At(..)) | None => moment,
        }
    }
}

impl Expiry {
    /// The same option may be given twice.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::At(unit, _), Self::At(other, _)) => unit == other,
            _ => self == other,
        }
    }
}
