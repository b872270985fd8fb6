//! [`Requests`]: bytes of a client to commands, at any split, multibulk and inline.
//!
//! Written apart from the client's own encoder and decoder: a mistake that both shared would hide itself.

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr2};

use crate::testkit::sim::profile::Profile;

/// As `proto-max-bulk-len` of a real server.
const LARGEST_BULK: i64 = 512 << 20;

/// As a real server: a longer line without an end is no request.
const LONGEST_LINE: usize = 64 << 10;

/// What has arrived on one connection and was not taken yet.
#[derive(Debug, Default)]
pub(super) struct Requests {
    buffer: BytesMut,
    /// The command that has begun, and how many arguments it still misses.
    begun: Option<(Vec<Bytes>, usize)>,
    /// The length of the argument that has begun.
    bulk: Option<usize>,
}

/// Who reads, and whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    pub(super) profile: Profile,
    /// From a stranger only little is taken.
    pub(super) is_authenticated: bool,
}

/// The text of the error with which a real server answers, before it closes the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProtocolError(pub(super) String);

impl ProtocolError {
    fn new(what: impl AsRef<str>) -> Self {
        Self(format!("ERR Protocol error: {}", what.as_ref()))
    }
}

impl Reader {
    fn most_arguments(self) -> i64 {
        if self.profile.since_7_0() { i32::MAX.into() } else { 1 << 20 }
    }

    fn check_arguments(self, count: i64) -> Result<(), ProtocolError> {
        if self.is_authenticated || count <= 10 {
            Ok(())
        } else {
            Err(ProtocolError::new("unauthenticated multibulk length"))
        }
    }

    fn check_bulk(self, length: usize) -> Result<(), ProtocolError> {
        if self.is_authenticated || length <= 16384 {
            Ok(())
        } else {
            Err(ProtocolError::new("unauthenticated bulk length"))
        }
    }

    /// Valkey looks at what ends a line; Redis passes over two bytes, whatever they are.
    fn check_end(self, end: Option<&[u8]>) -> Result<(), ProtocolError> {
        if !self.profile.is_valkey() || end == Some(b"\r\n") {
            Ok(())
        } else {
            Err(ProtocolError::new("invalid CRLF in request"))
        }
    }
}

impl Requests {
    /// Where the bytes of the connection go.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next whole command; empty ones are skipped.
    pub(super) fn next(&mut self, reader: Reader) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        loop {
            if self.begun.is_none() {
                let Some(first) = self.buffer.first() else { return Ok(None) };
                if *first != b'*' {
                    match self.inline(reader)? {
                        Some(args) if args.is_empty() => continue,
                        other => return Ok(other),
                    }
                }
                let Some(line) = self.line("too big mbulk count string", reader)? else { return Ok(None) };
                let count = number(line.get(1..)).filter(|count| *count <= reader.most_arguments());
                let count = count.ok_or_else(|| ProtocolError::new("invalid multibulk length"))?;
                reader.check_arguments(count)?;
                let Some(count) = usize::try_from(count).ok().filter(|count| *count > 0) else { continue };
                self.begun = Some((Vec::with_capacity(count.min(1024)), count));
            }
            if !self.argument(reader)? {
                return Ok(None);
            }
            if let Some((args, 0)) = self.begun.take_if(|(_, missing)| *missing == 0) {
                return Ok(Some(args));
            }
        }
    }

    /// One more argument of the command that has begun; false if its bytes are not there.
    fn argument(&mut self, reader: Reader) -> Result<bool, ProtocolError> {
        if self.bulk.is_none() {
            let Some(line) = self.line("too big bulk count string", reader)? else { return Ok(false) };
            match line.first() {
                Some(b'$') => {}
                other => {
                    let got = other.map_or(' ', |byte| char::from(*byte));
                    return Err(ProtocolError::new(format!("expected '$', got '{got}'")));
                }
            }
            let length = number(line.get(1..)).filter(|length| (0..=LARGEST_BULK).contains(length));
            let length = length.and_then(|length| usize::try_from(length).ok());
            let length = length.ok_or_else(|| ProtocolError::new("invalid bulk length"))?;
            reader.check_bulk(length)?;
            self.bulk = Some(length);
        }
        let Some(length) = self.bulk.take_if(|length| self.buffer.len() >= *length + 2) else {
            return Ok(false);
        };
        let arg = Bytes::copy_from_slice(self.buffer.get(..length).unwrap_or_default());
        reader.check_end(self.buffer.get(length..length + 2))?;
        self.buffer.advance(length + 2);
        if let Some((args, missing)) = &mut self.begun {
            args.push(arg);
            *missing -= 1;
        }
        Ok(true)
    }

    /// A line of a count or a length, without its end.
    fn line(&mut self, too_long: &str, reader: Reader) -> Result<Option<BytesMut>, ProtocolError> {
        let Some(end) = memchr(b'\r', &self.buffer) else {
            return self.too_long(too_long);
        };
        // The byte behind it must be there too.
        let Some(ending) = self.buffer.get(end..end + 2) else { return Ok(None) };
        reader.check_end(Some(ending))?;
        let line = self.buffer.split_to(end);
        self.buffer.advance(2);
        Ok(Some(line))
    }

    fn too_long<T>(&self, what: &str) -> Result<Option<T>, ProtocolError> {
        if self.buffer.len() > LONGEST_LINE { Err(ProtocolError::new(what)) } else { Ok(None) }
    }

    /// `PING` as one types it into telnet: words, with quotes.
    fn inline(&mut self, reader: Reader) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        // A server written in C looks no further than a zero byte.
        let end = memchr2(b'\n', 0, &self.buffer).filter(|end| self.buffer.get(*end) == Some(&b'\n'));
        let Some(end) = end else {
            return self.too_long("too big inline request");
        };
        let mut line = self.buffer.split_to(end + 1);
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        let words = words(&line, reader.profile == Profile::Valkey91);
        words.map(Some).ok_or_else(|| ProtocolError::new("unbalanced quotes in request"))
    }
}

