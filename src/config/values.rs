//! The kinds of values an operator writes: how each is spelt, parsed and bounded.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use alloy::primitives::{Address, B256, KECCAK256_EMPTY};
use rust_decimal::Decimal;
use toml::de::DeValue;

use crate::config::problem::{Fault, nearest};
use crate::config::secret::shown;

/// How a value is written in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A string in quotes: names, money, rates, addresses.
    Text,
    /// A bare whole number: counts and times.
    Integer,
    /// `true` or `false`.
    Boolean,
}

type Parse<T> = Box<dyn Fn(&str) -> Result<T, Fault>>;

/// One kind of value: its shape, an example in TOML, and its parser.
pub(super) struct Kind<T> {
    shape: Shape,
    example: String,
    parse: Parse<T>,
}

impl<T> Kind<T> {
    pub(super) fn new(
        shape: Shape,
        example: impl Into<String>,
        parse: impl Fn(&str) -> Result<T, Fault> + 'static,
    ) -> Self {
        Self { shape, example: example.into(), parse: Box::new(parse) }
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn example(&self) -> &str {
        &self.example
    }

    pub(super) fn parse(&self, text: &str) -> Result<T, Fault> {
        (self.parse)(text)
    }

    /// The value as text when it has the right shape in TOML.
    pub(super) fn text_of(&self, key: &str, value: &DeValue<'_>) -> Result<String, Fault> {
        match (self.shape, value) {
            (Shape::Text, DeValue::String(text)) => Ok(text.to_string()),
            (Shape::Boolean, DeValue::Boolean(flag)) => Ok(flag.to_string()),
            (Shape::Integer, DeValue::Integer(number)) => {
                let digits = number.as_str().replace('_', "");
                let parsed = i128::from_str_radix(&digits, number.radix());
                parsed.map(|number| number.to_string()).map_err(|_| {
                    Fault::new("is too large a number", format!("for example {}", self.example))
                })
            }
            (Shape::Text, DeValue::Integer(_) | DeValue::Float(_)) => Err(Fault::new(
                format!("is a bare {}; money, rates and names are strings", value.type_str()),
                format!("write it in quotes, for example {key} = {}", self.example),
            )),
            (Shape::Integer, DeValue::String(_)) => Err(Fault::new(
                "is a string; counts and times are bare whole numbers",
                format!("write it without quotes, for example {key} = {}", self.example),
            )),
            (shape, _) => Err(Fault::new(
                format!("is a {}, not {}", value.type_str(), shape_name(shape)),
                format!("for example {key} = {}", self.example),
            )),
        }
    }
}

fn shape_name(shape: Shape) -> &'static str {
    match shape {
        Shape::Text => "a string",
        Shape::Integer => "a whole number",
        Shape::Boolean => "true or false",
    }
}

/// The interval a decimal must lie in; the upper end belongs to it.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    low: Decimal,
    is_low_allowed: bool,
    high: Decimal,
}

impl Bounds {
    /// `low < x <= high`.
    pub(super) fn above(low: i64, high: i64) -> Self {
        Self { low: Decimal::from(low), is_low_allowed: false, high: Decimal::from(high) }
    }

    /// `low <= x <= high`.
    pub(super) fn within(low: i64, high: i64) -> Self {
        Self { low: Decimal::from(low), is_low_allowed: true, high: Decimal::from(high) }
    }

    fn holds(&self, value: Decimal) -> bool {
        let is_over_low = if self.is_low_allowed { value >= self.low } else { value > self.low };
        is_over_low && value <= self.high
    }

    fn told(&self) -> String {
        let low = if self.is_low_allowed { "at least" } else { "above" };
        format!("must be {low} {} and at most {}", self.low, self.high)
    }
}

/// A plain decimal number in quotes.
pub(super) fn decimal(bounds: Bounds, example: &str) -> Kind<Decimal> {
    let example = format!("{example:?}");
    let help = format!("for example {example}");
    Kind::new(Shape::Text, example, move |text| {
        let number = plain_decimal(text).ok_or_else(|| {
            let what = format!("{} is not a plain decimal number", shown(text));
            let help = format!("digits and one point only, no unit, comma or exponent; {help}");
            Fault::new(what, help)
        })?;
        if bounds.holds(number) {
            Ok(number)
        } else {
            Err(Fault::new(format!("is {number} but {}", bounds.told()), help.clone()))
        }
    })
}

/// Digits with at most one inner point and a leading minus; exactly representable.
pub(super) fn plain_decimal(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    if are_digits(whole) && are_digits(fraction) {
        Decimal::from_str_exact(text).ok()
    } else {
        None
    }
}

