//! Money: integer pico-dollars (1e-12 USD), end to end.
//!
//! Pico, because 7,178 of the 7,209 per-token prices of the public catalogue of
//! 2026-08-01 are integers in that unit, and because micro-dollars turn a
//! 20-token embedding into zero (TRAPS M8). `i64` spans about ±9.2 million USD,
//! which one request or one budget cannot reach; sums over a ledger use `i128`
//! ([`Usd::sum`]).

use std::fmt;
use std::str::FromStr;

/// Pico-dollars in one dollar.
const PICO: i64 = 1_000_000_000_000;

/// An amount of money in pico-dollars. Arithmetic is checked: an overflow is a
/// `None`, never a wrapped or saturated amount.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Usd(i64);

/// The price of one unit (a token, an image, a second) in pico-dollars.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct PicoRate(i64);

/// Why a text is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("\"{0}\" is not a decimal amount")]
    NotDecimal(String),
    #[error("\"{0}\" is outside ±9,223,372 USD")]
    OutOfRange(String),
    #[error("\"{0}\" has digits below one pico-dollar (1e-12 USD)")]
    TooFine(String),
}

impl Usd {
    pub const ZERO: Usd = Usd(0);
    pub const MAX: Usd = Usd(i64::MAX);

    pub const fn from_pico(pico: i64) -> Usd {
        Usd(pico)
    }
    pub const fn pico(self) -> i64 {
        self.0
    }
    /// Whole dollars.
    ///
    /// # Panics
    /// At compile time or run time if the amount leaves the range of `i64` pico-dollars.
    pub const fn dollars(whole: i64) -> Usd {
        match whole.checked_mul(PICO) {
            Some(p) => Usd(p),
            None => panic!("amount outside ±9,223,372 USD"),
        }
    }
    pub const fn checked_add(self, other: Usd) -> Option<Usd> {
        match self.0.checked_add(other.0) {
            Some(p) => Some(Usd(p)),
            None => None,
        }
    }
    pub const fn checked_sub(self, other: Usd) -> Option<Usd> {
        match self.0.checked_sub(other.0) {
            Some(p) => Some(Usd(p)),
            None => None,
        }
    }
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }
    /// The exact sum in pico-dollars; cannot overflow for fewer than 2^64 terms.
    pub fn sum(amounts: impl IntoIterator<Item = Usd>) -> i128 {
        amounts.into_iter().map(|u| i128::from(u.0)).sum()
    }
    /// `Some` when a wide sum fits.
    pub fn from_wide(pico: i128) -> Option<Usd> {
        i64::try_from(pico).ok().map(Usd)
    }
}

impl PicoRate {
    pub const ZERO: PicoRate = PicoRate(0);
    pub const fn from_pico(pico: i64) -> PicoRate {
        PicoRate(pico)
    }
    pub const fn pico(self) -> i64 {
        self.0
    }
    /// `quantity` units at this rate; `None` on overflow.
    pub fn times(self, quantity: u64) -> Option<Usd> {
        Usd::from_wide(i128::from(self.0).checked_mul(i128::from(quantity))?)
    }
}

impl fmt::Display for Usd {
    /// Exact decimal dollars without trailing zeros: `0.0000125`, `-3`, `0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let abs = self.0.unsigned_abs();
        let (whole, frac) = (abs / PICO as u64, abs % PICO as u64);
        if self.0 < 0 {
            f.write_str("-")?;
        }
        if frac == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{frac:012}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

impl fmt::Display for PicoRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Usd(self.0).fmt(f)
    }
}

impl FromStr for Usd {
    type Err = MoneyError;
    /// Reads decimal text, with an optional exponent (`1.5e-07`), exactly: the
    /// text never passes through a float. At most 40 characters.
    fn from_str(text: &str) -> Result<Usd, MoneyError> {
        parse_scaled(text).map(Usd)
    }
}

impl FromStr for PicoRate {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<PicoRate, MoneyError> {
        parse_scaled(text).map(PicoRate)
    }
}

fn parse_scaled(text: &str) -> Result<i64, MoneyError> {
    let not_decimal = || MoneyError::NotDecimal(text.chars().take(40).collect());
    if text.is_empty() || text.len() > 40 {
        return Err(not_decimal());
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((m, e)) => (m, e.parse::<i32>().map_err(|_| not_decimal())?),
        None => (text, 0),
    };
    let (negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, frac) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && frac.is_empty() || !whole.bytes().chain(frac.bytes()).all(|b| b.is_ascii_digit()) {
        return Err(not_decimal());
    }
    let mut value: i128 = 0;
    for digit in whole.bytes().chain(frac.bytes()) {
        value = value * 10 + i128::from(digit - b'0');
        if value > 10i128.pow(36) {
            return Err(MoneyError::OutOfRange(text.into()));
        }
    }
    let scale = exponent.saturating_add(12).saturating_sub(frac.len() as i32);
    let scaled = if value == 0 {
        0
    } else if scale >= 0 {
        let factor = 10i128.checked_pow(scale as u32).ok_or_else(|| MoneyError::OutOfRange(text.into()))?;
        value.checked_mul(factor).ok_or_else(|| MoneyError::OutOfRange(text.into()))?
    } else {
        let divisor =
            10i128.checked_pow(scale.unsigned_abs()).ok_or_else(|| MoneyError::TooFine(text.into()))?;
        if value % divisor != 0 {
            return Err(MoneyError::TooFine(text.into()));
        }
        value / divisor
    };
    let signed = if negative { -scaled } else { scaled };
    i64::try_from(signed).map_err(|_| MoneyError::OutOfRange(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_amount_survives_its_own_text(pico in any::<i64>()) {
            prop_assert_eq!(Usd(pico).to_string().parse::<Usd>(), Ok(Usd(pico)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,50}") {
            let _ = text.parse::<Usd>();
        }

        #[test]
        fn a_rate_times_a_quantity_is_exact_or_refused(rate in any::<i64>(), quantity in any::<u64>()) {
            let wide = i128::from(rate).checked_mul(i128::from(quantity));
            prop_assert_eq!(PicoRate(rate).times(quantity).map(|u| i128::from(u.0)),
                wide.filter(|w| i64::try_from(*w).is_ok()));
        }
    }

    #[test]
    fn catalogue_notation_is_read_exactly() {
        assert_eq!("1.5e-07".parse(), Ok(Usd(150_000)));
        assert_eq!("0.00000015".parse(), Ok(Usd(150_000)));
        assert_eq!("-2.50".parse(), Ok(Usd(-2_500_000_000_000)));
        assert_eq!("0e-99".parse(), Ok(Usd(0)));
    }

    #[test]
    fn what_cannot_be_exact_is_refused() {
        assert!(matches!("1e-13".parse::<Usd>(), Err(MoneyError::TooFine(_))));
        assert!(matches!("1e40".parse::<Usd>(), Err(MoneyError::OutOfRange(_))));
        assert!(matches!("9223373".parse::<Usd>(), Err(MoneyError::OutOfRange(_))));
        for text in ["", "-", ".", "1,5", "+1", "NaN", "1e", "0x1", " 1"] {
            assert!(matches!(text.parse::<Usd>(), Err(MoneyError::NotDecimal(_))), "{text}");
        }
    }
}
