//! [`Body`]: the arguments of one command, encoded once.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

/// Encoded arguments up to this many bytes need no heap: a `SET` of a uuid to a 64-byte value just fits.
const INLINE: usize = 123;

/// Arguments from this length on are kept apart and written from where they lie.
pub(crate) const SEGMENT: usize = 4 << 10;

/// The arguments of a command as RESP bulk strings, its name first, without the `*n` header.
#[derive(Clone)]
pub(crate) struct Body {
    /// An array of our own and no small-vector library: that took 60 instructions for each piece of an argument, this
    /// takes 40 for the whole argument.
    inline: [u8; INLINE],
    /// How much of it is used.
    length: u8,
    args: u32,
    /// Everything, once it is more than fits inline.
    long: Option<Box<Long>>,
}

#[derive(Clone)]
struct Long {
    bytes: Vec<u8>,
    /// Long arguments, with the place in `bytes` where each belongs.
    segments: Vec<(usize, Bytes)>,
}

impl fmt::Debug for Body {
    /// Without what the arguments say: it may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("args", &self.args).finish_non_exhaustive()
    }
}

impl Default for Body {
    fn default() -> Self {
        Self { inline: [0; INLINE], length: 0, args: 0, long: None }
    }
}

impl Body {
    /// With `args` arguments, which are the first `length` bytes of `start`.
    #[inline]
    pub(crate) fn begun<const N: usize>(start: &[u8; N], length: u8, args: u8) -> Self {
        let mut body = Self { length, args: u32::from(args), ..Self::default() };
        if let Some(front) = body.inline.first_chunk_mut() {
            *front = *start;
        }
        body
    }

    #[inline]
    pub(crate) fn push(&mut self, arg: &[u8]) {
        let header = Header::new(b'$', arg.len());
        if self.long.is_none()
            && let Some(room) = self.inline.get_mut(usize::from(self.length)..)
            && let Some(written) = write_arg(room, &header, arg)
        {
            self.length += written;
            self.args += 1;
        } else if arg.len() >= SEGMENT {
            self.push_segment(Bytes::copy_from_slice(arg));
        } else {
            self.args += 1;
            let bytes = &mut self.long().bytes;
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(arg);
            bytes.extend_from_slice(b"\r\n");
        }
    }

    pub(crate) fn push_owned(&mut self, arg: Bytes) {
        if arg.len() >= SEGMENT { self.push_segment(arg) } else { self.push(&arg) }
    }

    fn push_segment(&mut self, arg: Bytes) {
        self.args += 1;
        let long = self.long();
        push_header(&mut long.bytes, b'$', arg.len());
        long.segments.push((long.bytes.len(), arg));
        long.bytes.extend_from_slice(b"\r\n");
    }

    /// Makes room for so many arguments of a usual size, if they are many.
    pub(crate) fn expect(&mut self, args: usize) {
        const USUAL: usize = 32;
        if args.saturating_mul(USUAL) > 2 * INLINE {
            // Not on the word of the caller's iterator alone: it may be wrong.
            let room = args.min(1 << 16) * USUAL;
            self.long_with_room(room).bytes.reserve(room);
        }
    }

    fn long(&mut self) -> &mut Long {
        self.long_with_room(INLINE)
    }

    /// What is inline moves to the heap, where there is so much room behind it at first.
    fn long_with_room(&mut self, room: usize) -> &mut Long {
        let Self { inline, length, long, .. } = self;
        long.get_or_insert_with(|| {
            let mut bytes = Vec::with_capacity(INLINE + room);
            bytes.extend_from_slice(inline.get(..usize::from(*length)).unwrap_or_default());
            Box::new(Long { bytes, segments: Vec::new() })
        })
    }

    /// How many arguments there are, the command's name included.
    #[inline]
    pub(crate) fn args(&self) -> usize {
        self.args as usize
    }

