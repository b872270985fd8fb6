//! [`Frame`]: one value from a connection that is subscribed. RESP3 sends pushes, RESP2 arrays of the same form.

use bytes::Bytes;

use crate::cluster::pubsub::event::{Message, Subscription, SubscriptionKind};
use crate::protocol::server_error::ServerError;
use crate::protocol::value::Value;

/// What a value means there.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    Message(Subscription, Message),
    /// It is subscribed to from here on.
    Begun(Subscription),
    /// It is not any more. `None`: nothing was.
    Over(Option<Subscription>),
    /// The answer to a `PING` with this text.
    Pong(Bytes),
    Error(ServerError),
    /// A push of another kind.
    Other,
    /// What no server sends there.
    Alien,
}

/// Reads a value.
pub(super) fn read(value: Value) -> Frame {
    match value {
        Value::Push(items) => read_items(items).unwrap_or(Frame::Other),
        Value::Array(items) => read_items(items).unwrap_or(Frame::Alien),
        Value::Bulk(text) | Value::Simple(text) => Frame::Pong(text),
        Value::Error(error) => Frame::Error(error),
        Value::Nil
        | Value::Int(_)
        | Value::Double(_)
        | Value::Bool(_)
        | Value::BigNumber(_)
        | Value::Verbatim { .. }
        | Value::Map(_)
        | Value::Set(_) => Frame::Alien,
    }
}

fn read_items(items: Vec<Value>) -> Option<Frame> {
    use SubscriptionKind::{Channel, Pattern, Shard};
    let mut items = items.into_iter();
    let mut next = || match items.next() {
        Some(Value::Bulk(bytes) | Value::Simple(bytes)) => Some(bytes),
        Some(_) | None => None,
    };
    let verb = next()?;
    let message = |kind, channel: Bytes, payload| {
        let subscription = Subscription { kind, name: channel.clone() };
        Frame::Message(subscription, Message { kind, channel, pattern: None, payload })
    };
    let begun = |kind, name| Frame::Begun(Subscription { kind, name });
    let over = |kind, name: Option<Bytes>| Frame::Over(name.map(|name| Subscription { kind, name }));
    Some(match &*verb {
        b"message" => message(Channel, next()?, next()?),
        b"smessage" => message(Shard, next()?, next()?),
        b"pmessage" => {
            let (pattern, channel, payload) = (next()?, next()?, next()?);
            let subscription = Subscription { kind: Pattern, name: pattern.clone() };
            Frame::Message(subscription, Message { kind: Pattern, channel, pattern: Some(pattern), payload })
        }
        b"subscribe" => begun(Channel, next()?),
        b"psubscribe" => begun(Pattern, next()?),
        b"ssubscribe" => begun(Shard, next()?),
        b"unsubscribe" => over(Channel, next()),
        b"punsubscribe" => over(Pattern, next()),
        b"sunsubscribe" => over(Shard, next()),
        b"pong" => Frame::Pong(next()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::{Frame, read};
    use crate::cluster::pubsub::event::{Subscription, SubscriptionKind};
    use crate::protocol::codec::Decoder;

    fn frame(text: &str) -> Frame {
        let mut bytes = BytesMut::from(text.replace('|', "\r\n").as_bytes());
        read(Decoder::new(1 << 20).decode(&mut bytes).unwrap().unwrap())
    }

    fn shard(name: &'static str) -> Subscription {
        Subscription { kind: SubscriptionKind::Shard, name: name.into() }
    }

    #[test]
    fn both_versions_of_resp_are_read() {
        for form in ['*', '>'] {
            assert_eq!(frame(&format!("{form}3|$10|ssubscribe|$2|c2|:1|")), Frame::Begun(shard("c2")));
            assert_eq!(frame(&format!("{form}3|$12|sunsubscribe|$2|c2|:0|")), Frame::Over(Some(shard("c2"))));
            let Frame::Message(subscription, message) =
                frame(&format!("{form}4|$8|pmessage|$2|n*|$4|news|$2|hi|"))
            else {
                panic!()
            };
            assert_eq!(&*subscription.name, b"n*");
            assert_eq!(message.pattern.as_deref(), Some(&b"n*"[..]));
            assert_eq!((&*message.channel, &*message.payload), (&b"news"[..], &b"hi"[..]));
        }
        assert_eq!(frame("*3|$11|unsubscribe|$-1|:0|"), Frame::Over(None));
        assert_eq!(frame("*2|$4|pong|$1|7|"), Frame::Pong("7".into()));
        assert_eq!(frame("$1|7|"), Frame::Pong("7".into()));
    }

    #[test]
    fn what_is_none_of_it_is_told_apart() {
        assert_eq!(frame(">2|$10|invalidate|*0|"), Frame::Other);
        assert_eq!(frame("*1|:3|"), Frame::Alien);
        assert_eq!(frame(":3|"), Frame::Alien);
        assert!(matches!(frame("-MOVED 1 a:2|"), Frame::Error(_)));
    }
}