/// A number as a server writes it: no plus sign, no leading zero, no space.
fn number(digits: Option<&[u8]>) -> Option<i64> {
    let number = std::str::from_utf8(digits?).ok()?.parse().ok()?;
    (Some(itoa::Buffer::new().format(number).as_bytes()) == digits).then_some(number)
}

/// Splits at spaces, except within quotes; `None` if a quote is not closed, or if a word goes on behind one that is, and
/// may not.
fn words(line: &[u8], may_go_on: bool) -> Option<Vec<Bytes>> {
    let mut words = Vec::new();
    let mut rest = line.iter().copied().peekable();
    loop {
        while rest.next_if(u8::is_ascii_whitespace).is_some() {}
        if rest.peek().is_none() {
            return Some(words);
        }
        let mut word = Vec::new();
        while let Some(byte) = rest.next_if(|byte| !byte.is_ascii_whitespace()) {
            if byte != b'"' && byte != b'\'' {
                word.push(byte);
                continue;
            }
            loop {
                match rest.next()? {
                    end if end == byte => break,
                    b'\\' if byte == b'"' => word.push(escaped(&mut rest)?),
                    b'\\' if rest.peek() == Some(&b'\'') => word.extend(rest.next()),
                    other => word.push(other),
                }
            }
            if !may_go_on && rest.peek().is_some_and(|next| !next.is_ascii_whitespace()) {
                return None;
            }
        }
        words.push(Bytes::from(word));
    }
}

