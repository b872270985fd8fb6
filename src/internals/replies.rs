//! Replies without a link: its decoder and read buffer, fed by hand.

use bytes::{Buf, BytesMut};

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
    /// Takes bytes as they come from a socket.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.buffer.reserve(16 << 10);
        self.buffer.extend_from_slice(bytes);
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
