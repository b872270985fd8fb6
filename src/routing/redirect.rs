//! [`judge`]: what an error reply or a lost reply means for the command.

use crate::error::{ErrorKind, Outcome, RedirectKind};
use crate::node::{NodeAddr, split_host_port};
use crate::protocol::server_error::{ErrorCode, ServerError};
use crate::slot::Slot;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The caller gets this error.
    Deliver,
    /// Go to another node. It was not executed.
    Redirect { kind: RedirectKind, slot: Slot, to: NodeAddr },
    /// It was not executed; the same may be accepted a little later, after a look at the topology if so advised.
    Wait { refresh: bool },
}

/// Judges an error reply of the node at `asked`.
pub(crate) fn judge(error: &ServerError, asked: &NodeAddr) -> Verdict {
    match error.class() {
        ErrorCode::Moved => redirect(RedirectKind::Moved, error, asked),
        ErrorCode::Ask => redirect(RedirectKind::Ask, error, asked),
        // Keys of the command are on both sides of a slot that moves: over in a moment, at the same owner.
        ErrorCode::TryAgain => Verdict::Wait { refresh: false },
        ErrorCode::ClusterDown | ErrorCode::Loading | ErrorCode::MasterDown | ErrorCode::ReadOnly => {
            Verdict::Wait { refresh: true }
        }
        // The node stopped being a primary while the command was blocked there; or somebody wanted it to end.
        ErrorCode::Unblocked if error.text().contains("instance state changed") => {
            Verdict::Wait { refresh: true }
        }
        // Redis 7.0 says so to who waits for a group's entries also when the stream moves to another node. One that was
        // deleted is answered by NOGROUP the next time.
        ErrorCode::Unblocked if error.text().contains("stream key no longer exists") => {
            Verdict::Wait { refresh: false }
        }
        ErrorCode::CrossSlot
        | ErrorCode::ExecAbort
        | ErrorCode::NoAuth
        | ErrorCode::WrongPass
        | ErrorCode::NoPerm
        | ErrorCode::NoProto
        | ErrorCode::NoScript
        | ErrorCode::Busy
        | ErrorCode::Oom
        | ErrorCode::Misconf
        | ErrorCode::NoReplicas
        | ErrorCode::WrongType
        | ErrorCode::Unblocked
        | ErrorCode::Err
        | ErrorCode::Other => Verdict::Deliver,
    }
}

/// `MOVED <slot> <host>:<port>`. An empty host is the one that was asked; `?` or port 0 is a node whose address the
/// cluster does not know: it will, so the command waits.
fn redirect(kind: RedirectKind, error: &ServerError, asked: &NodeAddr) -> Verdict {
    let mut words = error.text().split_ascii_whitespace().skip(1);
    let slot = words.next().and_then(|word| word.parse().ok()).and_then(Slot::new);
    let address = words.next().and_then(|word| split_host_port(word).ok());
    match (slot, address) {
        (Some(_), Some(("?", _) | (_, 0))) => Verdict::Wait { refresh: true },
        (Some(slot), Some(("", port))) => {
            Verdict::Redirect { kind, slot, to: NodeAddr::new(asked.host(), port) }
        }
        (Some(slot), Some((host, port))) => Verdict::Redirect { kind, slot, to: NodeAddr::new(host, port) },
        (_, None) | (None, _) => Verdict::Deliver,
    }
}

/// The class that an error reply has for the caller.
pub(crate) fn kind_of(error: &ServerError) -> ErrorKind {
    match error.class() {
        ErrorCode::NoAuth | ErrorCode::WrongPass | ErrorCode::NoPerm => ErrorKind::Auth,
        ErrorCode::CrossSlot => ErrorKind::CrossSlot,
        ErrorCode::TryAgain
        | ErrorCode::ClusterDown
        | ErrorCode::Loading
        | ErrorCode::MasterDown
        | ErrorCode::ReadOnly
        | ErrorCode::Unblocked => ErrorKind::Unavailable,
        ErrorCode::Moved
        | ErrorCode::Ask
        | ErrorCode::ExecAbort
        | ErrorCode::NoProto
        | ErrorCode::NoScript
        | ErrorCode::Busy
        | ErrorCode::Oom
        | ErrorCode::Misconf
        | ErrorCode::NoReplicas
        | ErrorCode::WrongType
        | ErrorCode::Err
        | ErrorCode::Other => ErrorKind::Server,
    }
}

