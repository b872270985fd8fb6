//! [`Reply`]: what a simulated server answers, and its bytes in either RESP version.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};

/// The protocol that a connection has asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Resp {
    #[default]
    Two,
    Three,
}

/// A reply before it is written. What the two versions write differently is one variant here.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Reply {
    Ok,
    Simple(Cow<'static, str>),
    /// Without the `-`.
    Error(Cow<'static, str>),
    Int(i64),
    /// A number that RESP2 has as a string.
    Double(f64),
    /// The same in the digits of Redis 6.2 and 7.0: 0.1 is `0.10000000000000001` there.
    LongDouble(f64),
    Bulk(Bytes),
    /// `$-1` and `_`.
    Nil,
    /// `*-1` and `_`.
    NilArray,
    Array(Vec<Reply>),
    /// A flat array in RESP2.
    Map(Vec<(Reply, Reply)>),
    /// A flat array in RESP2, and an array of pairs in RESP3: members with scores.
    Pairs(Vec<(Reply, Reply)>),
    /// An array of pairs in RESP2, and a map in RESP3: streams with their entries.
    Keyed(Vec<(Reply, Reply)>),
    /// An array in RESP2.
    Set(Vec<Reply>),
    /// A bulk string in RESP2.
    Verbatim(String),
    /// Out of band; an array in RESP2.
    Push(Vec<Reply>),
    /// Several replies one after the other, as to `SUBSCRIBE a b`.
    Several(Vec<Reply>),
}

impl Reply {
    pub(super) fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bulk(Bytes::copy_from_slice(bytes.as_ref()))
    }

    pub(super) fn error(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Error(text.into())
    }

    pub(super) fn int(number: usize) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }

    /// A bulk string or nil.
    pub(super) fn maybe(bytes: Option<Bytes>) -> Self {
        bytes.map_or(Self::Nil, Self::Bulk)
    }

    pub(super) fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// Appends its bytes.
    pub(super) fn encode(&self, resp: Resp, out: &mut BytesMut) {
        match (self, resp) {
            (Self::Ok, _) => out.put_slice(b"+OK\r\n"),
            (Self::Simple(text), _) => line(out, b'+', text),
            (Self::Error(text), _) => line(out, b'-', text),
            (Self::Int(number), _) => line(out, b':', itoa::Buffer::new().format(*number)),
            (Self::Double(number), Resp::Two) => string(out, b'$', double(*number).as_bytes()),
            (Self::Double(number), Resp::Three) => line(out, b',', &double(*number)),
            (Self::LongDouble(number), Resp::Two) => string(out, b'$', long_double(*number).as_bytes()),
            (Self::LongDouble(number), Resp::Three) => line(out, b',', &long_double(*number)),
            (Self::Bulk(bytes), _) => string(out, b'$', bytes),
            (Self::Nil, Resp::Two) => out.put_slice(b"$-1\r\n"),
            (Self::NilArray, Resp::Two) => out.put_slice(b"*-1\r\n"),
            (Self::Nil | Self::NilArray, Resp::Three) => out.put_slice(b"_\r\n"),
            (Self::Array(items), _) => all(out, b'*', items, resp),
            (Self::Set(items), Resp::Two) => all(out, b'*', items, resp),
            (Self::Set(items), Resp::Three) => all(out, b'~', items, resp),
            (Self::Push(items), Resp::Two) => all(out, b'*', items, resp),
            (Self::Push(items), Resp::Three) => all(out, b'>', items, resp),
            (Self::Map(pairs) | Self::Pairs(pairs), Resp::Two) => {
                header(out, b'*', pairs.len() * 2);
                each(out, pairs, resp);
            }
            (Self::Map(pairs) | Self::Keyed(pairs), Resp::Three) => {
                header(out, b'%', pairs.len());
                each(out, pairs, resp);
            }
            (Self::Pairs(pairs), Resp::Three) | (Self::Keyed(pairs), Resp::Two) => {
                header(out, b'*', pairs.len());
                for pair in pairs {
                    header(out, b'*', 2);
                    each(out, std::slice::from_ref(pair), resp);
                }
            }
            (Self::Verbatim(text), Resp::Two) => string(out, b'$', text.as_bytes()),
            (Self::Verbatim(text), Resp::Three) => string(out, b'=', format!("txt:{text}").as_bytes()),
            (Self::Several(replies), _) => replies.iter().for_each(|reply| reply.encode(resp, out)),
        }
    }
}

