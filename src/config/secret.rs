//! Texts that look like secrets. They are refused in files and never repeated in messages.

/// Key names that ask for a secret itself instead of the name of its place.
const SECRET_KEYS: [&str; 12] = [
    "api_key",
    "api_secret",
    "secret",
    "password",
    "passphrase",
    "private_key",
    "mnemonic",
    "seed",
    "seed_phrase",
    "token",
    "bot_token",
    "url_with_key",
];

/// Shortest run of mixed letters and digits that is taken for a key when it is written anywhere.
const RUN_MIN: usize = 32;

/// Fewest words of a wallet's mnemonic phrase (BIP-39).
const MNEMONIC_WORDS_MIN: usize = 12;

/// Longest value that a message repeats.
const SHOWN_MAX: usize = 60;

/// Whether a key's name asks for a secret; its value must not be read.
pub(super) fn is_secret_key(key: &str) -> bool {
    SECRET_KEYS.contains(&key.to_lowercase().as_str())
}

/// Whether a value looks like a private or API key, a token, a password in a URL or a mnemonic.
pub(super) fn is_secret(value: &str) -> bool {
    let value = value.trim();
    value.contains("-----BEGIN")
        || has_userinfo(value)
        || has_bot_token(value)
        || is_mnemonic(value)
        || value.split(|c: char| !is_key_char(c)).any(is_key_run)
}

/// A value as a message may show it: quoted, shortened, and hidden when it looks like a secret.
pub(super) fn shown(value: &str) -> String {
    if is_secret(value) {
        return "(hidden: it looks like a secret)".to_owned();
    }
    let short: String = value.chars().take(SHOWN_MAX).collect();
    let tail = if short.len() < value.len() { "…" } else { "" };
    format!("{short:?}{tail}")
}

/// Dashes and underscores part the runs: dated file names, UUIDs and variable names have them.
fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '=')
}

/// One unbroken run that is a key: a 32-byte hex number, or a long mixture of letters and digits.
///
/// A 20-byte address is not one; names made of words carry no such mixture.
fn is_key_run(run: &str) -> bool {
    let hex = run.strip_prefix("0x").unwrap_or(run);
    if hex.chars().all(|c| c.is_ascii_hexdigit()) {
        return hex.len() >= 64
            || (run.len() == hex.len() && hex.len() >= RUN_MIN && hex.len() != 40);
    }
    let digits = run.chars().filter(char::is_ascii_digit).count();
    let letters = run.chars().filter(char::is_ascii_alphabetic).count();
    run.len() >= RUN_MIN && digits >= 4 && letters >= 8
}

/// Shortest secret part of a Telegram bot's token, which is `digits:secret`.
const BOT_SECRET_MIN: usize = 30;

fn has_bot_token(value: &str) -> bool {
    let is_secret_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    value.split_once(':').is_some_and(|(number, secret)| {
        let is_number = number.len() >= 6 && number.chars().all(|c| c.is_ascii_digit());
        is_number && secret.len() >= BOT_SECRET_MIN && secret.chars().all(is_secret_char)
    })
}

/// `scheme://user:password@host`.
fn has_userinfo(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else {
        return false;
    };
    rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

fn is_mnemonic(value: &str) -> bool {
    let is_word = |word: &str| word.len() >= 3 && word.chars().all(|c| c.is_ascii_lowercase());
    let words: Vec<&str> = value.split_whitespace().collect();
    words.len() >= MNEMONIC_WORDS_MIN && words.iter().all(|word| is_word(word))
}

#[cfg(test)]
mod tests {
    use super::{is_secret, is_secret_key, shown};

    #[test]
    fn keys_tokens_and_phrases_are_secrets() {
        let hex = "ab".repeat(32);
        for value in [
            hex.as_str(),
            &format!("0x{hex}"),
            &format!("https://mainnet.example.com/v3/{}", &hex[..32]),
            "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
            "123456789:AAE-abcdefghijklmnopqrstu1234vwxyz",
            "postgres://keeper:hunter2@db/keeper",
            "one two three four five six seven eight nine ten eleven twelve",
        ] {
            assert!(is_secret(value), "{value}");
            assert!(!shown(value).contains(value));
        }
    }

    #[test]
    fn plain_settings_are_not_secrets() {
        for value in [
            "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
            "TIDEKEEPER_DATABASE_URL_OF_THE_LONG_NAMED_DESK",
            "/etc/tidekeeper/keys/lp.json",
            "ws://127.0.0.1:8545",
            "-1001234567890",
            "keys/UTC--2026-01-02T03-04-05.000000000Z--f39fd6e51aad88f6f4ce6ab8827279cfffb92266",
            "keys/3198bc9c-6672-5ab3-d995-4942343ae5b6.json",
            "TK_HEDGE_ACCOUNT_OF_2026_AND_2027_SECRET",
        ] {
            assert!(!is_secret(value), "{value}");
        }
        assert!(is_secret_key("api_secret"));
        assert!(!is_secret_key("api_secret_env"));
    }
}
