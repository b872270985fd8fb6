//! [`Extended`]: the numbers that `INCRBYFLOAT` and `HINCRBYFLOAT` add.
//!
//! A server on x86-64 adds in 80 bits and writes 17 digits behind the point: 0.1 and 0.2 are `0.3` there, which `f64`
//! cannot say, and 5.6 and 5000 are `5005.60000000000000009`. This is the same below 2^64; above, the last digits may
//! differ, and what is too large for `f64` is infinite.

/// How many digits are written behind the point at most, and how many parts of one that makes.
const PLACES: usize = 17;
const PARTS: u128 = 10_u128.pow(17);

/// As many digits are read as surely fit the mantissa.
const DIGITS: usize = 19;

/// The greatest power of two that `f64` has, counted at the mantissa's lowest bit.
const GREATEST: i32 = 1023 - 63;

/// A number of 64 significant bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extended {
    is_negative: bool,
    /// Its highest bit is set, unless it is zero.
    mantissa: u64,
    /// The power of two that the mantissa counts in.
    exponent: i32,
}

impl Extended {
    /// A decimal number or infinity; `None` if it is neither.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        // The standard library knows what a number is; it only has too few bits.
        let short: f64 = text.parse().ok().filter(|number: &f64| !number.is_nan())?;
        let is_negative = short.is_sign_negative();
        if short.is_infinite() {
            return Some(Self { is_negative, mantissa: 1 << 63, exponent: i32::MAX });
        }
        let lower = text.to_ascii_lowercase();
        let (number, power) = lower.split_once('e').unwrap_or((&lower, "0"));
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digits: Vec<u8> = whole.bytes().chain(part.bytes()).filter(u8::is_ascii_digit).collect();
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        let (mut mantissa, mut taken) = (0_u64, 0);
        for digit in digits.iter().skip(zeros).take(DIGITS) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            taken += 1;
        }
        let left_out = i32::try_from(digits.len() - zeros - taken).ok()?;
        // What is out of these bounds is zero or was infinite above.
        let power = power.parse::<i32>().unwrap_or(i32::MIN).clamp(-5000, 5000);
        let power = power + left_out - i32::try_from(part.len()).ok()?;
        Some(Self::rounded(is_negative, mantissa.into(), 0).times_ten_to(power))
    }

    pub(super) fn is_infinite(self) -> bool {
        self.exponent > GREATEST
    }

    /// The sum, rounded to 64 bits.
    pub(super) fn plus(self, other: Self) -> Self {
        let is_larger = (self.mantissa != 0)
            && (other.mantissa == 0 || (self.exponent, self.mantissa) >= (other.exponent, other.mantissa));
        let (large, small) = if is_larger { (self, other) } else { (other, self) };
        let distance = large.exponent.saturating_sub(small.exponent).unsigned_abs();
        let wide = u128::from(large.mantissa) << 63;
        let added = u128::from(small.mantissa) << 63;
        // Bits that fall off below leave one that says so: it decides the rounding.
        let kept = added.checked_shr(distance).unwrap_or_default();
        let added = kept | u128::from(kept.checked_shl(distance).unwrap_or_default() != added);
        let sum = if large.is_negative == small.is_negative { wide + added } else { wide.abs_diff(added) };
        Self::rounded(large.is_negative, sum, large.exponent.saturating_sub(63))
    }

    fn times_ten_to(self, power: i32) -> Self {
        let mut number = self;
        let mut left = power;
        while left != 0 && number.mantissa != 0 {
            let step = left.unsigned_abs().min(19);
            let factor = 10_u128.pow(step);
            if left > 0 {
                number =
                    Self::rounded(number.is_negative, u128::from(number.mantissa) * factor, number.exponent);
                left -= step.cast_signed();
            } else {
                let wide = u128::from(number.mantissa) << 64;
                let quotient = (wide / factor) | u128::from(wide % factor != 0);
                number = Self::rounded(number.is_negative, quotient, number.exponent - 64);
                left += step.cast_signed();
            }
        }
        number
    }

    fn rounded(is_negative: bool, wide: u128, exponent: i32) -> Self {
        if wide == 0 {
            return Self { is_negative: false, mantissa: 0, exponent: 0 };
        }
        let zeros = wide.leading_zeros();
        let surplus = 64_u32.saturating_sub(zeros);
        let lacking = zeros.saturating_sub(64);
        let mantissa = shifted_right(wide, surplus) << lacking;
        let exponent = exponent.saturating_add(surplus.cast_signed() - lacking.cast_signed());
        match u64::try_from(mantissa) {
            Ok(mantissa) => Self { is_negative, mantissa, exponent },
            // Rounded up to 2^64.
            Err(_) => Self { is_negative, mantissa: 1 << 63, exponent: exponent.saturating_add(1) },
        }
    }

    /// As a server writes it: no exponent, no zeros at the end.
    pub(super) fn text(self) -> String {
        if self.exponent > 64 {
            #[expect(clippy::cast_precision_loss, reason = "beyond 2^64 the digits are not promised")]
            let number = self.mantissa as f64 * 2_f64.powi(self.exponent);
            return format!("{}{number:.0}", if self.is_negative { "-" } else { "" });
        }
        let (whole, part) = if self.exponent >= 0 {
            (u128::from(self.mantissa) << self.exponent.unsigned_abs(), 0)
        } else {
            let parts = shifted_right(u128::from(self.mantissa) * PARTS, self.exponent.unsigned_abs());
            (parts / PARTS, parts % PARTS)
        };
        let text = format!("{whole}.{part:0PLACES$}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        if self.is_negative && text != "0" { format!("-{text}") } else { text.to_owned() }
    }
}