/// Whether an error reply means that nothing was done. A script may have written before it failed; the codes that a
/// server checks before it runs one are the exception.
pub(crate) fn outcome_of(error: &ServerError, scripted: bool) -> Outcome {
    // Nothing has begun if the server does not know EVAL_RO, FCALL or their kind. A function that is not found is told in words
    // that a script may answer as well, after some writes.
    let is_unknown = || {
        let text = error.text().to_ascii_lowercase();
        let name = text.strip_prefix("err unknown command ").and_then(|name| name.get(1..));
        name.is_some_and(|name| name.starts_with("eval") || name.starts_with("fcall"))
    };
    if !scripted || is_unknown() {
        return Outcome::Rejected;
    }
    match error.class() {
        ErrorCode::Moved
        | ErrorCode::Ask
        | ErrorCode::TryAgain
        | ErrorCode::ClusterDown
        | ErrorCode::Loading
        | ErrorCode::MasterDown
        | ErrorCode::CrossSlot
        | ErrorCode::NoAuth
        | ErrorCode::WrongPass
        | ErrorCode::NoScript
        | ErrorCode::Busy
        | ErrorCode::Misconf
        | ErrorCode::NoReplicas => Outcome::Rejected,
        ErrorCode::ReadOnly
        | ErrorCode::ExecAbort
        | ErrorCode::Unblocked
        | ErrorCode::NoPerm
        | ErrorCode::NoProto
        | ErrorCode::Oom
        | ErrorCode::WrongType
        | ErrorCode::Err
        | ErrorCode::Other => Outcome::MaybeExecuted,
    }
}

#[cfg(test)]
mod tests {
    use super::{Verdict, judge, outcome_of};
    use crate::error::{Outcome, RedirectKind};
    use crate::node::NodeAddr;
    use crate::protocol::server_error::ServerError;
    use crate::slot::Slot;

    fn verdict(text: &str) -> Verdict {
        judge(&ServerError::new(text), &NodeAddr::new("10.0.0.1", 7000))
    }

    fn to(kind: RedirectKind, slot: u16, host: &str, port: u16) -> Verdict {
        Verdict::Redirect { kind, slot: Slot::new(slot).unwrap(), to: NodeAddr::new(host, port) }
    }

    #[test]
    fn redirects_are_read_in_every_form_that_servers_send() {
        use RedirectKind::{Ask, Moved};
        assert_eq!(verdict("MOVED 8579 127.0.0.1:18001"), to(Moved, 8579, "127.0.0.1", 18001));
        assert_eq!(
            verdict("MOVED 8579 host1.example.com:18001"),
            to(Moved, 8579, "host1.example.com", 18001)
        );
        assert_eq!(verdict("MOVED 16287 ::1:18001"), to(Moved, 16287, "::1", 18001));
        assert_eq!(verdict("ASK 449 :18001"), to(Ask, 449, "10.0.0.1", 18001));
        assert_eq!(verdict("MOVED 12706 ?:18002"), Verdict::Wait { refresh: true });
        assert_eq!(verdict("MOVED 8579 :0"), Verdict::Wait { refresh: true });
    }

    #[test]
    fn a_redirect_that_makes_no_sense_is_shown_to_the_caller() {
        for text in
            ["MOVED", "MOVED 1", "MOVED x 127.0.0.1:1", "MOVED 99999 a:1", "ASK 1 nowhere", "ASK 1 [[]]:1"]
        {
            assert_eq!(verdict(text), Verdict::Deliver, "{text}");
        }
    }

    #[test]
    fn what_a_moment_mends_is_waited_for() {
        assert_eq!(verdict("TRYAGAIN Multiple keys request"), Verdict::Wait { refresh: false });
        for text in [
            "CLUSTERDOWN Hash slot not served",
            "LOADING Redis is loading the dataset in memory",
            "MASTERDOWN Link with MASTER is down",
            "READONLY You can't write against a read only replica.",
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        ] {
            assert_eq!(verdict(text), Verdict::Wait { refresh: true }, "{text}");
        }
        let moved = "UNBLOCKED the stream key no longer exists";
        assert_eq!(verdict(moved), Verdict::Wait { refresh: false });
        assert_eq!(verdict("WRONGTYPE Operation"), Verdict::Deliver);
        assert_eq!(verdict("UNBLOCKED client unblocked via CLIENT UNBLOCK"), Verdict::Deliver);
    }

    #[test]
    fn a_script_that_failed_half_way_may_have_written() {
        assert_eq!(outcome_of(&ServerError::new("ERR Error running script"), true), Outcome::MaybeExecuted);
        assert_eq!(outcome_of(&ServerError::new("NOSCRIPT No matching script."), true), Outcome::Rejected);
        assert_eq!(outcome_of(&ServerError::new("ERR syntax error"), false), Outcome::Rejected);
        let unknown = "ERR unknown command `FCALL`, with args beginning with: `f`, `0`, ";
        assert_eq!(outcome_of(&ServerError::new(unknown), true), Outcome::Rejected);
        let unknown = "ERR unknown command 'eval_ro', with args beginning with: 'return 1' '0' ";
        assert_eq!(outcome_of(&ServerError::new(unknown), true), Outcome::Rejected);
        // The words of a script.
        assert_eq!(outcome_of(&ServerError::new("ERR unknown command 'x'"), true), Outcome::MaybeExecuted);
    }
}
