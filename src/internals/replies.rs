//! Replies without a link: its decoder and read buffer, fed by hand.

use bytes::buf::Limit;
use bytes::{Buf, BufMut, BytesMut};

use crate::protocol::codec::Decoder;
use crate::protocol::value::Value;

/// What a link decodes with.
#[derive(Debug)]
pub struct Replies {
    decoder: Decoder,
    buffer: BytesMut,
    /// Everything before it is read.
    at: usize,
}

impl Default for Replies {
    fn default() -> Self {
        Self { decoder: Decoder::new(usize::MAX), buffer: BytesMut::new(), at: 0 }
    }
}

impl Replies {
    /// Where the bytes that come next go. To be asked for after [`next_reply`](Self::next_reply) has found none.
    pub fn room(&mut self) -> Limit<&mut (dyn BufMut + Send)> {
        self.decoder.room(&mut self.buffer, 16 << 10)
    }

    /// Takes `bytes` as they come from a socket, `piece` by piece or as many as there is room for, and hands over the
    /// replies.
    pub fn receive(&mut self, bytes: &[u8], piece: usize, mut reply: impl FnMut(Value)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut room = self.room();
            let most = room.chunk_mut().len().min(piece);
            let (now, later) = rest.split_at(rest.len().min(most));
            room.put_slice(now);
            rest = later;
            while let Some(value) = self.next_reply() {
                reply(value);
            }
        }
    }

    /// The next whole reply. `None`: more bytes are needed, or there was an error.
    #[inline]
    pub fn next_reply(&mut self) -> Option<Value> {
        let reply = self.decoder.next(&self.buffer, &mut self.at).ok().flatten();
        if reply.is_none() {
            self.buffer.advance(self.at);
            self.at = 0;
        }
        reply
    }
}
