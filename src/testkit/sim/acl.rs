//! [`User`]: what an ACL user may do, and by which password it is known.

use crate::testkit::sim::glob;

/// One ACL user.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct User {
    is_on: bool,
    needs_no_password: bool,
    passwords: Vec<String>,
    /// In their order: whether the commands that the text names are allowed. The last that fits decides.
    commands: Vec<(bool, String)>,
    keys: Vec<String>,
    channels: Vec<String>,
}

/// A rule that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BadRule {
    Syntax,
    NoSuchPassword,
}

impl User {
    /// One with a password that may do everything.
    pub(super) fn with_password(password: &str) -> Self {
        let all = || vec!["*".to_owned()];
        Self {
            is_on: true,
            needs_no_password: false,
            passwords: vec![password.to_owned()],
            commands: vec![(true, "@all".to_owned())],
            keys: all(),
            channels: all(),
        }
    }

    /// One that `ACL SETUSER` makes: it may do nothing yet. Redis 6.2 lets it have all channels.
    pub(super) fn new(has_channels: bool) -> Self {
        let channels = if has_channels { vec!["*".to_owned()] } else { Vec::new() };
        Self { channels, ..Self::default() }
    }

    /// Applies one rule of `ACL SETUSER`.
    pub(super) fn apply(&mut self, rule: &str) -> Result<(), BadRule> {
        match rule {
            "on" => self.is_on = true,
            "off" => self.is_on = false,
            "nopass" => {
                self.needs_no_password = true;
                self.passwords.clear();
            }
            "resetpass" => {
                self.needs_no_password = false;
                self.passwords.clear();
            }
            "allcommands" => self.commands = vec![(true, "@all".to_owned())],
            "nocommands" => self.commands.clear(),
            "allkeys" => self.keys = vec!["*".to_owned()],
            "resetkeys" => self.keys.clear(),
            "allchannels" => self.channels = vec!["*".to_owned()],
            "resetchannels" => self.channels.clear(),
            "sanitize-payload" | "skip-sanitize-payload" => {}
            "reset" => *self = Self::new(false),
            _ => return self.apply_with_argument(rule),
        }
        Ok(())
    }

    fn apply_with_argument(&mut self, rule: &str) -> Result<(), BadRule> {
        let mut chars = rule.chars();
        let (sign, rest) = (chars.next(), chars.as_str().to_owned());
        match sign {
            Some('>') => {
                self.needs_no_password = false;
                self.passwords.push(rest);
            }
            Some('<') => {
                let place = self.passwords.iter().position(|password| *password == rest);
                self.passwords.remove(place.ok_or(BadRule::NoSuchPassword)?);
            }
            Some(sign @ ('+' | '-')) if !rest.is_empty() => {
                self.commands.push((sign == '+', rest.to_ascii_lowercase()));
            }
            Some(sign @ ('~' | '&')) => {
                let patterns = if sign == '~' { &mut self.keys } else { &mut self.channels };
                if !patterns.contains(&rest) {
                    patterns.push(rest);
                }
            }
            _ => return Err(BadRule::Syntax),
        }
        Ok(())
    }

    pub(super) fn accepts(&self, password: &[u8]) -> bool {
        self.is_on
            && (self.needs_no_password || self.passwords.iter().any(|known| known.as_bytes() == password))
    }

    /// Whether it may run a command of this name and these categories.
    pub(super) fn may_run(&self, name: &str, categories: &[&str]) -> bool {
        let first = name.split('|').next().unwrap_or_default();
        let is_meant =
            |rule: &str| rule == "@all" || rule == name || rule == first || categories.contains(&rule);
        self.commands.iter().rev().find(|(_, rule)| is_meant(rule)).is_some_and(|(is_allowed, _)| *is_allowed)
    }

    pub(super) fn may_access_key(&self, key: &[u8]) -> bool {
        self.keys.iter().any(|pattern| pattern == "*" || glob::matches(pattern.as_bytes(), key))
    }

    /// A pattern that is subscribed to must be one of its own, as it stands.
    pub(super) fn may_access_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.channels.iter().any(|pattern| {
            pattern == "*"
                || if is_pattern {
                    pattern.as_bytes() == channel
                } else {
                    glob::matches(pattern.as_bytes(), channel)
                }
        })
    }

    /// The line of `ACL LIST`, without passwords: a server shows their hashes.
    pub(super) fn describe(&self, name: &str) -> String {
        let mut line = format!("user {name} {}", if self.is_on { "on" } else { "off" });
        let patterns = |sign: char, patterns: &[String]| -> String {
            patterns.iter().map(|pattern| format!(" {sign}{pattern}")).collect()
        };
        if self.needs_no_password {
            line += " nopass";
        }
        line += &patterns('~', &self.keys);
        line += &patterns('&', &self.channels);
        if self.commands.first().is_none_or(|(is_allowed, rule)| !is_allowed || rule != "@all") {
            line += " -@all";
        }
        for (is_allowed, rule) in &self.commands {
            line += &format!(" {}{rule}", if *is_allowed { '+' } else { '-' });
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::{BadRule, User};

    #[test]
    fn the_last_rule_that_fits_decides() {
        let mut user = User::new(false);
        for rule in
            ["on", ">p", "~k*", "+@read", "-mget", "+cluster|slots", "&news", "+client", "-client|kill"]
        {
            user.apply(rule).unwrap();
        }
        assert!(user.accepts(b"p") && !user.accepts(b"q"));
        assert!(user.may_run("get", &["@read"]) && !user.may_run("mget", &["@read"]));
        assert!(!user.may_run("set", &["@write"]));
        assert!(user.may_run("cluster|slots", &["@slow"]) && !user.may_run("cluster|nodes", &["@slow"]));
        assert!(user.may_run("client|id", &["@slow"]) && !user.may_run("client|kill", &["@slow"]));
        assert!(user.may_access_key(b"key") && !user.may_access_key(b"other"));
        assert!(user.may_access_channel(b"news", false) && !user.may_access_channel(b"new", true));
        user.apply("off").unwrap();
        assert!(!user.accepts(b"p"));
        assert_eq!(user.apply("foo"), Err(BadRule::Syntax));
        assert_eq!(user.apply("<nosuch"), Err(BadRule::NoSuchPassword));
    }
}
