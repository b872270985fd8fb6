//! `CLIENT TRACKING` and what belongs to it.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::testkit::sim::call::{Answered, Call, int, reply};
use crate::testkit::sim::commands::client;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::session::{SessionId, Tracking, TrackingMode};
use crate::testkit::sim::spec::{Keys, Spec};
use crate::testkit::sim::tracking;

const FLAGS: &str = "noscript loading stale";

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::world("client|tracking", -3, FLAGS, Keys::None, switch),
    Spec::world("client|trackinginfo", 2, FLAGS, Keys::None, info),
    Spec::world("client|caching", 3, FLAGS, Keys::None, caching),
    Spec::world("client|getredir", 2, FLAGS, Keys::None, getredir),
];

#[derive(Default)]
struct Options {
    redirect: Option<SessionId>,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    noloop: bool,
    prefixes: Vec<Bytes>,
}

impl Options {
    fn parse(call: &Call<'_>) -> Result<Self, Refused> {
        let mut options = Self::default();
        let mut rest = call.rest(3);
        while let [option, behind @ ..] = rest {
            rest = behind;
            match (option.to_ascii_lowercase().as_slice(), behind) {
                (b"redirect", [id, behind @ ..]) => {
                    options.redirect = Some(target(call, id)?);
                    rest = behind;
                }
                (b"prefix", [prefix, behind @ ..]) => {
                    options.prefixes.push(prefix.clone());
                    rest = behind;
                }
                (b"bcast", _) => options.broadcast = true,
                (b"optin", _) => options.opt_in = true,
                (b"optout", _) => options.opt_out = true,
                (b"noloop", _) => options.noloop = true,
                _ => return Err(Refused::syntax()),
            }
        }
        Ok(options)
    }
}

fn target(call: &Call<'_>, id: &Bytes) -> Result<SessionId, Refused> {
    let id = SessionId(u64::try_from(int(id)?).unwrap_or(0));
    let is_here = call.world.sessions.get(&id).is_some_and(|session| session.node == call.node);
    if is_here || id == call.session.id {
        Ok(id)
    } else {
        Err(Refused::new("ERR The client ID you want redirect to does not exist"))
    }
}

fn switch(call: &mut Call<'_>) -> Answered {
    let options = Options::parse(call)?;
    if call.is(2, "off") {
        tracking::forget(call.world, call.session);
    } else if call.is(2, "on") {
        let mode = mode(&options, call.session.tracking.as_ref())?;
        let caching = false;
        let broadcasts = &mut call.world.node_mut(call.node).broadcasts;
        if options.broadcast {
            broadcasts.insert(call.session.id);
        }
        call.session.tracking =
            Some(Tracking { mode, noloop: options.noloop, redirect: options.redirect, caching });
    } else {
        return Err(Refused::syntax());
    }
    reply(Reply::Ok)
}

/// The mode that was asked for, if it can follow what was there before.
fn mode(options: &Options, before: Option<&Tracking>) -> Result<TrackingMode, Refused> {
    let Options { broadcast, opt_in, opt_out, .. } = *options;
    if !options.prefixes.is_empty() && !broadcast {
        return Err(Refused::new("ERR PREFIX option requires BCAST mode to be enabled"));
    }
    let before = before.map(|tracking| &tracking.mode);
    if before.is_some_and(|mode| matches!(mode, TrackingMode::Prefixes(_)) != broadcast) {
        return Err(Refused::new(
            "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling \
             it with a different mode.",
        ));
    }
    if broadcast && (opt_in || opt_out) {
        return Err(Refused::new("ERR OPTIN and OPTOUT are not compatible with BCAST"));
    }
    if opt_in && opt_out {
        return Err(Refused::new("ERR You can't specify both OPTIN mode and OPTOUT mode"));
    }
    if opt_in && before == Some(&TrackingMode::OptOut) || opt_out && before == Some(&TrackingMode::OptIn) {
        return Err(Refused::new(
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling \
             it with a different mode.",
        ));
    }
    Ok(if broadcast {
        let existing = match before {
            Some(TrackingMode::Prefixes(prefixes)) => prefixes.clone(),
            _ => BTreeSet::new(),
        };
        TrackingMode::Prefixes(with_prefixes(existing, &options.prefixes)?)
    } else if opt_in {
        TrackingMode::OptIn
    } else if opt_out {
        TrackingMode::OptOut
    } else {
        TrackingMode::Reads
    })
}