/// A bare whole number.
pub(super) fn integer<T: TryFrom<i128>>(range: RangeInclusive<i128>, example: i128) -> Kind<T> {
    Kind::new(Shape::Integer, example.to_string(), move |text| {
        let number = text.trim().parse::<i128>().map_err(|_| {
            Fault::new(
                format!("{} is not a whole number", shown(text)),
                format!("for example {example}"),
            )
        })?;
        let fits = range.contains(&number).then(|| T::try_from(number).ok()).flatten();
        fits.ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            Fault::new(
                format!("is {number} but must be at least {low} and at most {high}"),
                format!("for example {example}"),
            )
        })
    })
}

/// `true` or `false`.
pub(super) fn flag(example: bool) -> Kind<bool> {
    Kind::new(Shape::Boolean, example.to_string(), |text| {
        text.parse::<bool>().map_err(|_| {
            let what = format!("{} is neither true nor false", shown(text));
            Fault::new(what, "write true or false")
        })
    })
}

/// A flag of which only one value exists today.
pub(super) fn only_flag(only: bool, why: &'static str) -> Kind<bool> {
    Kind::new(Shape::Boolean, only.to_string(), move |text| {
        if text == only.to_string() {
            Ok(only)
        } else {
            Err(Fault::new(format!("is not supported yet: {why}"), format!("write {only}")))
        }
    })
}

/// One of a few words; `later` are words of the design that this version does not know how to do.
pub(super) fn choice<T: Copy + 'static>(
    words: &'static [(&'static str, T)],
    later: &'static [&'static str],
) -> Kind<T> {
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let example = format!("{:?}", names.first().copied().unwrap_or_default());
    Kind::new(Shape::Text, example, move |text| {
        if let Some((_, value)) = words.iter().find(|(name, _)| *name == text) {
            return Ok(*value);
        }
        let known = names.join(" | ");
        if later.contains(&text) {
            return Err(Fault::new(
                format!("{text:?} is not supported yet"),
                format!("use {known}"),
            ));
        }
        let help = match nearest(text, &names) {
            Some(name) => format!("did you mean {name:?}? ({known})"),
            None => format!("use {known}"),
        };
        Err(Fault::new(format!("{} is not one of {known}", shown(text)), help))
    })
}

/// Longest name of a keeper, chain, strategy, venue, signer or rule.
const NAME_CHARS_MAX: usize = 64;

/// A name of ours: lower case letters, digits, `-` and `_`, beginning with a letter.
pub(super) fn name(example: &str) -> Kind<String> {
    Kind::new(Shape::Text, format!("{example:?}"), |text| {
        check_name(text).map(|()| text.to_owned())
    })
}

/// Checks a name that stands as a table's key.
pub(super) fn check_name(text: &str) -> Result<(), Fault> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
    if starts_well && text.len() <= NAME_CHARS_MAX && text.chars().all(is_allowed) {
        return Ok(());
    }
    Err(Fault::new(
        format!("{} is not a name", shown(text)),
        format!("lower case letters, digits, - and _, a letter first, at most {NAME_CHARS_MAX}"),
    ))
}

/// Longest free text, path or URL.
pub(super) const TEXT_CHARS_MAX: usize = 512;

/// Free text on one line.
pub(super) fn text(example: &str) -> Kind<String> {
    Kind::new(Shape::Text, format!("{example:?}"), |text| {
        let is_fair = !text.trim().is_empty() && text.len() <= TEXT_CHARS_MAX;
        if is_fair && !text.chars().any(char::is_control) {
            Ok(text.to_owned())
        } else {
            Err(Fault::new("is empty, too long or has line breaks", "write one short line"))
        }
    })
}

/// A path of a file.
pub(super) fn path(example: &str) -> Kind<PathBuf> {
    let line = text(example);
    Kind::new(Shape::Text, format!("{example:?}"), move |text| line.parse(text).map(PathBuf::from))
}

/// A token's or currency's symbol.
pub(super) fn symbol(example: &str) -> Kind<String> {
    Kind::new(Shape::Text, format!("{example:?}"), |text| {
        check_symbol(text).map(|()| text.to_owned())
    })
}

/// Longest symbol of a token or currency.
const SYMBOL_CHARS_MAX: usize = 20;

/// Checks a token's symbol that stands as a table's key.
pub(super) fn check_symbol(text: &str) -> Result<(), Fault> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if !text.is_empty() && text.len() <= SYMBOL_CHARS_MAX && text.chars().all(is_allowed) {
        return Ok(());
    }
    let help = format!("letters and digits, at most {SYMBOL_CHARS_MAX}, as in \"WETH\"");
    Err(Fault::new(format!("{} is not a symbol", shown(text)), help))
}

/// The name of an environment variable that holds a secret; the value itself is never repeated.
pub(super) fn env_name(example: &str) -> Kind<String> {
    Kind::new(Shape::Text, format!("{example:?}"), |text| {
        let is_allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let starts_well = text.starts_with(|c: char| c.is_ascii_uppercase());
        if starts_well && text.len() <= NAME_CHARS_MAX && text.chars().all(is_allowed) {
            return Ok(text.to_owned());
        }
        Err(Fault::new(
            "is not the name of an environment variable (hidden: it may be the secret itself)",
            "write a name in capitals, as in \"TK_HEDGE_KEY\", and put the secret there",
        ))
    })
}

