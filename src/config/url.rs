//! Reads a connection URL into a [`Config`].
//!
//! `redis://[user[:password]@]host[:port][,host[:port]...][/0][?option=value&...]`; `rediss` or `valkeys` for TLS.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::config::credentials::{Credentials, CredentialsSource};
use crate::config::read_from::ReadFrom;
use crate::config::{Config, Protocol};
use crate::error::Error;
use crate::node::{NodeAddr, bare_host, split_host_port};

const DEFAULT_PORT: u16 = 6379;

/// The settings of `url`; what it does not say has its default. Errors name the bad part, never the password.
pub(crate) fn parse(url: &str) -> Result<Config, Error> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| {
        Error::config("the URL has no scheme; expected redis://host:port[,host:port...][?options]")
    })?;
    let over_tls = match scheme {
        "redis" | "valkey" => false,
        "rediss" | "valkeys" if cfg!(feature = "tls") => true,
        "rediss" | "valkeys" => {
            return Err(Error::config(format!(
                "{scheme}:// asks for TLS: build keyslot with its feature \"tls\" (cargo add keyslot --features tls)"
            )));
        }
        other => {
            return Err(Error::config(format!(
                "unknown scheme \"{other}://\"; expected redis:// or valkey://, or for TLS rediss:// or valkeys://"
            )));
        }
    };
    parse_rest(rest).map(|config| Config { over_tls, ..config }).map_err(|error| {
        // Then the authority ended too early, and what is named as a bad part may be one of the password.
        if rest.split_once(['/', '?']).is_some_and(|(_, after)| after.contains('@')) {
            Error::config(
                "the URL has an @ behind its first / or ?; if the password has one of those, write %2F or %3F for it",
            )
        } else {
            error
        }
    })
}

/// What stands behind `redis://`.
fn parse_rest(rest: &str) -> Result<Config, Error> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // The last `@`, because a password may contain one unescaped and a host cannot.
    let (userinfo, hosts) = match authority.rsplit_once('@') {
        Some((userinfo, hosts)) => (Some(userinfo), hosts),
        None => (None, authority),
    };

    let mut config = Config { seeds: seeds(hosts)?, ..Config::default() };
    config.credentials = userinfo.map(credentials).transpose()?.flatten().map(CredentialsSource::Fixed);
    if !matches!(path, "" | "0") {
        return Err(Error::config(format!(
            "database \"/{path}\" in the URL: a cluster has database 0 only; leave it out"
        )));
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        option(&mut config, name, &decode(value, name)?)?;
    }
    Ok(config)
}

fn seeds(hosts: &str) -> Result<Vec<NodeAddr>, Error> {
    hosts.split(',').map(seed).collect()
}

/// One `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(crate) fn seed(text: &str) -> Result<NodeAddr, Error> {
    let bracketed_without_port = text.starts_with('[') && text.ends_with(']');
    let has_port = text.contains(':') && !bracketed_without_port;
    let (host, port) = if has_port {
        split_host_port(text).map_err(|error| Error::config(format!("bad seed: {error}")))?
    } else {
        let host = bare_host(text)
            .ok_or_else(|| Error::config(format!("bad seed: \"{text}\" has a bracket too many")))?;
        (host, DEFAULT_PORT)
    };
    if host.is_empty() {
        return Err(Error::config(format!("bad seed: \"{text}\" has no host")));
    }
    if port == 0 {
        return Err(Error::config(format!("bad seed: \"{text}\" has port 0")));
    }
    Ok(NodeAddr::new(host, port))
}

/// `user:password`, `:password`, or the password alone as `redis-cli` and most clients do not read it: a lone word
/// is a user without a password, which no server takes, so it is refused with the likely intention.
fn credentials(userinfo: &str) -> Result<Option<Credentials>, Error> {
    if userinfo.is_empty() {
        return Ok(None);
    }
    let (user, password) = userinfo.split_once(':').ok_or_else(|| {
        Error::config("the URL has a user without a password; write user:password@ or :password@")
    })?;
    let user = decode(user, "user")?;
    let credentials = Credentials::password(decode(password, "password")?);
    Ok(Some(Credentials { username: (!user.is_empty()).then_some(user), ..credentials }))
}

