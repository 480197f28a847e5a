//! Logs as contracts write them: topics, and words of data at fixed places.
//!
//! Knows no contract. Invariant: it takes what the decoder generated from the ABI takes, word for
//! word, and refuses what that one refuses: another number of topics, too little data, a word that
//! is no value of its type. Data after the last word is let be, as by the ABI.

use alloy::primitives::{Address, B256, Log, U256};
use thiserror::Error;

/// One argument of an event.
pub(crate) type Word = [u8; 32];

/// A log that bears the name of an event of ours but not its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed {event} log of {contract}: {flaw}")]
pub struct DecodeError {
    /// The contract that wrote the log.
    pub contract: Address,
    /// Which event it claims to be.
    pub event: &'static str,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What is wrong with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Flaw {
    /// Not the number of topics that the event has.
    #[error("{found} topics, not {wanted}")]
    Topics {
        /// Of the event.
        wanted: usize,
        /// Of the log.
        found: usize,
    },
    /// Less data than the event has.
    #[error("{found} bytes of data, not {wanted}")]
    Data {
        /// Of the event.
        wanted: usize,
        /// Of the log.
        found: usize,
    },
    /// A word that no value of the type is written as.
    #[error("{word} is no {of}")]
    Value {
        /// The word.
        word: B256,
        /// The type, as Solidity names it.
        of: &'static str,
    },
}

/// A log under the name of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventLog<'l> {
    log: &'l Log,
    event: &'static str,
}

impl<'l> EventLog<'l> {
    /// The caller has compared the first topic with the event's.
    pub(crate) fn new(log: &'l Log, event: &'static str) -> Self {
        Self { log, event }
    }

    /// All topics, that of the event first.
    pub(crate) fn topics<const N: usize>(self) -> Result<&'l [B256; N], DecodeError> {
        let topics = self.log.topics();
        let flaw = Flaw::Topics { wanted: N, found: topics.len() };
        topics.try_into().map_err(|_| self.error(flaw))
    }

    /// The data's first words.
    pub(crate) fn words<const N: usize>(self) -> Result<&'l [Word; N], DecodeError> {
        let bytes: &'l [u8] = &self.log.data.data;
        let (words, _) = bytes.as_chunks::<32>();
        let flaw = Flaw::Data { wanted: N * 32, found: bytes.len() };
        words.first_chunk().ok_or_else(|| self.error(flaw))
    }

    pub(crate) fn u8(self, word: &Word) -> Result<u8, DecodeError> {
        let value = unsigned(word).and_then(|value| u8::try_from(value).ok());
        value.ok_or_else(|| self.no_value(word, "uint8"))
    }

    pub(crate) fn u24(self, word: &Word) -> Result<u32, DecodeError> {
        let value = unsigned(word).and_then(|value| u32::try_from(value).ok());
        value.filter(|value| *value < 1 << 24).ok_or_else(|| self.no_value(word, "uint24"))
    }

    pub(crate) fn u112(self, word: &Word) -> Result<u128, DecodeError> {
        let value = unsigned(word).filter(|value| *value < 1 << 112);
        value.ok_or_else(|| self.no_value(word, "uint112"))
    }

    pub(crate) fn u128(self, word: &Word) -> Result<u128, DecodeError> {
        unsigned(word).ok_or_else(|| self.no_value(word, "uint128"))
    }

    pub(crate) fn u160(self, word: &Word) -> Result<U256, DecodeError> {
        let value = U256::from_be_bytes(*word);
        if value.bit_len() > 160 { Err(self.no_value(word, "uint160")) } else { Ok(value) }
    }

    pub(crate) fn i24(self, word: &Word) -> Result<i32, DecodeError> {
        let value = signed(word).and_then(|value| i32::try_from(value).ok());
        let value = value.filter(|value| (-(1 << 23)..1 << 23).contains(value));
        value.ok_or_else(|| self.no_value(word, "int24"))
    }

    pub(crate) fn i128(self, word: &Word) -> Result<i128, DecodeError> {
        signed(word).ok_or_else(|| self.no_value(word, "int128"))
    }

    pub(crate) fn address(self, word: &Word) -> Result<Address, DecodeError> {
        if U256::from_be_bytes(*word).bit_len() > 160 {
            return Err(self.no_value(word, "address"));
        }
        Ok(Address::from_word(B256::new(*word)))
    }

    #[cold]
    fn no_value(self, word: &Word, of: &'static str) -> DecodeError {
        self.error(Flaw::Value { word: B256::new(*word), of })
    }

    #[cold]
    fn error(self, flaw: Flaw) -> DecodeError {
        DecodeError { contract: self.log.address, event: self.event, flaw }
    }
}

/// The high and the low half of a word.
pub(crate) fn halves(word: &Word) -> [u128; 2] {
    let [a, b, c, d] = U256::from_be_bytes(*word).into_limbs();
    [u128::from(c) | u128::from(d) << 64, u128::from(a) | u128::from(b) << 64]
}

/// A word below 2^128.
fn unsigned(word: &Word) -> Option<u128> {
    let [high, low] = halves(word);
    (high == 0).then_some(low)
}

/// A word from -2^127 to below 2^127.
fn signed(word: &Word) -> Option<i128> {
    let [high, low] = halves(word);
    let low = low.cast_signed();
    ((low >> 127).cast_unsigned() == high).then_some(low)
}