    /// The short arguments with all headers and line ends.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.long {
            Some(long) => &long.bytes,
            None => self.inline.get(..usize::from(self.length)).unwrap_or_default(),
        }
    }

    /// The long arguments with their places in [`Body::bytes`].
    #[inline]
    pub(crate) fn segments(&self) -> &[(usize, Bytes)] {
        self.long.as_ref().map_or(&[], |long| &long.segments)
    }

    /// What the whole command takes on the wire, its `*n` header included.
    #[inline]
    pub(crate) fn wire_length(&self) -> usize {
        let written = match &self.long {
            None => usize::from(self.length),
            Some(long) => {
                long.bytes.len() + long.segments.iter().map(|(_, segment)| segment.len()).sum::<usize>()
            }
        };
        header_length(self.args()) + written
    }

    /// Each argument, the command's name first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.iter_with_ends().map(|(arg, _)| arg)
    }

    /// Each argument with the place in [`Body::bytes`] where it ends: there the next one begins.
    pub(crate) fn iter_with_ends(&self) -> impl Iterator<Item = (&[u8], usize)> {
        let bytes = self.bytes();
        let mut segments = self.segments().iter().peekable();
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = bytes.get(at..)?;
            let (length, header) = length_in(rest)?;
            if length >= SEGMENT
                && let Some((_, segment)) = segments.next_if(|(place, _)| *place == at + header)
            {
                at += header + 2;
                return Some((segment.as_ref(), at));
            }
            let arg = rest.get(header..header + length)?;
            at += header + length + 2;
            Some((arg, at))
        })
    }

    /// The arguments from one place in [`Body::bytes`] to another.
    #[inline]
    pub(crate) fn excerpt(&self, range: Range<usize>) -> Excerpt<'_> {
        let start = range.start;
        let segments = match self.segments() {
            [] => &[],
            all => {
                let before = |end: usize| all.partition_point(|(place, _)| *place < end);
                all.get(before(start)..before(range.end)).unwrap_or_default()
            }
        };
        Excerpt { bytes: self.bytes().get(range).unwrap_or_default(), segments, start }
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

    /// What the long arguments take on the wire apart from [`Excerpt::bytes`].
    pub(crate) fn long_length(&self) -> usize {
        self.segments.iter().map(|(_, segment)| segment.len()).sum()
    }
}

/// The number that the header at the front of `bytes` tells, and how long the header is.
#[inline]
fn length_in(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut number = 0;
    for (place, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            b'0'..=b'9' => number = number * 10 + usize::from(byte - b'0'),
            _end => return Some((number, place + 2)),
        }
    }
    None
}

/// Writes one whole argument to the front of `room`; how long it is, or `None` if it does not fit.
#[inline]
fn write_arg(room: &mut [u8], header: &Header, arg: &[u8]) -> Option<u8> {
    let (front, _) = room.split_first_chunk_mut::<8>()?;
    if header.length > 8 {
        return None;
    }
    let (start, end) = (header.length, header.length + arg.len());
    // The longest first: what does not fit leaves no trace but in bytes that are free.
    let first = header.bytes.first_chunk::<8>()?;
    *front = *first;
    room.get_mut(start..end)?.copy_from_slice(arg);
    room.get_mut(end..end + 2)?.copy_from_slice(b"\r\n");
    u8::try_from(end + 2).ok()
}

/// `<kind><number>\r\n`.
pub(crate) struct Header {
    /// What lies behind `length` is of no meaning.
    bytes: [u8; 24],
    length: usize,
}

impl Header {
    #[inline]
    pub(crate) fn new(kind: u8, number: usize) -> Self {
        let mut bytes = [0; 24];
        let digit = |number: usize| b'0' + (number % 10) as u8;
        // Most numbers are short, and written without a loop.
        let (front, length) = match number {
            0..10 => ([kind, digit(number), b'\r', b'\n', 0, 0], 4),
            10..100 => ([kind, digit(number / 10), digit(number), b'\r', b'\n', 0], 5),
            100..1000 => ([kind, digit(number / 100), digit(number / 10), digit(number), b'\r', b'\n'], 6),
            _longer => return Self::of_many_digits(kind, number),
        };
        if let Some(place) = bytes.first_chunk_mut::<6>() {
            *place = front;
        }
        Self { bytes, length }
    }

    #[inline(never)]
    fn of_many_digits(kind: u8, number: usize) -> Self {
        let mut bytes = [0; 24];
        let mut digits = itoa::Buffer::new();
        let parts = [&[kind], digits.format(number).as_bytes(), b"\r\n"];
        let mut length = 0;
        for (place, byte) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *place = *byte;
            length += 1;
        }
        Self { bytes, length }
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Appends `<kind><number>\r\n`.
#[inline]
pub(crate) fn push_header(out: &mut Vec<u8>, kind: u8, number: usize) {
    match number {
        // Its length is known here, so this is no call of a function that copies.
        0..10 => out.extend_from_slice(&[kind, b'0' + number as u8, b'\r', b'\n']),
        _longer => out.extend_from_slice(Header::new(kind, number).as_bytes()),
    }
}

/// The length of `*<number>\r\n`.
#[inline]
pub(crate) fn header_length(number: usize) -> usize {
    match number {
        0..10 => 4,
        10..100 => 5,
        _longer => 3 + number.checked_ilog10().map_or(1, |log| log as usize + 1),
    }
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
