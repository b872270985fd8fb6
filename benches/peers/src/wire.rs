//! [`Wire`]: a blocking connection that does the least there is to do; [`Layout`]: who owns which slot.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;

use bytes::Bytes;

use crate::adapter::Result;

const SLOTS: usize = 16384;
const READ: usize = 64 << 10;

/// One connection. Commands are queued, written together, and as many replies are read.
pub(crate) struct Wire {
    stream: TcpStream,
    output: Vec<u8>,
    queued: usize,
    input: Vec<u8>,
    /// Where each reply's content stands in `input`; `None` for nil.
    replies: Vec<Option<Range<usize>>>,
}

impl Wire {
    pub(crate) fn connect(addr: &str) -> Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, output: Vec::new(), queued: 0, input: vec![0; READ], replies: Vec::new() })
    }

    pub(crate) fn queue(&mut self, args: &[&[u8]]) {
        self.number(b'*', args.len());
        for arg in args {
            self.number(b'$', arg.len());
            self.output.extend_from_slice(arg);
            self.output.extend_from_slice(b"\r\n");
        }
        self.queued += 1;
    }

    fn number(&mut self, kind: u8, number: usize) {
        self.output.push(kind);
        self.output.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    pub(crate) fn write(&mut self) -> Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output)?;
            self.output.clear();
        }
        Ok(())
    }

    /// A reply to each command that was written, in order; an error reply is an error of the whole.
    pub(crate) fn read(&mut self) -> Result<Replies> {
        let (mut parsed, mut filled) = (0, 0);
        self.replies.clear();
        while self.replies.len() < self.queued {
            if self.input.len() - filled < READ / 2 {
                self.input.resize(self.input.len() * 2, 0);
            }
            let read = self.stream.read(self.input.get_mut(filled..).unwrap_or_default())?;
            if read == 0 {
                return Err("the server closed the connection".into());
            }
            filled += read;
            while let Some((content, end)) = reply(self.input.get(..filled).unwrap_or_default(), parsed)? {
                self.replies.push(content);
                parsed = end;
            }
        }
        if parsed != filled || self.replies.len() != self.queued {
            return Err("more replies than commands".into());
        }
        self.queued = 0;
        // One copy for all, as a caller who keeps the replies needs.
        let bytes = Bytes::copy_from_slice(self.input.get(..filled).unwrap_or_default());
        Ok(Replies { bytes, places: std::mem::take(&mut self.replies) })
    }

    /// Gives the memory of the places back.
    pub(crate) fn recycle(&mut self, replies: Replies) {
        self.replies = replies.places;
    }

    /// Sends one command and reads its reply as text.
    pub(crate) fn ask(&mut self, args: &[&[u8]]) -> Result<String> {
        self.queue(args);
        self.write()?;
        let reply = self.read()?.at(0).ok_or("nil")?;
        Ok(String::from_utf8(reply.into())?)
    }
}

/// The replies to what was written together.
pub(crate) struct Replies {
    bytes: Bytes,
    places: Vec<Option<Range<usize>>>,
}

impl Replies {
    pub(crate) fn at(&self, place: usize) -> Option<Bytes> {
        let range = self.places.get(place)?.clone()?;
        Some(self.bytes.slice(range))
    }
}

/// Where the content of the reply at `start` is, and where the next one begins; `None` if it is not all there.
fn reply(input: &[u8], start: usize) -> Result<Option<(Option<Range<usize>>, usize)>> {
    let Some((&kind, rest)) = input.get(start..).and_then(<[u8]>::split_first) else { return Ok(None) };
    let Some(length) = rest.iter().position(|byte| *byte == b'\r') else { return Ok(None) };
    let line = rest.get(..length).unwrap_or_default();
    let content = start + 1 + length + 2;
    match kind {
        b'+' | b':' if content <= input.len() => Ok(Some((Some(start + 1..content - 2), content))),
        b'$' if line == b"-1" && content <= input.len() => Ok(Some((None, content))),
        b'$' => {
            let bytes =
                line.iter().fold(0, |number, digit| number * 10 + usize::from(digit.wrapping_sub(b'0')));
            let end = content + bytes + 2;
            Ok((end <= input.len()).then_some((Some(content..content + bytes), end)))
        }
        b'+' | b':' => Ok(None),
        _ => Err(String::from_utf8_lossy(line).into_owned().into()),
    }
}

/// The primaries and their slots.
#[derive(Clone)]
pub(crate) struct Layout {
    /// `host:port` of each primary.
    pub(crate) primaries: Vec<String>,
    /// The place in `primaries` of each slot's owner.
    owners: Vec<u8>,
}

impl Layout {
    /// Asks the first seed that answers.
    pub(crate) fn of(seeds: &[String]) -> Result<Self> {
        let mut failure = "no seed".into();
        for seed in seeds {
            match Wire::connect(seed).and_then(|mut wire| wire.ask(&[b"CLUSTER", b"NODES"])) {
                Ok(nodes) => return Self::parse(&nodes),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// `id host:port@bus[,name] flags primary ping pong epoch link slot|first-last ...`
    fn parse(nodes: &str) -> Result<Self> {
        let mut layout = Self { primaries: Vec::new(), owners: vec![u8::MAX; SLOTS] };
        for line in nodes.lines() {
            let mut words = line.split(' ').skip(1);
            let addr =
                words.next().and_then(|addr| addr.split('@').next()).ok_or("CLUSTER NODES: no address")?;
            let mut ranges = words.skip(6).filter(|range| !range.starts_with('[')).peekable();
            if ranges.peek().is_none() {
                continue;
            }
            let place = u8::try_from(layout.primaries.len())?;
            layout.primaries.push(addr.to_owned());
            for range in ranges {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let (first, last): (usize, usize) = (first.parse()?, last.parse()?);
                layout.owners.get_mut(first..=last).ok_or("CLUSTER NODES: no such slot")?.fill(place);
            }
        }
        if layout.owners.contains(&u8::MAX) {
            return Err("the cluster does not serve all slots".into());
        }
        Ok(layout)
    }

    /// The place in `primaries` of the node that serves `key`.
    pub(crate) fn owner(&self, key: &str) -> usize {
        self.owners.get(usize::from(slot(key))).copied().unwrap_or_default().into()
    }
}

/// The hash slot of `key`.
pub(crate) fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    crc16::State::<crc16::XMODEM>::calculate(hashed.as_bytes()) % SLOTS as u16
}
