//! Reads a connection URL into a [`Config`].
//!
//! `redis://[user:password@]host[:port][,host[:port]...][/0][?option=value&...]`; `rediss` or `valkeys` for TLS. What URLs of
//! other clients say in another way is taken too: `-cluster` or `+cluster` behind the scheme, and `node=host:port`.

use std::net::Ipv6Addr;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::config::credentials::{Credentials, CredentialsSource};
use crate::config::read_from::ReadFrom;
use crate::config::{Config, Protocol};
use crate::error::Error;
use crate::node::{NodeAddr, ParseNodeAddrError, bare_host, split_host_port};

const DEFAULT_PORT: u16 = 6379;

/// The settings of `url`; what it does not say has its default. Errors name the bad part, never the password.
pub(crate) fn parse(url: &str) -> Result<Config, Error> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| {
        Error::config("the URL has no scheme; expected redis://host:port[,host:port...][?options]")
    })?;
    let over_tls = is_over_tls(scheme)?;
    parse_rest(rest).map(|config| Config { over_tls, ..config }).map_err(|error| {
        if rest.split(',').skip(1).any(begins_with_a_scheme) {
            Error::config(
                "the URL has a second scheme; name all nodes behind the first: redis://host:port,host:port",
            )
        } else if rest.split_once(['/', '?']).is_some_and(|(_, after)| after.contains('@')) {
            // Then the authority ended too early, and what is named as a bad part may be one of the password.
            Error::config(
                "the URL has an @ behind its first / or ?; if the password has one of those, write %2F or %3F for it",
            )
        } else {
            error
        }
    })
}

/// Whether the scheme asks for TLS. Whether there is a cluster, the server says: with or without the suffix.
fn is_over_tls(scheme: &str) -> Result<bool, Error> {
    let lower = scheme.to_ascii_lowercase();
    let (name, suffix) = match lower.find(['-', '+']) {
        Some(place) => lower.split_at(place),
        None => (lower.as_str(), ""),
    };
    match (name, suffix) {
        ("redis" | "valkey", "" | "-cluster" | "+cluster") => Ok(false),
        ("rediss" | "valkeys", "" | "-cluster" | "+cluster") if cfg!(feature = "tls") => Ok(true),
        ("rediss" | "valkeys", "" | "-cluster" | "+cluster") => Err(Error::config(format!(
            "{scheme}:// asks for TLS: build keyslot with its feature \"tls\" (cargo add keyslot --features tls)"
        ))),
        (_, "-sentinel" | "+sentinel") => Err(no_sentinel()),
        ("unix", _) | (_, "+unix" | "-socket" | "+socket") => Err(Error::config(
            "Unix sockets are not supported, because the nodes of a cluster name each other by host and port; expected \
             redis://host:port",
        )),
        _ => Err(Error::config(format!(
            "unknown scheme \"{scheme}://\"; expected redis:// or valkey://, or for TLS rediss:// or valkeys://"
        ))),
    }
}

fn no_sentinel() -> Error {
    Error::config(
        "Sentinel is not supported; name nodes of a cluster, or the server itself, as redis://host:port",
    )
}

/// As in a list of whole URLs, which some clients take.
fn begins_with_a_scheme(text: &str) -> bool {
    let of_a_scheme = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'+' | b'-');
    text.split_once("://").is_some_and(|(scheme, _)| scheme.trim().bytes().all(of_a_scheme))
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

    refuse_fragment([hosts, path, query])?;

    let mut config = Config { seeds: seeds(hosts)?, ..Config::default() };
    config.credentials = userinfo.map(credentials).transpose()?.flatten().map(CredentialsSource::Fixed);
    if !matches!(path.trim_matches('/'), "" | "0") {
        return Err(Error::config(format!(
            "database \"/{path}\" in the URL: keyslot uses database 0 only; leave it out"
        )));
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        option(&mut config, name, &decode(value, name)?)?;
    }
    Ok(config)
}

/// A `#` may stand unescaped in a password, and nowhere else.
fn refuse_fragment(parts: [&str; 3]) -> Result<(), Error> {
    match parts.into_iter().find_map(|part| part.split_once('#')) {
        None => Ok(()),
        Some((_, "insecure")) => Err(Error::config(
            "#insecure in the URL: a URL cannot turn off the check of certificates; give the roots by \
             ClientBuilder::tls, or say danger_accept_invalid_certificates() there",
        )),
        Some(_) => Err(Error::config("the URL has a #; if it is part of a name, write %23 for it")),
    }
}

fn seeds(hosts: &str) -> Result<Vec<NodeAddr>, Error> {
    hosts.split(',').map(seed).collect()
}

