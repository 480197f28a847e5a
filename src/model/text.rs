//! Text of others: hostile until it is short and plain.

/// Characters of foreign text that are kept.
const PLAIN_CHARS_MAX: usize = 300;

/// Foreign text without control characters (a database refuses NUL, a terminal obeys escapes), cut
/// to a length that fits a row.
pub fn plain(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    shown.take(PLAIN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_endless_text_are_gone() {
        assert_eq!(plain("a\0b\x1b[31m"), "a b [31m");
        assert_eq!(plain(&"x".repeat(5_000)).len(), PLAIN_CHARS_MAX);
    }
}
