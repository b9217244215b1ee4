//! Exact amounts and quantities: fractions without a bound.

use std::{
    fmt,
    ops::{Add, AddAssign, Neg, Sub},
    str::FromStr,
};

use num_bigint::{BigInt, BigUint};
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};
use serde::{Deserialize, Serialize};

/// A fraction in lowest terms. Its text is `numerator/denominator`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Exact(BigRational);

/// The text is no fraction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no fraction; expected a text like `1/3`")]
pub struct ParseExactError(String);

impl Exact {
    /// Returns nothing.
    pub fn zero() -> Self {
        Self(BigRational::zero())
    }

    /// Divides a sum of products by a product. A divisor of zero gives nothing.
    ///
    /// The common case fits 128 bits, which is what makes reports of thousands of lines fast; the
    /// result is the same where it does not.
    pub fn quotient(products: &[(u128, u128)], divisors: &[u128]) -> Self {
        let numerator = products.iter().try_fold(0_u128, |sum, (a, b)| sum.checked_add(a.checked_mul(*b)?));
        let denominator = divisors.iter().try_fold(1_u128, |product, next| product.checked_mul(*next));
        if let (Some(numerator), Some(denominator)) = (numerator, denominator) {
            return Self::small(BigInt::from, numerator, denominator);
        }
        let numerator: BigUint = products.iter().map(|(a, b)| BigUint::from(*a) * BigUint::from(*b)).sum();
        let denominator: BigUint = divisors.iter().map(|next| BigUint::from(*next)).product();
        if denominator.is_zero() {
            return Self::zero();
        }
        Self(BigRational::new(numerator.into(), denominator.into()))
    }

    fn small(sign: impl Fn(u128) -> BigInt, numerator: u128, denominator: u128) -> Self {
        if numerator == 0 || denominator == 0 {
            return Self::zero();
        }
        let common = gcd(numerator, denominator);
        Self(BigRational::new_raw(sign(numerator / common), BigInt::from(denominator / common)))
    }

    /// Divides by another fraction; `None` where that is nothing.
    pub fn over(&self, other: &Self) -> Option<Self> {
        (!other.0.is_zero()).then(|| Self(&self.0 / &other.0))
    }

    /// Returns a whole number divided by a power of ten.
    pub fn decimal(units: i128, places: u32) -> Self {
        Self(BigRational::new(units.into(), ten_to(places)))
    }

    /// Returns the number of units of 10^-places, rounded half away from zero; the largest number
    /// that fits where it is beyond.
    pub fn round(&self, places: u32) -> i128 {
        let small = || {
            let (numerator, denominator) = self.parts()?;
            let twice = numerator.unsigned_abs().checked_mul(10_u128.checked_pow(places)?)?.checked_mul(2)?;
            let units = twice.checked_add(denominator)? / denominator.checked_mul(2)?;
            let units = i128::try_from(units).ok()?;
            Some(if numerator < 0 { -units } else { units })
        };
        small().unwrap_or_else(|| {
            let units = (&self.0 * ten_to(places)).round().to_integer();
            units.to_i128().unwrap_or(if units.is_negative() { i128::MIN } else { i128::MAX })
        })
    }

    /// Returns the decimal text with this many places, rounded half away from zero.
    pub fn to_decimal(&self, places: u32) -> String {
        decimal_text(self.round(places), places)
    }

    fn parts(&self) -> Option<(i128, u128)> {
        Some((self.0.numer().to_i128()?, self.0.denom().to_u128()?))
    }
}

fn ten_to(places: u32) -> BigInt {
    BigInt::from(10).pow(places)
}

/// Returns the decimal text of a number of units of 10^-places.
pub(super) fn decimal_text(units: i128, places: u32) -> String {
    let digits = units.unsigned_abs().to_string();
    let sign = if units < 0 { "-" } else { "" };
    let Ok(places) = usize::try_from(places) else { return digits };
    if places == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    format!("{sign}{whole}.{fraction}")
}

/// Parses a decimal number into units of 10^-places; `None` when it has another form, more places,
/// or does not fit.
pub(super) fn parse_decimal(text: &str, places: u32) -> Option<i128> {
    let (negative, number) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction.trim_end_matches('0')),
        None => (number, ""),
    };
    let missing = places.checked_sub(u32::try_from(fraction.len()).ok()?)?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let units: i128 = format!("{whole}{fraction}").parse().ok()?;
    let units = units.checked_mul(10_i128.checked_pow(missing)?)?;
    Some(if negative { -units } else { units })
}

/// Returns the greatest common divisor of two numbers that are not zero.
fn gcd(a: u128, b: u128) -> u128 {
    let twos = a.trailing_zeros().min(b.trailing_zeros());
    let (mut a, mut b) = (a >> a.trailing_zeros(), b >> b.trailing_zeros());
    while a != b {
        if a < b {
            std::mem::swap(&mut a, &mut b);
        }
        a -= b;
        a >>= a.trailing_zeros();
    }
    a << twos
}

impl Add<&Exact> for &Exact {
    type Output = Exact;

    fn add(self, other: &Exact) -> Exact {
        if other.0.is_zero() {
            return self.clone();
        }
        if self.0.is_zero() {
            return other.clone();
        }
        small_sum(self, other).unwrap_or_else(|| Exact(&self.0 + &other.0))
    }
}

/// Adds within 128 bits; `None` where that is too little.
fn small_sum(a: &Exact, b: &Exact) -> Option<Exact> {
    let ((a, a_denominator), (b, b_denominator)) = (a.parts()?, b.parts()?);
    let common = gcd(a_denominator, b_denominator);
    let a_times = i128::try_from(b_denominator / common).ok()?;
    let b_times = i128::try_from(a_denominator / common).ok()?;
    let sum = a.checked_mul(a_times)?.checked_add(b.checked_mul(b_times)?)?;
    let denominator = a_denominator.checked_mul(b_denominator / common)?;
    let sign = |number: u128| if sum < 0 { -BigInt::from(number) } else { BigInt::from(number) };
    Some(Exact::small(sign, sum.unsigned_abs(), denominator))
}

impl AddAssign<&Self> for Exact {
    fn add_assign(&mut self, other: &Self) {
        *self = &*self + other;
    }
}

impl Sub<&Exact> for &Exact {
    type Output = Exact;

    fn sub(self, other: &Exact) -> Exact {
        Exact(&self.0 - &other.0)
    }
}

impl Neg for Exact {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.numer(), self.0.denom())
    }
}

impl FromStr for Exact {
    type Err = ParseExactError;

    fn from_str(text: &str) -> Result<Self, ParseExactError> {
        let bad = || ParseExactError(text.chars().take(64).collect());
        let (numerator, denominator) = text.split_once('/').ok_or_else(bad)?;
        let numerator: BigInt = numerator.parse().map_err(|_| bad())?;
        let denominator: BigInt = denominator.parse().map_err(|_| bad())?;
        if denominator < BigInt::one() {
            return Err(bad());
        }
        Ok(Self(BigRational::new(numerator, denominator)))
    }
}

impl From<Exact> for String {
    fn from(exact: Exact) -> Self {
        exact.to_string()
    }
}

impl TryFrom<String> for Exact {
    type Error = ParseExactError;

    fn try_from(text: String) -> Result<Self, ParseExactError> {
        text.parse()
    }
}