/// Adds prefixes to those that there are. No key may be under two.
fn with_prefixes(mut existing: BTreeSet<Bytes>, more: &[Bytes]) -> Result<BTreeSet<Bytes>, Refused> {
    let overlap = |one: &Bytes, other: &Bytes| one.starts_with(other) || other.starts_with(one);
    let refuse = |one: &Bytes, what: &str, other: &Bytes| {
        let (one, other) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
        Refused::new(format!(
            "ERR Prefix '{one}' overlaps with {what} prefix '{other}'. Prefixes for a single client must not overlap."
        ))
    };
    for (place, prefix) in more.iter().enumerate() {
        if let Some(other) = existing.iter().find(|other| overlap(prefix, other)) {
            return Err(refuse(prefix, "an existing", other));
        }
        if let Some(other) = more.iter().skip(place + 1).find(|other| overlap(prefix, other)) {
            return Err(refuse(prefix, "another provided", other));
        }
    }
    existing.extend(more.iter().cloned());
    if existing.is_empty() {
        existing.insert(Bytes::new());
    }
    Ok(existing)
}

fn caching(call: &mut Call<'_>) -> Answered {
    let wanted = if call.is(2, "yes") {
        Some(true)
    } else if call.is(2, "no") {
        Some(false)
    } else {
        None
    };
    let Some(tracking) = &mut call.session.tracking else {
        return Err(Refused::new(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode \
             enabled",
        ));
    };
    match wanted {
        None => return Err(Refused::syntax()),
        Some(true) if tracking.mode != TrackingMode::OptIn => {
            return Err(Refused::new(
                "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            ));
        }
        Some(false) if tracking.mode != TrackingMode::OptOut => {
            return Err(Refused::new(
                "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ));
        }
        Some(_) => tracking.caching = true,
    }
    reply(Reply::Ok)
}

fn redirect(tracking: Option<&Tracking>) -> Reply {
    match tracking {
        None => Reply::Int(-1),
        Some(tracking) => tracking.redirect.map_or(Reply::Int(0), client::number),
    }
}

fn getredir(call: &mut Call<'_>) -> Answered {
    reply(redirect(call.session.tracking.as_ref()))
}

fn info(call: &mut Call<'_>) -> Answered {
    let tracking = call.session.tracking.as_ref();
    let mut flags = Vec::new();
    let mut prefixes = Vec::new();
    match tracking {
        None => flags.push("off"),
        Some(tracking) => {
            flags.push("on");
            match &tracking.mode {
                TrackingMode::Reads => {}
                TrackingMode::Prefixes(known) => {
                    flags.push("bcast");
                    prefixes.extend(known.iter().cloned().map(Reply::Bulk));
                }
                TrackingMode::OptIn if tracking.caching => flags.extend(["optin", "caching-yes"]),
                TrackingMode::OptIn => flags.push("optin"),
                TrackingMode::OptOut if tracking.caching => flags.extend(["optout", "caching-no"]),
                TrackingMode::OptOut => flags.push("optout"),
            }
            if tracking.noloop {
                flags.push("noloop");
            }
            let is_gone = |to: &SessionId| !call.world.sessions.contains_key(to) && *to != call.session.id;
            if tracking.redirect.as_ref().is_some_and(is_gone) {
                flags.push("broken_redirect");
            }
        }
    }
    reply(Reply::Map(vec![
        (Reply::bulk("flags"), Reply::Set(flags.into_iter().map(Reply::bulk).collect())),
        (Reply::bulk("redirect"), redirect(tracking)),
        (Reply::bulk("prefixes"), Reply::Array(prefixes)),
    ]))
}
