//! A URL is refused or names nodes that can be asked, and its password is shown nowhere.

use keyslot::internals::fuzz::read_url;

/// Found in a text only if it was put there.
const PASSWORD: &str = "Qz7-hunter2";

pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    check_url(&text);
    check_url(&format!("redis://{text}"));
    check_url(&format!("redis://a?{text}"));
    if text.contains(PASSWORD) {
        return;
    }
    // Characters that must be percent-encoded in a password often are not.
    for url in [
        format!("redis://ann:{PASSWORD}{text}@host:7000"),
        format!("redis://:{text}{PASSWORD}@host:7000"),
        format!("redis://ann:{text}{PASSWORD}{text}@host:7000,{text}"),
    ] {
        let shown = match read_url(&url) {
            // It is read as another URL that is as good: `redis://ann:1/0?client_name=x@host`.
            Ok(_) if text.contains(['/', '?']) => continue,
            Ok((_, shown)) => shown,
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains(PASSWORD), "{url:?} is shown as {shown}");
    }
}

fn check_url(url: &str) {
    let Ok((seeds, _)) = read_url(url) else { return };
    assert!(!seeds.is_empty(), "{url:?}");
    for seed in &seeds {
        assert!(seed.port() != 0 && !seed.host().is_empty(), "{url:?} has the seed {seed}");
    }
    let shown: Vec<String> = seeds.iter().map(ToString::to_string).collect();
    let again = read_url(&format!("redis://{}", shown.join(","))).map(|(seeds, _)| seeds).ok();
    assert_eq!(again.as_ref(), Some(&seeds), "{url:?}");
}