/// The shortest digits that are the same number again, as servers since Redis 7.2 write them.
pub(super) fn double(number: f64) -> String {
    if let Some(word) = infinite(number) {
        return word.to_owned();
    }
    let written = format!("{:e}", number.abs());
    let (digits, exponent) = scientific(&written);
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let count = digits.len();
    // A whole number that is not too large is written as such, whatever its digits.
    let is_plain_integer = number.fract() == 0.0 && number.abs() <= i64::MAX as f64 / 2.0;
    let place = usize::try_from(exponent).unwrap_or_default() + 1;
    let behind = exponent - i32::try_from(count).unwrap_or_default() + 1;
    if is_plain_integer || (behind >= 0 && place < count + 8) {
        format!("{sign}{digits:0<place$}")
    } else if behind < 0 && (behind > -7 || exponent.abs() < 4) {
        format!("{sign}{}", with_point(&digits, exponent))
    } else {
        let point = if count > 1 { "." } else { "" };
        let (first, rest) = digits.split_at_checked(1).unwrap_or_default();
        format!("{sign}{first}{point}{rest}e{exponent:+}").replace("e+-", "e-")
    }
}

/// Seventeen digits without zeros at the end, as servers before Redis 7.2 write them.
pub(super) fn long_double(number: f64) -> String {
    if let Some(word) = infinite(number) {
        return word.to_owned();
    }
    let written = format!("{:.16e}", number.abs());
    let (digits, exponent) = scientific(&written);
    let sign = if number.is_sign_negative() { "-" } else { "" };
    if (-4..17).contains(&exponent) {
        format!("{sign}{}", with_point(&digits, exponent))
    } else {
        let (first, rest) = digits.split_at_checked(1).unwrap_or_default();
        let point = if rest.is_empty() { "" } else { "." };
        let minus = if exponent < 0 { '-' } else { '+' };
        format!("{sign}{first}{point}{rest}e{minus}{:02}", exponent.abs())
    }
}

fn infinite(number: f64) -> Option<&'static str> {
    if number.is_nan() {
        Some("nan")
    } else if number.is_infinite() {
        Some(if number > 0.0 { "inf" } else { "-inf" })
    } else {
        None
    }
}

/// The digits of `1.25e-7` without zeros at their end, and the exponent of the first.
fn scientific(written: &str) -> (String, i32) {
    let (mantissa, exponent) = written.split_once('e').unwrap_or((written, "0"));
    let digits = mantissa.replace('.', "");
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        digits => digits,
    };
    (digits.to_owned(), exponent.parse().unwrap_or_default())
}

/// Digits with a point where it belongs.
fn with_point(digits: &str, exponent: i32) -> String {
    let Ok(place) = usize::try_from(exponent + 1) else {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or_default());
        return format!("0.{zeros}{digits}");
    };
    match digits.split_at_checked(place) {
        Some(("", digits)) => format!("0.{digits}"),
        Some((whole, "")) => whole.to_owned(),
        Some((whole, rest)) => format!("{whole}.{rest}"),
        None => format!("{digits:0<place$}"),
    }
}

fn header(out: &mut BytesMut, kind: u8, count: usize) {
    line(out, kind, itoa::Buffer::new().format(count));
}

