//! `MULTI`, `DISCARD`, `WATCH`, `UNWATCH`. `EXEC` is the dispatcher's own.

use crate::testkit::sim::call::{Answered, Call, reply};
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::session::Transaction;
use crate::testkit::sim::spec::{Keys, Spec};

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::world("multi", 1, "noscript loading stale fast no_multi allow_busy", Keys::None, multi),
    Spec::world("discard", 1, "noscript loading stale fast allow_busy", Keys::None, discard),
    Spec::world("watch", -2, "noscript loading stale fast no_multi allow_busy", Keys::ALL, watch),
    Spec::world("unwatch", 1, "noscript loading stale fast allow_busy", Keys::None, unwatch),
];

fn multi(call: &mut Call<'_>) -> Answered {
    if call.session.transaction.is_some() {
        return Err(Refused::new("ERR MULTI calls can not be nested"));
    }
    call.session.transaction = Some(Transaction::default());
    reply(Reply::Ok)
}

fn discard(call: &mut Call<'_>) -> Answered {
    if call.world.discard(call.session) {
        reply(Reply::Ok)
    } else {
        Err(Refused::new("ERR DISCARD without MULTI"))
    }
}

fn watch(call: &mut Call<'_>) -> Answered {
    if call.session.transaction.is_some() {
        return Err(Refused::new("ERR WATCH inside MULTI is not allowed"));
    }
    for key in call.rest(1) {
        call.session.watched.insert(key.clone());
        let watchers = &mut call.world.node_mut(call.node).watchers;
        watchers.entry(key.clone()).or_default().insert(call.session.id);
    }
    reply(Reply::Ok)
}

fn unwatch(call: &mut Call<'_>) -> Answered {
    call.world.unwatch(call.session);
    reply(Reply::Ok)
}