/// One `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(crate) fn seed(text: &str) -> Result<NodeAddr, Error> {
    let bracketed_without_port = text.starts_with('[') && text.ends_with(']');
    let has_port = text.contains(':') && !bracketed_without_port;
    // Whoever forgets the host has a user and a password here, so what follows a colon is not shown.
    let shown = if text.starts_with('[') { text } else { text.split(':').next().unwrap_or_default() };
    let bad = |what: &str| Error::config(format!("bad seed: \"{shown}\" {what}"));
    let (host, port) = if has_port {
        split_host_port(text).map_err(|error| match error {
            ParseNodeAddrError::BadPort { .. } => bad(
                "is not followed by a port number (user and password end with an @: user:password@host:port)",
            ),
            ParseNodeAddrError::BadHost(_) => bad("has a bracket too many"),
            ParseNodeAddrError::NoHost(_) | ParseNodeAddrError::NoPort(_) => bad("is not host:port"),
        })?
    } else {
        (bare_host(text).ok_or_else(|| bad("has a bracket too many"))?, DEFAULT_PORT)
    };
    if host.is_empty() {
        return Err(bad("has no host"));
    }
    // A name has no colon.
    let address = host.split('%').next().unwrap_or_default();
    if host.contains(':') && address.parse::<Ipv6Addr>().is_err() {
        return Err(bad("is not host:port (user and password end with an @: user:password@host:port)"));
    }
    if port == 0 {
        return Err(bad("has port 0"));
    }
    Ok(NodeAddr::new(host, port))
}

