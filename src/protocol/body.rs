//! [`Body`]: the arguments of one command, encoded once.

use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

/// Encoded arguments up to this many bytes need no heap: a `SET` of a 32-byte key to a 64-byte value fits.
const INLINE: usize = 128;

/// Arguments from this length on are kept apart and written from where they lie.
pub(crate) const SEGMENT: usize = 4 << 10;

/// The arguments of a command as RESP bulk strings, its name first, without the `*n` header.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    bytes: SmallVec<[u8; INLINE]>,
    /// Long arguments, with the place in `bytes` where each belongs.
    segments: Vec<(usize, Bytes)>,
    args: usize,
}

impl Body {
    pub(crate) fn push(&mut self, arg: &[u8]) {
        if arg.len() >= SEGMENT {
            self.push_segment(Bytes::copy_from_slice(arg));
        } else {
            self.push_header(arg.len());
            self.bytes.extend_from_slice(arg);
            self.bytes.extend_from_slice(b"\r\n");
        }
    }

    pub(crate) fn push_owned(&mut self, arg: Bytes) {
        if arg.len() >= SEGMENT { self.push_segment(arg) } else { self.push(&arg) }
    }

    fn push_segment(&mut self, arg: Bytes) {
        self.push_header(arg.len());
        self.segments.push((self.bytes.len(), arg));
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn push_header(&mut self, length: usize) {
        self.args += 1;
        push_header(&mut self.bytes, b'$', length);
    }

    /// How many arguments there are, the command's name included.
    pub(crate) fn args(&self) -> usize {
        self.args
    }

    /// The short arguments with all headers and line ends.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The long arguments with their places in [`Body::bytes`].
    pub(crate) fn segments(&self) -> &[(usize, Bytes)] {
        &self.segments
    }

    /// What the whole command takes on the wire, its `*n` header included.
    pub(crate) fn wire_length(&self) -> usize {
        let long: usize = self.segments.iter().map(|(_, segment)| segment.len()).sum();
        header_length(self.args) + self.bytes.len() + long
    }

    /// Each argument, the command's name first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut segments = self.segments.iter().peekable();
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = self.bytes.get(at..)?;
            let line = memchr::memchr(b'\r', rest)?;
            let length = std::str::from_utf8(rest.get(1..line)?).ok()?.parse::<usize>().ok()?;
            let start = at + line + 2;
            if let Some((_, segment)) = segments.next_if(|(place, _)| *place == start && length >= SEGMENT) {
                at = start + 2;
                return Some(segment.as_ref());
            }
            at = start + length + 2;
            self.bytes.get(start..start + length)
        })
    }

    /// Each argument with the place in [`Body::bytes`] where it ends: there the next one begins.
    pub(crate) fn iter_with_ends(&self) -> impl Iterator<Item = (&[u8], usize)> {
        let mut end = 0;
        self.iter().map(move |arg| {
            let short = if arg.len() < SEGMENT { arg.len() } else { 0 };
            end += header_length(arg.len()) + short + 2;
            (arg, end)
        })
    }

    /// The arguments from one place in [`Body::bytes`] to another.
    #[inline]
    pub(crate) fn excerpt(&self, range: Range<usize>) -> Excerpt<'_> {
        let start = range.start;
        let segments = match self.segments.as_slice() {
            [] => &[],
            all => {
                let before = |end: usize| all.partition_point(|(place, _)| *place < end);
                all.get(before(start)..before(range.end)).unwrap_or_default()
            }
        };
        Excerpt { bytes: self.bytes.get(range).unwrap_or_default(), segments, start }
    }
}

/// Adjacent arguments of a [`Body`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Excerpt<'a> {
    bytes: &'a [u8],
    segments: &'a [(usize, Bytes)],
    start: usize,
}

impl<'a> Excerpt<'a> {
    /// The short arguments with all headers and line ends.
    #[inline]
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The long arguments with their places in [`Excerpt::bytes`].
    #[inline]
    pub(crate) fn segments(&self) -> impl Iterator<Item = (usize, &'a Bytes)> {
        let start = self.start;
        self.segments.iter().map(move |(place, segment)| (place - start, segment))
    }

    /// What it takes on the wire.
    #[inline]
    pub(crate) fn wire_length(&self) -> usize {
        self.bytes.len() + self.segments.iter().map(|(_, segment)| segment.len()).sum::<usize>()
    }
}

/// Where encoded bytes go: inline with the command, or into the buffer of a link.
pub(crate) trait Append {
    fn append(&mut self, bytes: &[u8]);
}

impl Append for SmallVec<[u8; INLINE]> {
    #[inline]
    fn append(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Append for Vec<u8> {
    #[inline]
    fn append(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// `<kind><number>\r\n`.
#[inline]
pub(crate) fn push_header(out: &mut impl Append, kind: u8, number: usize) {
    match u8::try_from(number) {
        // Most headers are short, and appended in one piece.
        Ok(digit @ 0..10) => out.append(&[kind, b'0' + digit, b'\r', b'\n']),
        Ok(digits @ 10..100) => out.append(&[kind, b'0' + digits / 10, b'0' + digits % 10, b'\r', b'\n']),
        Ok(_) | Err(_) => {
            out.append(&[kind]);
            out.append(itoa::Buffer::new().format(number).as_bytes());
            out.append(b"\r\n");
        }
    }
}

/// The length of `*<number>\r\n`.
pub(crate) fn header_length(number: usize) -> usize {
    3 + number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Body, SEGMENT, header_length, push_header};

    #[test]
    fn arguments_come_back_as_they_were_pushed() {
        let long = vec![b'\r'; SEGMENT];
        let args: Vec<&[u8]> = vec![b"SET", b"", b"\r\n$3\r\n", &long, &long, b"x"];
        let mut body = Body::default();
        for arg in &args {
            body.push(arg);
        }
        body.push_owned(Bytes::from_static(b"end"));
        let back: Vec<&[u8]> = body.iter().collect();
        assert_eq!(back.len(), 7);
        assert_eq!(back[..6], args);
        assert_eq!(back[6], b"end");
        assert_eq!(body.args(), 7);
        assert_eq!(body.segments().len(), 2);
    }

    #[test]
    fn headers_have_the_length_that_is_reckoned_for_them() {
        for number in [0, 1, 9, 10, 99, 100, 12345, usize::MAX] {
            let mut out = Vec::new();
            push_header(&mut out, b'*', number);
            assert_eq!(out, format!("*{number}\r\n").into_bytes());
            assert_eq!(out.len(), header_length(number));
        }
    }
}
