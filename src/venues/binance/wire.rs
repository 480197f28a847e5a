//! Reading fields out of Binance's JSON without losing a digit or a reason.

use rust_decimal::Decimal;
use serde_json::{Map, Value};

use crate::model::{order::Side, time::Timestamp};

/// Characters of a refused value that an error repeats.
const FOUND_CHARS_MAX: usize = 40;

/// Why bytes from the venue could not be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or not of the expected shape.
    #[error("{what} is not readable: {why}")]
    Shape {
        /// The thing that was read.
        what: &'static str,
        /// The reader's words.
        why: String,
    },
    /// A required field is absent or null.
    #[error("{what} lacks the field {field}")]
    Missing {
        /// The thing that was read.
        what: &'static str,
        /// The absent field.
        field: &'static str,
    },
    /// A field holds something that cannot be meant.
    #[error("{what} has an impossible {field}: {found}")]
    Invalid {
        /// The thing that was read.
        what: &'static str,
        /// The field.
        field: &'static str,
        /// The beginning of what it holds.
        found: String,
    },
}

/// Parses a whole answer or frame.
pub(super) fn parse(what: &'static str, bytes: &[u8]) -> Result<Value, DecodeError> {
    serde_json::from_slice(bytes).map_err(|e| DecodeError::Shape { what, why: e.to_string() })
}

/// Reads every element of an array of objects.
pub(super) fn rows<'a, T>(
    what: &'static str,
    value: &'a Value,
    read: impl Fn(Fields<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let list = value
        .as_array()
        .ok_or_else(|| DecodeError::Shape { what, why: "not a list".to_owned() })?;
    list.iter().map(|row| read(Fields::of(what, row)?)).collect()
}

/// One JSON object and the name it has in errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    what: &'static str,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(what: &'static str, value: &'a Value) -> Result<Self, DecodeError> {
        let map = value
            .as_object()
            .ok_or_else(|| DecodeError::Shape { what, why: "not an object".to_owned() })?;
        Ok(Self { what, map })
    }

    /// The same object under another name in errors.
    pub(super) fn called(&self, what: &'static str) -> Self {
        Self { what, map: self.map }
    }

    /// The value, if the field is there and not null.
    pub(super) fn find(&self, field: &str) -> Option<&'a Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    pub(super) fn value(&self, field: &'static str) -> Result<&'a Value, DecodeError> {
        self.find(field).ok_or(DecodeError::Missing { what: self.what, field })
    }

    /// An error about a field of this object.
    pub(super) fn invalid(&self, field: &'static str) -> DecodeError {
        let found = self.map.get(field).map(Value::to_string).unwrap_or_default();
        let found = found.chars().take(FOUND_CHARS_MAX).collect();
        DecodeError::Invalid { what: self.what, field, found }
    }

    pub(super) fn text(&self, field: &'static str) -> Result<&'a str, DecodeError> {
        self.value(field)?.as_str().ok_or_else(|| self.invalid(field))
    }

    /// Text that may be absent, null or empty.
    pub(super) fn optional_text(&self, field: &'static str) -> Option<&'a str> {
        self.find(field).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    pub(super) fn owned(&self, field: &'static str) -> Result<String, DecodeError> {
        self.text(field).map(str::to_owned)
    }

    /// An exact decimal. JSON floats are refused: their digits are not the venue's.
    pub(super) fn decimal(&self, field: &'static str) -> Result<Decimal, DecodeError> {
        let value = self.value(field)?;
        let exact = match value {
            Value::String(text) => Decimal::from_str_exact(text).ok(),
            Value::Number(number) => number.as_i64().map(Decimal::from),
            _ => None,
        };
        exact.ok_or_else(|| self.invalid(field))
    }

    /// An exact decimal that may be absent or null.
    pub(super) fn optional_decimal(
        &self,
        field: &'static str,
    ) -> Result<Option<Decimal>, DecodeError> {
        self.find(field).map(|_| self.decimal(field)).transpose()
    }

    pub(super) fn u64(&self, field: &'static str) -> Result<u64, DecodeError> {
        self.value(field)?.as_u64().ok_or_else(|| self.invalid(field))
    }

    pub(super) fn i64(&self, field: &'static str) -> Result<i64, DecodeError> {
        self.value(field)?.as_i64().ok_or_else(|| self.invalid(field))
    }

    pub(super) fn truth(&self, field: &'static str) -> Result<bool, DecodeError> {
        self.value(field)?.as_bool().ok_or_else(|| self.invalid(field))
    }

    /// Unix milliseconds.
    pub(super) fn time(&self, field: &'static str) -> Result<Timestamp, DecodeError> {
        self.i64(field).map(Timestamp::from_ms)
    }

    pub(super) fn optional_time(
        &self,
        field: &'static str,
    ) -> Result<Option<Timestamp>, DecodeError> {
        self.find(field).map(|_| self.time(field)).transpose()
    }

    pub(super) fn side(&self, field: &'static str) -> Result<Side, DecodeError> {
        match self.text(field)? {
            "BUY" => Ok(Side::Buy),
            "SELL" => Ok(Side::Sell),
            _ => Err(self.invalid(field)),
        }
    }

    /// A list of objects, each read by `read` and called `what` in errors.
    pub(super) fn rows<T>(
        &self,
        field: &'static str,
        what: &'static str,
        read: impl Fn(Fields<'a>) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let value = self.value(field)?;
        if !value.is_array() {
            return Err(self.invalid(field));
        }
        rows(what, value, read)
    }

    /// A nested object, called `what` in errors.
    pub(super) fn object(
        &self,
        field: &'static str,
        what: &'static str,
    ) -> Result<Fields<'a>, DecodeError> {
        let value = self.value(field)?;
        value.as_object().map(|map| Fields { what, map }).ok_or_else(|| self.invalid(field))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        let check = |value: Value, expected: Option<&str>| {
            let object = json!({ "p": value });
            let read = Fields::of("row", &object).unwrap().decimal("p");
            assert_eq!(read.ok().map(|d| d.to_string()).as_deref(), expected, "{object}");
        };
        check(json!("0.10264410"), Some("0.10264410"));
        check(json!("-3"), Some("-3"));
        check(json!(7), Some("7"));
        check(json!(0.1), None);
        check(json!("1e-5"), None);
        check(json!(""), None);
        check(json!("NaN"), None);
        check(json!("0.00000000000000000000000000000000001"), None);
        check(json!("99999999999999999999999999999999999"), None);
    }

    #[test]
    fn errors_name_the_field_and_repeat_little() {
        let object = json!({ "a": null, "b": "x".repeat(1_000) });
        let fields = Fields::of("row", &object).unwrap();
        assert_eq!(fields.u64("a").unwrap_err().to_string(), "row lacks the field a");
        let long = fields.u64("b").unwrap_err().to_string();
        assert!(long.starts_with("row has an impossible b: \"xxx") && long.len() < 90, "{long}");
    }
}