#[cfg(test)]
pub(crate) mod samples {
    use alloy::primitives::{I256, LogData};
    use alloy::sol_types::SolEvent;
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any, prop_oneof};

    use super::*;

    /// Words that are values of most types, of some, or at times of none.
    fn word() -> impl Strategy<Value = B256> {
        let small = (any::<u16>(), 0u32..16).prop_map(|(value, shift)| U256::from(value >> shift));
        let shifted = (any::<[u64; 4]>(), 0usize..256)
            .prop_map(|(limbs, shift)| U256::from_limbs(limbs) >> shift);
        let signed = (any::<i128>(), 0usize..128).prop_map(|(value, shift)| {
            I256::try_from(value >> shift).expect("narrower").into_raw()
        });
        let edge = (0usize..256, any::<bool>()).prop_map(|(shift, is_below)| {
            let power = U256::ONE << shift;
            if is_below { power - U256::ONE } else { power.wrapping_neg() }
        });
        prop_oneof![6 => small, 1 => shifted, 2 => signed, 1 => edge].prop_map(B256::from)
    }

    /// Logs under the name of an event, of the right form more often than not.
    pub(crate) fn logs_of<E: SolEvent>(
        n_topics: usize,
        n_words: usize,
    ) -> impl Strategy<Value = Log> {
        let n_topics = prop_oneof![8 => n_topics..=n_topics, 1 => 1usize..=5];
        let n_bytes = prop_oneof![8 => n_words * 32..=n_words * 32, 1 => 0usize..=288];
        let parts = (n_topics, n_bytes, vec(word(), 4), vec(word(), 9));
        parts.prop_map(|(n_topics, n_bytes, indexed, words)| {
            let topics = std::iter::once(E::SIGNATURE_HASH).chain(indexed).take(n_topics);
            let mut data: Vec<u8> = words.into_iter().flat_map(|word| word.0).collect();
            data.truncate(n_bytes);
            let data = LogData::new_unchecked(topics.collect(), data.into());
            Log { address: Address::with_last_byte(7), data }
        })
    }

    /// A log as the generated decoder reads it; `None` where it refuses.
    pub(crate) fn by_abi<E: SolEvent>(log: &Log) -> Option<E> {
        E::decode_log_data_validate(&log.data).ok()
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{LogData, address};

    use super::*;

    const CONTRACT: Address = address!("88e6a0c2ddd26feeb64f039a2c41296fcb3f5640");

    fn word(text: &str) -> Word {
        U256::from_str_radix(text, 16).unwrap().to_be_bytes()
    }

    #[test]
    fn a_word_outside_its_type_is_refused() {
        let log = Log { address: CONTRACT, data: LogData::empty() };
        let form = EventLog::new(&log, "Swap");
        let minus = |low: &str| word(&format!("{low:f>64}"));
        assert_eq!((form.u8(&word("ff")).ok(), form.u8(&word("100")).ok()), (Some(255), None));
        let most = (1 << 24) - 1;
        assert_eq!(form.u24(&word("ffffff")), Ok(most));
        assert!(form.u24(&word("1000000")).is_err());
        let wide = "1".to_owned() + &"0".repeat(28);
        assert!(form.u112(&word(&wide)).is_err() && form.u128(&word(&wide)) == Ok(1 << 112));
        assert!(form.u128(&word(&format!("1{}", "0".repeat(32)))).is_err());
        assert!(form.u160(&word(&"f".repeat(40))).is_ok());
        assert!(form.u160(&word(&"f".repeat(41))).is_err());
        assert_eq!(form.i24(&minus("800000")), Ok(-(1 << 23)));
        assert!(form.i24(&minus("7fffff")).is_err() && form.i24(&word("800000")).is_err());
        assert_eq!(form.i24(&word("7fffff")), Ok((1 << 23) - 1));
        assert_eq!(form.i128(&minus("1")), Ok(-15));
        assert_eq!(form.i128(&word(&format!("7{}", "f".repeat(31)))), Ok(i128::MAX));
        assert!(form.i128(&word(&format!("8{}", "0".repeat(31)))).is_err());
        assert_eq!(form.address(&CONTRACT.into_word().0), Ok(CONTRACT));
        assert!(form.address(&word(&"1".repeat(41))).is_err());
    }

    #[test]
    fn an_error_names_event_contract_and_flaw() {
        let log = Log::new_unchecked(CONTRACT, vec![B256::ZERO; 2], vec![0u8; 65].into());
        let form = EventLog::new(&log, "Swap");
        assert_eq!(form.topics::<2>(), Ok(&[B256::ZERO; 2]));
        assert_eq!(form.words::<2>(), Ok(&[[0; 32]; 2]));
        let told = |flaw: &str| format!("malformed Swap log of {CONTRACT}: {flaw}");
        assert_eq!(form.topics::<3>().unwrap_err().to_string(), told("2 topics, not 3"));
        let short = form.words::<3>().unwrap_err().to_string();
        assert_eq!(short, told("65 bytes of data, not 96"));
        let wide = form.u8(&word("100")).unwrap_err().to_string();
        assert_eq!(wide, told(&format!("{} is no uint8", B256::from(word("100")))));
    }
}