fn line(out: &mut BytesMut, kind: u8, text: &str) {
    out.put_u8(kind);
    // A line end within would be the end of the reply.
    out.extend(text.bytes().map(|byte| if byte == b'\r' || byte == b'\n' { b' ' } else { byte }));
    out.put_slice(b"\r\n");
}

fn string(out: &mut BytesMut, kind: u8, bytes: &[u8]) {
    header(out, kind, bytes.len());
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

fn all(out: &mut BytesMut, kind: u8, items: &[Reply], resp: Resp) {
    header(out, kind, items.len());
    items.iter().for_each(|item| item.encode(resp, out));
}

fn each(out: &mut BytesMut, pairs: &[(Reply, Reply)], resp: Resp) {
    for (left, right) in pairs {
        left.encode(resp, out);
        right.encode(resp, out);
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::{Reply, Resp, double, long_double};

    #[test]
    fn each_version_has_its_own_bytes() {
        let reply = Reply::Array(vec![
            Reply::Map(vec![(Reply::bulk("a"), Reply::Double(1.5))]),
            Reply::Pairs(vec![(Reply::bulk("m"), Reply::Double(2.0))]),
            Reply::Set(vec![Reply::Nil, Reply::NilArray]),
            Reply::Verbatim("x".to_owned()),
            Reply::error("ERR a\r\nb"),
        ]);
        let mut out = BytesMut::new();
        reply.encode(Resp::Two, &mut out);
        let two = "*5\r\n*2\r\n$1\r\na\r\n$3\r\n1.5\r\n*2\r\n$1\r\nm\r\n$1\r\n2\r\n*2\r\n$-1\r\n*-1\r\n$1\r\nx\r\n-ERR a  b\r\n";
        assert_eq!(out, two);
        out.clear();
        reply.encode(Resp::Three, &mut out);
        let three = "*5\r\n%1\r\n$1\r\na\r\n,1.5\r\n*1\r\n*2\r\n$1\r\nm\r\n,2\r\n~2\r\n_\r\n_\r\n=5\r\ntxt:x\r\n-ERR a  b\r\n";
        assert_eq!(out, three);
    }

    #[test]
    fn doubles_are_written_as_servers_write_them() {
        for (number, short, long) in [
            (3.0, "3", "3"),
            (-0.5, "-0.5", "-0.5"),
            (-0.0, "-0", "-0"),
            (0.1, "0.1", "0.10000000000000001"),
            (-1.1, "-1.1", "-1.1000000000000001"),
            (1e15, "1000000000000000", "1000000000000000"),
            (1e16, "10000000000000000", "10000000000000000"),
            (1e17, "100000000000000000", "1e+17"),
            (1e20, "1e+20", "1e+20"),
            (1.5e20, "1.5e+20", "1.5e+20"),
            (1e21, "1e+21", "1e+21"),
            (12345678901234567890.0, "12345678901234567000", "1.2345678901234567e+19"),
            (1234567890123456789012.0, "1234567890123456800000", "1.2345678901234568e+21"),
            (f64::MAX, "1.7976931348623157e+308", "1.7976931348623157e+308"),
            (5e-324, "5e-324", "4.9406564584124654e-324"),
            (123456.789, "123456.789", "123456.789"),
            (12345.67890123, "1.234567890123e+4", "12345.67890123"),
            (0.00125, "0.00125", "0.00125"),
            (0.00012345678, "1.2345678e-4", "0.00012345678000000001"),
            (1e-5, "0.00001", "1.0000000000000001e-05"),
            (1e-6, "0.000001", "9.9999999999999995e-07"),
            (1e-7, "1e-7", "9.9999999999999995e-08"),
            (1.25e-6, "1.25e-6", "1.2500000000000001e-06"),
            (2.5, "2.5", "2.5"),
            (f64::INFINITY, "inf", "inf"),
            (f64::NEG_INFINITY, "-inf", "-inf"),
        ] {
            assert_eq!((double(number).as_str(), long_double(number).as_str()), (short, long));
        }
    }
}
