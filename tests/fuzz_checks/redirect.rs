//! Whatever text an error reply has, it is judged, and a redirect leads to a node that can be asked.

use keyslot::internals::fuzz::{Judgement, classify, judge};
use keyslot::{ErrorKind, NodeAddr, Outcome, Redirect, RedirectKind};

pub(crate) fn check(bytes: &[u8]) {
    // As the decoder does.
    let text = String::from_utf8_lossy(bytes);
    for asked in [NodeAddr::new("10.0.0.1", 7000), NodeAddr::new("::1", 7001)] {
        check_text(&text, &asked);
        check_text(&format!("MOVED {text}"), &asked);
        check_text(&format!("ASK 7 {text}"), &asked);
    }
}

fn check_text(text: &str, asked: &NodeAddr) {
    let class = classify(text);
    let Judgement::Redirect(redirect) = judge(text, asked) else { return };
    assert_eq!(class, (ErrorKind::Server, Outcome::Rejected), "a redirected script was not run");
    let Redirect { kind, slot, from, to } = &redirect;
    assert_eq!(from, asked);
    assert!(to.port() != 0 && !to.host().is_empty() && to.host() != "?", "{text:?} leads to {to}");
    assert_eq!(to.to_string().parse().as_ref(), Ok(to), "{text:?}");
    let word = match kind {
        RedirectKind::Moved => "MOVED",
        RedirectKind::Ask => "ASK",
    };
    for shown in [to.to_string(), format!("{}:{}", to.host(), to.port())] {
        let again = judge(&format!("{word} {slot} {shown}"), asked);
        assert_eq!(again, Judgement::Redirect(redirect.clone()), "{text:?}");
    }
}