/// Rounded to the nearest, and to the even one between two.
fn shifted_right(wide: u128, bits: u32) -> u128 {
    let Some(below) = bits.checked_sub(1) else { return wide };
    let Some(kept) = wide.checked_shr(bits) else { return 0 };
    let half = 1 << below;
    let lost = wide & (half | (half - 1));
    kept + u128::from(lost > half || (lost == half && kept & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::Extended;

    fn sum(left: &str, right: &str) -> String {
        let parse = |text: &str| Extended::parse(text.as_bytes()).unwrap();
        parse(left).plus(parse(right)).text()
    }

    #[test]
    fn sums_are_those_of_a_real_server() {
        for (left, right, expected) in [
            ("10.5", "0.1", "10.6"),
            ("10.6", "-5", "5.6"),
            ("5.6", "5.0e3", "5005.60000000000000009"),
            ("5005.60000000000000009", "1", "5006.60000000000000009"),
            ("3.0", "1.1", "4.1"),
            ("0.1", "0.2", "0.3"),
            ("1e20", "1", "100000000000000000000"),
            ("0", "1e-10", "0.0000000001"),
            ("0", "1e-18", "0"),
            ("0", "-1e-18", "0"),
            ("0", "123456789.123456789", "123456789.12345678899873747"),
            ("1", "3.333333333333333333", "4.33333333333333333"),
            ("0", "-0.0", "0"),
            ("5.0e3", "2.0e2", "5200"),
            ("1e17", "0.5", "100000000000000000.5"),
            ("1.1", "1", "2.1"),
            ("1", "-1", "0"),
            ("-1", "0.25", "-0.75"),
            ("1", "-1.5", "-0.5"),
            ("0.5", "0", "0.5"),
        ] {
            assert_eq!(sum(left, right), expected, "{left} + {right}");
        }
    }

    #[test]
    fn infinity_is_a_number_and_nan_is_none() {
        for text in ["inf", "-inf", "1e400"] {
            assert!(Extended::parse(text.as_bytes()).unwrap().is_infinite(), "{text}");
        }
        let large = Extended::parse(b"1.7e308").unwrap();
        assert!(!large.is_infinite());
        assert!(large.plus(large).is_infinite());
        for text in ["nan", "", " 1", "1 ", "a", "1e"] {
            assert_eq!(Extended::parse(text.as_bytes()), None, "{text}");
        }
    }
}