/// `user:password`, `:password`, or the password alone as `redis-cli` and most clients do not read it: a lone word
/// is a user without a password, which no server takes, so it is refused with the likely intention.
fn credentials(userinfo: &str) -> Result<Option<Credentials>, Error> {
    // As templates leave it that put a password in which there is none.
    if userinfo.is_empty() || userinfo == ":" {
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
        // One more seed, as fred's URLs have it.
        "node" if value.contains('@') => {
            return Err(Error::config("node in the URL: user and password stand before the first host"));
        }
        "node" => config.seeds.push(seed(value)?),
        // The second as rustis says it.
        "client_name" | "connection_name" => config.client_name = Some(client_name(value)?),
        "command_timeout" => config.command_timeout = duration(name, value)?,
        "connect_timeout" => config.connect_timeout = duration(name, value)?,
        "keep_alive" if matches!(value, "off" | "0") => config.keep_alive = None,
        "keep_alive" => {
            let or_off =
                |_| Error::config(format!("keep_alive={value}: expected a time such as 250ms or 2s, or off"));
            config.keep_alive = Some(duration(name, value).map_err(or_off)?);
        }
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
        "sentinelServiceName" | "sentinelUsername" | "sentinelPassword" => return Err(no_sentinel()),
        other => {
            return Err(Error::config(format!(
                "unknown option \"{other}\" in the URL; known are node, client_name, command_timeout, \
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
    use crate::error::ErrorKind;

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
            (
                "redis://a:70000",
                "bad seed: \"a\" is not followed by a port number (user and password end with an @: \
                 user:password@host:port)",
            ),
            ("redis://a:0", "bad seed: \"a\" has port 0"),
            ("redis://[[::1]]", "bad seed: \"[[::1]]\" has a bracket too many"),
            ("redis://[a", "bad seed: \"[a\" has a bracket too many"),
            ("redis://[::1", "bad seed: \"[::1\" has a bracket too many"),
            ("redis://ann@a", "the URL has a user without a password; write user:password@ or :password@"),
            ("redis://:%ff@a", "the password in the URL is not UTF-8 after percent-decoding"),
            ("redis://a/3", "database \"/3\" in the URL: keyslot uses database 0 only; leave it out"),
            (
                "redis://a?command_timeout=0s",
                "command_timeout=0s: expected a time above zero such as 250ms or 2s",
            ),
            ("redis://a?keep_alive=never", "keep_alive=never: expected a time such as 250ms or 2s, or off"),
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

    /// Whoever forgets the @ and the host.
    #[test]
    fn no_error_shows_what_may_be_a_password() {
        for url in [
            "redis://:s3cret",
            "redis://ann:s3cret",
            "redis://:1:s3cret",
            "redis://ann:1s3cret:1",
            "redis://a:1,ann:s3cret",
            "redis://ann:s3cret/0",
            "redis://:s3c]ret:1",
            "redis://:s3cret@",
            "redis://ann:s3cret@a:b",
            "redis://ann:s3cret@[a",
            "redis://ann:s3cret@a?colour=red",
            "redis://a?node=:s3cret",
            "redis://a?password=s3cret",
        ] {
            let error = parse(url).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("s3c"), "{url}: {shown}");
        }
    }

    /// Each URL with what other clients make of it; the last column is the seeds.
    #[test]
    fn urls_of_other_clients_are_read_as_they_read_them() {
        for (url, seeds) in [
            // redis-rs: each of the list that a `ClusterClient` takes.
            ("redis://10.0.0.1", "10.0.0.1:6379"),
            ("redis://10.0.0.1:7000/", "10.0.0.1:7000"),
            ("redis://10.0.0.1:7000/0", "10.0.0.1:7000"),
            ("redis://10.0.0.1:7000/0/", "10.0.0.1:7000"),
            ("valkey://10.0.0.1:7000", "10.0.0.1:7000"),
            ("REDIS://node-1:7000", "node-1:7000"),
            ("redis://[::1]:7000/?protocol=resp3", "[::1]:7000"),
            ("redis://10.0.0.1:7000/?protocol=3", "10.0.0.1:7000"),
            // fred.
            ("redis-cluster://10.0.0.1:7000", "10.0.0.1:7000"),
            ("valkey-cluster://10.0.0.1:7000", "10.0.0.1:7000"),
            (
                "redis-cluster://10.0.0.1:7000?node=10.0.0.2:7001&node=node-3:7002",
                "10.0.0.1:7000 10.0.0.2:7001 node-3:7002",
            ),
            ("redis-cluster://10.0.0.1?node=%5B::1%5D:7001", "10.0.0.1:6379 [::1]:7001"),
            // rustis.
            ("redis+cluster://10.0.0.1:7000,10.0.0.2:7001", "10.0.0.1:7000 10.0.0.2:7001"),
        ] {
            let config = parse(url).unwrap();
            let shown: Vec<String> = config.seeds.iter().map(ToString::to_string).collect();
            assert_eq!(shown.join(" "), seeds, "{url}");
            assert!(!config.over_tls && config.credentials.is_none(), "{url}");
        }
        for protocol in ["2", "resp2"] {
            let config = parse(&format!("redis://a/?protocol={protocol}")).unwrap();
            assert_eq!(config.protocol, Protocol::Resp2);
        }
        for url in ["redis://:@a", "redis://@a"] {
            assert!(parse(url).unwrap().credentials.is_none(), "{url}");
        }
        let config =
            parse("redis+cluster://a?connection_name=shop&command_timeout=250&keep_alive=0").unwrap();
        assert_eq!(config.client_name.as_deref(), Some("shop"));
        assert_eq!((config.command_timeout, config.keep_alive), (Duration::from_millis(250), None));
        let config = parse("valkey-cluster://ann:p%2Fss@a:1/?node=b:2&client_name=shop").unwrap();
        let Some(CredentialsSource::Fixed(credentials)) = config.credentials else { panic!("none") };
        assert_eq!((credentials.username.as_deref(), credentials.password.as_str()), (Some("ann"), "p/ss"));
        assert_eq!((config.seeds.len(), config.client_name.as_deref()), (2, Some("shop")));
    }

    #[test]
    fn forms_of_other_clients_that_are_not_supported_are_told_by_name() {
        for (url, text) in [
            ("redis-sentinel://a:26379/0?sentinelServiceName=shop", "Sentinel is not supported"),
            ("rediss+sentinel://a:26379/shop", "Sentinel is not supported"),
            ("redis://a?sentinelServiceName=shop", "Sentinel is not supported"),
            ("unix:///run/redis.sock", "Unix sockets are not supported"),
            ("redis+unix:///run/redis.sock?db=0", "Unix sockets are not supported"),
            ("valkey+unix:///run/redis.sock", "Unix sockets are not supported"),
            ("redis-socket:///run/redis.sock", "Unix sockets are not supported"),
            ("redis://a:1/#insecure", "a URL cannot turn off the check of certificates"),
            ("redis://a:1#insecure", "a URL cannot turn off the check of certificates"),
            ("redis://a:1?protocol=3#part", "the URL has a #"),
            ("redis://a:1,redis://b:2", "the URL has a second scheme"),
            ("redis://ann:hidden@a:1,redis://ann:hidden@b:2", "the URL has a second scheme"),
            ("redis://a:1?node=ann:hidden@b:2", "the URL has an @ behind its first / or ?"),
            (
                "redis-cluster://a:1?node=b:port",
                "bad seed: \"b\" is not followed by a port number (user and password end with an @: \
                 user:password@host:port)",
            ),
            ("redis-cluster://a:1?node=", "bad seed: \"\" has no host"),
            ("redis-master://a:1", "unknown scheme \"redis-master://\""),
            ("redis://a:1/5", "keyslot uses database 0 only"),
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(
                error.to_string().contains(text) && !error.to_string().contains("hidden"),
                "{url}: {error}"
            );
        }
    }

    #[test]
    fn tls_is_on_by_its_scheme_or_the_missing_feature_is_named() {
        assert!(!parse("valkey://a").unwrap().over_tls);
        for scheme in ["rediss", "valkeys", "RedisS", "rediss-cluster", "valkeys-cluster", "rediss+cluster"] {
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