/// An address with `0x`; mixed case must carry the EIP-55 checksum.
pub(super) fn address() -> Kind<Address> {
    Kind::new(Shape::Text, "\"0x…\"", |text| {
        let digits = text.strip_prefix("0x").unwrap_or_default();
        let is_hex = digits.len() == 40 && digits.chars().all(|c| c.is_ascii_hexdigit());
        if !is_hex {
            let what = format!("{} is not an address", shown(text));
            return Err(Fault::new(what, "0x and 40 hexadecimal digits"));
        }
        let is_lower = !digits.chars().any(|c| c.is_ascii_uppercase());
        let parsed = if is_lower {
            text.parse::<Address>().ok()
        } else {
            Address::parse_checksummed(text, None).ok()
        };
        match parsed {
            Some(Address::ZERO) => {
                Err(Fault::new("is the zero address", "write the contract's address"))
            }
            Some(address) => Ok(address),
            None => Err(Fault::new(
                format!("{text} has a wrong checksum (EIP-55): a character is mistyped"),
                "copy it again from the project's own deployment list",
            )),
        }
    })
}

/// The Keccak hash of a contract's code.
pub(super) fn code_hash() -> Kind<B256> {
    Kind::new(Shape::Text, "\"0x…\"", |text| {
        let digits = text.strip_prefix("0x").unwrap_or_default();
        let is_hex = digits.len() == 64 && digits.chars().all(|c| c.is_ascii_hexdigit());
        match text.parse::<B256>().ok().filter(|_| is_hex) {
            None => {
                let what = format!("{} is not the hash of a code", shown(text));
                Err(Fault::new(what, "0x and 64 hexadecimal digits"))
            }
            Some(hash) if hash == KECCAK256_EMPTY => {
                let what = "is the hash of no code at all";
                Err(Fault::new(what, "hash the code that stands at the contract's address"))
            }
            Some(hash) => Ok(hash),
        }
    })
}

/// A time of day `HH:MM`, as minutes after midnight.
pub(super) fn time_of_day() -> Kind<u16> {
    Kind::new(Shape::Text, "\"00:00\"", |text| {
        let part = |part: &str| {
            let is_pair = part.len() == 2 && part.chars().all(|c| c.is_ascii_digit());
            is_pair.then(|| part.parse::<u16>().ok()).flatten()
        };
        let minutes = text.split_once(':').and_then(|(hour, minute)| {
            let (hour, minute) = (part(hour)?, part(minute)?);
            (hour < 24 && minute < 60).then_some(hour * 60 + minute)
        });
        minutes.ok_or_else(|| {
            Fault::new(format!("{} is not a time of day", shown(text)), "write HH:MM, as \"00:00\"")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{Bounds, address, code_hash, decimal, plain_decimal, time_of_day};

    #[test]
    fn decimals_are_plain() {
        for good in ["0", "-1.50", "250000", "0.000000000000000001"] {
            assert!(plain_decimal(good).is_some(), "{good}");
        }
        for bad in ["", "1e5", "1_000", "1,5", "+1", ".5", "5.", "1.2.3", "--1", "0x10", "NaN"] {
            assert!(plain_decimal(bad).is_none(), "{bad}");
        }
        assert!(plain_decimal(&"9".repeat(40)).is_none());
    }

    #[test]
    fn bounds_are_told() {
        let fault = decimal(Bounds::above(0, 100), "3.0").parse("0").unwrap_err();
        assert_eq!(fault.what, "is 0 but must be above 0 and at most 100");
    }

    #[test]
    fn mixed_case_needs_the_checksum() {
        let kind = address();
        assert!(kind.parse("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913").is_ok());
        assert!(kind.parse("0x833589fcd6edb6e08f4c7c32d4f71b54bda02913").is_ok());
        assert!(kind.parse("0x833589FCD6eDb6E08f4c7C32D4f71b54bdA02913").is_err());
        assert!(kind.parse("0x0000000000000000000000000000000000000000").is_err());
        assert!(kind.parse("833589fCD6eDb6E08f4c7C32D4f71b54bdA02913").is_err());
    }

    #[test]
    fn a_code_hash_has_64_digits_and_is_of_some_code() {
        let digits = "7".repeat(64);
        assert!(code_hash().parse(&format!("0x{digits}")).is_ok());
        let empty = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470";
        let long = format!("0x{digits}7");
        for wrong in [digits, "0x77".to_owned(), long, format!("0x{empty}")] {
            assert!(code_hash().parse(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn day_ends_at_a_real_minute() {
        assert_eq!(time_of_day().parse("23:59"), Ok(1_439));
        assert!(time_of_day().parse("24:00").is_err());
        assert!(time_of_day().parse("7:00").is_err());
    }
}
