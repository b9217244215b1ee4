//! Currencies and amounts of them.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::exact::{Exact, decimal_text, parse_decimal};

/// The codes of ISO 4217 by the digits of their smallest unit.
const CODES: [(u32, &str); 4] = [
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
    (
        2,
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF \
         CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG \
         HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU \
         MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR \
         SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED \
         VES WST XCD XCG YER ZAR ZMW ZWG",
    ),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
];

/// A currency of ISO 4217.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: &'static str,
    digits: u32,
}

/// The text is no code of a currency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no currency; give a code of ISO 4217 in capital letters, such as EUR")]
pub struct UnknownCurrency(String);

impl Currency {
    /// Returns the code.
    pub const fn code(self) -> &'static str {
        self.code
    }

    /// Returns the digits after the decimal point of the smallest unit.
    pub const fn digits(self) -> u32 {
        self.digits
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code)
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(text: &str) -> Result<Self, UnknownCurrency> {
        CODES
            .iter()
            .find_map(|(digits, codes)| {
                let code = codes.split_ascii_whitespace().find(|code| *code == text)?;
                Some(Self { code, digits: *digits })
            })
            .ok_or_else(|| UnknownCurrency(text.chars().take(16).collect()))
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An amount in the smallest units of its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// The currency.
    pub currency: Currency,
    /// The number of smallest units; negative for a credit.
    pub minor: i128,
}

/// The text is no amount of the currency.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no amount of {currency}; give a decimal number with at most {} decimal places", currency.digits())]
pub struct ParseMoneyError {
    text: String,
    currency: Currency,
}

impl Money {
    /// The largest number of smallest units, so that sums of amounts always fit.
    pub const MAX_MINOR: i128 = 1_000_000_000_000_000_000_000_000;

    /// Rounds an exact amount to the smallest unit, half away from zero.
    pub fn round(exact: &Exact, currency: Currency) -> Self {
        Self { currency, minor: exact.round(currency.digits()) }
    }

    /// Parses a decimal number.
    ///
    /// # Errors
    ///
    /// The text is no decimal number, has more places than the currency, or is beyond
    /// [`Self::MAX_MINOR`].
    pub fn parse(text: &str, currency: Currency) -> Result<Self, ParseMoneyError> {
        parse_decimal(text, currency.digits())
            .filter(|minor| minor.abs() <= Self::MAX_MINOR)
            .map(|minor| Self { currency, minor })
            .ok_or_else(|| ParseMoneyError { text: text.chars().take(64).collect(), currency })
    }

    /// Returns the decimal number, with all digits of the currency and without its code.
    pub fn amount(self) -> String {
        decimal_text(self.minor, self.currency.digits())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount(), self.currency)
    }
}

/// Sums of amounts, one of each currency, in the order of the currencies' codes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals(BTreeMap<Currency, i128>);

impl Totals {
    /// Adds an amount.
    pub fn add(&mut self, money: Money) {
        let sum = self.0.entry(money.currency).or_default();
        *sum = sum.saturating_add(money.minor);
    }

    /// Returns the sum in a currency, which may be nothing.
    pub fn of(&self, currency: Currency) -> Money {
        Money { currency, minor: self.0.get(&currency).copied().unwrap_or_default() }
    }

    /// Returns the sums.
    pub fn iter(&self) -> impl Iterator<Item = Money> {
        self.0.iter().map(|(currency, minor)| Money { currency: *currency, minor: *minor })
    }
}

impl FromIterator<Money> for Totals {
    fn from_iter<I: IntoIterator<Item = Money>>(amounts: I) -> Self {
        let mut totals = Self::default();
        amounts.into_iter().for_each(|money| totals.add(money));
        totals
    }
}