fn decode(text: &str, part: &str) -> Result<String, Error> {
    percent_decode_str(text)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| Error::config(format!("the {part} in the URL is not UTF-8 after percent-decoding")))
}

fn option(config: &mut Config, name: &str, value: &str) -> Result<(), Error> {
    match name {
        "client_name" => config.client_name = Some(client_name(value)?),
        "command_timeout" => config.command_timeout = duration(name, value)?,
        "connect_timeout" => config.connect_timeout = duration(name, value)?,
        "keep_alive" if value == "off" => config.keep_alive = None,
        "keep_alive" => config.keep_alive = Some(duration(name, value)?),
        "refresh_interval" => config.refresh_interval = duration(name, value)?,
        "max_redirects" => config.max_redirects = number(name, value)?,
        "links_per_node" => {
            config.links_per_node = number(name, value)?;
            if config.links_per_node == 0 {
                return Err(Error::config("links_per_node=0: at least one link is needed"));
            }
        }
        "protocol" => {
            config.protocol = match value {
                "auto" | "resp3" | "3" => Protocol::Auto,
                "resp2" | "2" => Protocol::Resp2,
                other => {
                    return Err(Error::config(format!("protocol={other}: expected auto, resp3 or resp2")));
                }
            };
        }
        "read_from" => {
            config.read_from = ReadFrom::parse(value).ok_or_else(|| {
                Error::config(format!(
                    "read_from={value}: expected primary, replica, prefer_replica, nearest or zone:NAME"
                ))
            })?;
        }
        other => {
            return Err(Error::config(format!(
                "unknown option \"{other}\" in the URL; known are client_name, command_timeout, \
                 connect_timeout, keep_alive, refresh_interval, max_redirects, links_per_node, protocol and read_from"
            )));
        }
    }
    Ok(())
}

/// A name that `CLIENT SETNAME` takes.
pub(crate) fn client_name(name: &str) -> Result<String, Error> {
    if name.is_empty() || !name.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
        return Err(Error::config(format!(
            "client name \"{}\": servers take printable ASCII without spaces only",
            name.escape_debug()
        )));
    }
    Ok(name.to_owned())
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, Error> {
    value.parse().map_err(|_| Error::config(format!("{name}={value}: expected a whole number")))
}

