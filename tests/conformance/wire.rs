//! [`Frame`]: one reply as it stood on the wire. Written apart from the client's decoder and from the simulation's
//! encoder: a mistake that either shared with this would hide itself.

use std::fmt::Write;

/// One reply with nothing lost: what is encoded again has the same bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Frame {
    /// `+`, `-`, `:`, `,`, `_`, `#`, `(`: up to the end of the line.
    Line(u8, Vec<u8>),
    /// `$`, `=`, `!`; `None` is `$-1`.
    Bulk(u8, Option<Vec<u8>>),
    /// `*`, `~`, `>`, `%`; `None` is `*-1`. A map has its keys and values in turn.
    Many(u8, Option<Vec<Frame>>),
}

/// These bytes are no reply of any RESP version.
#[derive(Debug)]
pub(crate) struct Malformed;

/// The first reply of the buffer and how long it is; `None` if it is not whole yet.
pub(crate) fn parse(buffer: &[u8]) -> Result<Option<(Frame, usize)>, Malformed> {
    let mut at = 0;
    let Some(frame) = read(buffer, &mut at)? else { return Ok(None) };
    // A length with a leading zero or a plus is no length of a real server.
    if frame.encoded() == buffer[..at] { Ok(Some((frame, at))) } else { Err(Malformed) }
}

fn read(buffer: &[u8], at: &mut usize) -> Result<Option<Frame>, Malformed> {
    let Some(line_end) = buffer[*at..].windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let line = &buffer[*at..*at + line_end];
    *at += line_end + 2;
    let (kind, rest) = line.split_first().ok_or(Malformed)?;
    let length = || std::str::from_utf8(rest).ok().and_then(|text| text.parse::<i64>().ok()).ok_or(Malformed);
    match *kind {
        kind @ (b'+' | b'-' | b':' | b',' | b'_' | b'#' | b'(') => Ok(Some(Frame::Line(kind, rest.to_vec()))),
        kind @ (b'$' | b'=' | b'!') => {
            let Ok(length) = usize::try_from(length()?) else { return Ok(Some(Frame::Bulk(kind, None))) };
            let Some(body) = buffer.get(*at..*at + length + 2) else { return Ok(None) };
            *at += length + 2;
            let (body, end) = body.split_at(length);
            if end == b"\r\n" { Ok(Some(Frame::Bulk(kind, Some(body.to_vec())))) } else { Err(Malformed) }
        }
        kind @ (b'*' | b'~' | b'>' | b'%') => {
            let Ok(count) = usize::try_from(length()?) else { return Ok(Some(Frame::Many(kind, None))) };
            let mut parts = Vec::new();
            for _ in 0..if kind == b'%' { count * 2 } else { count } {
                let Some(part) = read(buffer, at)? else { return Ok(None) };
                parts.push(part);
            }
            Ok(Some(Frame::Many(kind, Some(parts))))
        }
        _ => Err(Malformed),
    }
}

impl Frame {
    pub(crate) fn encoded(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        bytes
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Line(kind, text) => {
                bytes.push(*kind);
                bytes.extend_from_slice(text);
                bytes.extend_from_slice(b"\r\n");
            }
            Self::Bulk(kind, None) | Self::Many(kind, None) => {
                bytes.push(*kind);
                bytes.extend_from_slice(b"-1\r\n");
            }
            Self::Bulk(kind, Some(body)) => {
                bytes.push(*kind);
                bytes.extend_from_slice(format!("{}\r\n", body.len()).as_bytes());
                bytes.extend_from_slice(body);
                bytes.extend_from_slice(b"\r\n");
            }
            Self::Many(kind, Some(parts)) => {
                let count = if *kind == b'%' { parts.len() / 2 } else { parts.len() };
                bytes.push(*kind);
                bytes.extend_from_slice(format!("{count}\r\n").as_bytes());
                parts.iter().for_each(|part| part.encode(bytes));
            }
        }
    }

    /// The bytes for a reader: `\r\n` as `␤`, what is no text as `\x07`.
    pub(crate) fn shown(&self) -> String {
        show(&self.encoded())
    }

    pub(crate) fn is_error(&self) -> bool {
        matches!(self, Self::Line(b'-', _))
    }

    /// What stands in it, if it is no aggregate.
    pub(crate) fn payload(&self) -> Option<&[u8]> {
        match self {
            Self::Line(_, text) | Self::Bulk(_, Some(text)) => Some(text),
            Self::Bulk(_, None) | Self::Many(..) => None,
        }
    }

    pub(crate) fn parts(&self) -> &[Frame] {
        match self {
            Self::Many(_, Some(parts)) => parts,
            Self::Line(..) | Self::Bulk(..) | Self::Many(_, None) => &[],
        }
    }

    /// Lets `change` see every text in it.
    pub(crate) fn each_text(&mut self, change: &mut impl FnMut(&mut Vec<u8>)) {
        match self {
            Self::Line(_, text) | Self::Bulk(_, Some(text)) => change(text),
            Self::Bulk(_, None) | Self::Many(_, None) => {}
            Self::Many(_, Some(parts)) => parts.iter_mut().for_each(|part| part.each_text(change)),
        }
    }
}

fn show(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        for symbol in chunk.valid().replace("\r\n", "␤").chars() {
            match symbol {
                '␤' => shown.push(symbol),
                '\n' => shown.push_str("\\n"),
                symbol if symbol.is_control() => _ = write!(shown, "\\x{:02x}", u32::from(symbol)),
                symbol => shown.push(symbol),
            }
        }
        for byte in chunk.invalid() {
            _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}