fn escaped(rest: &mut std::iter::Peekable<impl Iterator<Item = u8>>) -> Option<u8> {
    Some(match rest.next()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        b'x' => {
            let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
            u8::try_from(digit()? * 16 + digit()?).ok()?
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::{ProtocolError, Reader, Requests};
    use crate::testkit::sim::profile::Profile;

    fn feed(
        requests: &mut Requests,
        bytes: &[u8],
        profile: Profile,
    ) -> Result<Vec<Vec<String>>, ProtocolError> {
        requests.buffer().extend_from_slice(bytes);
        let mut all = Vec::new();
        while let Some(args) = requests.next(Reader { profile, is_authenticated: true })? {
            all.push(args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect());
        }
        Ok(all)
    }

    fn error(bytes: &str, profile: Profile) -> String {
        match feed(&mut Requests::default(), bytes.as_bytes(), profile) {
            Ok(commands) => format!("no error but {commands:?}"),
            Err(ProtocolError(text)) => text,
        }
    }

    #[test]
    fn commands_are_the_same_at_every_split() {
        let bytes =
            b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n*0\r\n\r\n*1\r\n$4\r\nPI\r\n\r\nset \"a\\x41 b\" 'c d'\n*-1\r\n";
        for profile in Profile::ALL {
            let whole = feed(&mut Requests::default(), bytes, profile).unwrap();
            assert_eq!(whole, [vec!["GET", "k"], vec!["PING"], vec!["PI\r\n"], vec!["set", "aA b", "c d"]]);
            for split in 0..bytes.len() {
                let mut requests = Requests::default();
                let mut parts = feed(&mut requests, &bytes[..split], profile).unwrap();
                parts.extend(feed(&mut requests, &bytes[split..], profile).unwrap());
                assert_eq!(parts, whole, "split at {split}");
            }
        }
    }

    #[test]
    fn what_is_no_request_is_told_as_a_server_tells_it() {
        for (bytes, what) in [
            ("*x\r\n", "invalid multibulk length"),
            ("*01\r\n", "invalid multibulk length"),
            ("*+1\r\n", "invalid multibulk length"),
            ("*1\n$4\r\nPING\r\n", "invalid multibulk length"),
            ("*\r\n", "invalid multibulk length"),
            ("*2147483648\r\n", "invalid multibulk length"),
            ("*1\r\n:1\r\n", "expected '$', got ':'"),
            ("*1\r\n\r\n", "expected '$', got ' '"),
            ("*1\r\n$-1\r\n", "invalid bulk length"),
            ("*1\r\n$ 4\r\n", "invalid bulk length"),
            ("*1\r\n$9999999999\r\n", "invalid bulk length"),
            ("set \"a\r\n", "unbalanced quotes in request"),
        ] {
            for profile in Profile::ALL {
                assert_eq!(error(bytes, profile), format!("ERR Protocol error: {what}"), "{bytes:?}");
            }
        }
        let too_long = "a".repeat(70_000);
        for (begin, what) in [
            ("", "too big inline request"),
            ("*", "too big mbulk count string"),
            ("*1\r\n$", "too big bulk count string"),
        ] {
            assert_eq!(
                error(&format!("{begin}{too_long}"), Profile::Redis70),
                format!("ERR Protocol error: {what}")
            );
        }
    }

    #[test]
    fn versions_differ_in_what_they_forgive() {
        let pings = |profile| feed(&mut Requests::default(), b"*1\r\n$4\r\nPINGxxPING 'a'b\r\n", profile);
        assert_eq!(
            pings(Profile::Valkey91),
            Err(ProtocolError("ERR Protocol error: invalid CRLF in request".into()))
        );
        assert_eq!(
            pings(Profile::Redis82).unwrap_err().0,
            "ERR Protocol error: unbalanced quotes in request"
        );
        let quoted = feed(&mut Requests::default(), b"PING 'a'b\r\n", Profile::Valkey91).unwrap();
        assert_eq!(quoted, [["PING", "ab"]]);
        assert_eq!(error("*2000000\r\n", Profile::Redis62), "ERR Protocol error: invalid multibulk length");
        assert_eq!(feed(&mut Requests::default(), b"*2000000\r\n", Profile::Redis70), Ok(Vec::new()));
        assert_eq!(feed(&mut Requests::default(), b"\0\r\nPING\r\n", Profile::Redis70), Ok(Vec::new()));
    }

    #[test]
    fn from_a_stranger_only_little_is_taken() {
        let reader = Reader { profile: Profile::Redis82, is_authenticated: false };
        for (bytes, what) in [
            ("*11\r\n", "unauthenticated multibulk length"),
            ("*1\r\n$16385\r\n", "unauthenticated bulk length"),
        ] {
            let mut requests = Requests::default();
            requests.buffer().extend_from_slice(bytes.as_bytes());
            assert_eq!(requests.next(reader), Err(ProtocolError(format!("ERR Protocol error: {what}"))));
        }
    }
}