/// `250ms`, `2s`, or a bare number of milliseconds; zero is refused because nothing could ever succeed.
fn duration(name: &str, value: &str) -> Result<Duration, Error> {
    let bad = || Error::config(format!("{name}={value}: expected a time above zero such as 250ms or 2s"));
    let (digits, millis_per_unit) = match value.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => match value.strip_suffix('s') {
            Some(digits) => (digits, 1000),
            None => (value, 1),
        },
    };
    let units: u64 = digits.parse().map_err(|_| bad())?;
    match units.checked_mul(millis_per_unit) {
        Some(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
        Some(_) | None => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::credentials::CredentialsSource;
    use crate::config::read_from::ReadFrom;
    use std::time::Duration;

    use super::parse;
    use crate::config::Protocol;

    #[test]
    fn a_url_may_name_several_seeds_a_user_and_options() {
        let config = parse(
            "redis://ann:p%40ss@127.0.0.1:7000,node-2,[::1]:7002,[::1]?client_name=loader&command_timeout=2s\
             &connect_timeout=250ms&max_redirects=3&links_per_node=2&protocol=resp2&read_from=zone:eu-1a",
        )
        .unwrap();
        let seeds: Vec<String> = config.seeds.iter().map(ToString::to_string).collect();
        assert_eq!(seeds, ["127.0.0.1:7000", "node-2:6379", "[::1]:7002", "[::1]:6379"]);
        let Some(CredentialsSource::Fixed(credentials)) = config.credentials else { panic!("none") };
        assert_eq!((credentials.username.as_deref(), credentials.password.as_str()), (Some("ann"), "p@ss"));
        assert_eq!(config.client_name.as_deref(), Some("loader"));
        assert_eq!(config.command_timeout, Duration::from_secs(2));
        assert_eq!(config.connect_timeout, Duration::from_millis(250));
        assert_eq!((config.max_redirects, config.links_per_node), (3, 2));
        assert_eq!((config.protocol, config.read_from), (Protocol::Resp2, ReadFrom::zone("eu-1a")));
    }

    #[test]
    fn a_password_needs_no_user_and_may_contain_an_at_sign() {
        let config = parse("redis://:a@b@host:1/0").unwrap();
        let Some(CredentialsSource::Fixed(credentials)) = config.credentials else { panic!("none") };
        assert_eq!((credentials.username, credentials.password.as_str()), (None, "a@b"));
    }

    #[test]
    fn an_error_names_the_bad_part() {
        for (url, text) in [
            ("127.0.0.1:7000", "the URL has no scheme; expected redis://host:port[,host:port...][?options]"),
            (
                "http://a",
                "unknown scheme \"http://\"; expected redis:// or valkey://, or for TLS rediss:// or valkeys://",
            ),
            ("redis://", "bad seed: \"\" has no host"),
            ("redis://a:1,,b:2", "bad seed: \"\" has no host"),
            ("redis://a:70000", "bad seed: \"70000\" in \"a:70000\" is not a port number"),
            ("redis://a:0", "bad seed: \"a:0\" has port 0"),
            ("redis://[[::1]]", "bad seed: \"[[::1]]\" has a bracket too many"),
            ("redis://[a", "bad seed: \"[a\" has a bracket too many"),
            ("redis://[::1", "bad seed: the host in \"[::1\" has a bracket too many"),
            ("redis://ann@a", "the URL has a user without a password; write user:password@ or :password@"),
            ("redis://:%ff@a", "the password in the URL is not UTF-8 after percent-decoding"),
            ("redis://a/3", "database \"/3\" in the URL: a cluster has database 0 only; leave it out"),
            (
                "redis://a?command_timeout=0s",
                "command_timeout=0s: expected a time above zero such as 250ms or 2s",
            ),
            ("redis://a?max_redirects=many", "max_redirects=many: expected a whole number"),
            ("redis://a?links_per_node=0", "links_per_node=0: at least one link is needed"),
            ("redis://a?protocol=4", "protocol=4: expected auto, resp3 or resp2"),
            (
                "redis://a?read_from=slave",
                "read_from=slave: expected primary, replica, prefer_replica, nearest or zone:NAME",
            ),
            (
                "redis://a?client_name=two%20words",
                "client name \"two words\": servers take printable ASCII without spaces only",
            ),
        ] {
            assert_eq!(parse(url).unwrap_err().to_string(), text, "{url}");
        }
        assert!(parse("redis://a?colour=red").unwrap_err().to_string().contains("\"colour\""));
    }

    #[test]
    fn tls_is_on_by_its_scheme_or_the_missing_feature_is_named() {
        assert!(!parse("valkey://a").unwrap().over_tls);
        for scheme in ["rediss", "valkeys"] {
            match parse(&format!("{scheme}://a")) {
                Ok(config) => assert!(config.over_tls && cfg!(feature = "tls")),
                Err(error) => {
                    let text = "asks for TLS: build keyslot with its feature \"tls\"";
                    assert!(error.to_string().contains(text) && !cfg!(feature = "tls"), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let config = parse("redis://ann:secret@a").unwrap();
        assert!(!format!("{config:?}").contains("secret"));
        for url in [
            "redis://ann:secret@a:x",
            "redis://ann:secret/more@a",
            "redis://ann:more/secret@a",
            "redis://ann:1/secret@a",
            "redis://ann:secret?more@a",
            "redis://ann:1?secret@a",
            "redis://ann:a@b/secret@a",
        ] {
            assert!(!parse(url).unwrap_err().to_string().contains("secret"), "{url}");
        }
    }

    #[test]
    fn an_option_may_contain_an_at_sign() {
        let config = parse("redis://a/0?client_name=a@b").unwrap();
        assert_eq!(config.client_name.as_deref(), Some("a@b"));
    }
}
