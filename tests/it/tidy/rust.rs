//! Rust as tokens and paths, enough to tell who names whom.
//!
//! Knows no types and no macros. Invariant: no text makes it panic, and what it reads of a file
//! that compiles is exact.

/// A word, a sign, or a literal (`"`, whatever it says); blanks and comments are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

enum Kind {
    Blank,
    Literal,
    Code,
}

pub(super) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut found, mut start, mut line) = (Vec::new(), 0, 1);
    while start < chars.len() {
        let (kind, length) = lexeme(&chars[start..]);
        let end = chars.len().min(start + length);
        match kind {
            Kind::Blank => {}
            Kind::Literal => found.push(Token { text: "\"".to_owned(), line }),
            Kind::Code => found.push(Token { text: chars[start..end].iter().collect(), line }),
        }
        line += chars[start..end].iter().filter(|c| **c == '\n').count();
        start = end;
    }
    found
}

/// What stands first, and how many characters it has.
fn lexeme(rest: &[char]) -> (Kind, usize) {
    let at = |index: usize| rest.get(index).copied().unwrap_or('\0');
    let is_word = |c: &&char| c.is_alphanumeric() || **c == '_';
    match (at(0), at(1)) {
        ('/', '/') => (Kind::Blank, rest.iter().take_while(|c| **c != '\n').count()),
        ('/', '*') => (Kind::Blank, block_comment(rest)),
        (c, _) if c.is_whitespace() => (Kind::Blank, 1),
        ('"', _) => (Kind::Literal, quoted(rest)),
        ('\'', second) if second == '\\' || at(2) == '\'' => (Kind::Literal, quoted(rest)),
        ('\'', _) => (Kind::Literal, 1 + rest[1..].iter().take_while(is_word).count()),
        (':', ':') => (Kind::Code, 2),
        _ => {
            let word = rest.iter().take_while(is_word).count();
            let hashes = rest[word..].iter().take_while(|c| **c == '#').count();
            let is_raw = matches!(rest[..word], ['r'] | ['b' | 'c', 'r']);
            if is_raw && at(word + hashes) == '"' {
                return (Kind::Literal, raw_string(rest, word + hashes + 1, hashes));
            }
            (Kind::Code, word.max(1))
        }
    }
}

/// Length of a literal between two equal quotes.
fn quoted(rest: &[char]) -> usize {
    let mut index = 1;
    while index < rest.len() && rest[index] != rest[0] {
        index += if rest[index] == '\\' { 2 } else { 1 };
    }
    index + 1
}

fn raw_string(rest: &[char], body: usize, hashes: usize) -> usize {
    let ends = |tail: &[char]| tail[0] == '"' && tail[1..].iter().all(|c| *c == '#');
    let close = rest[body..].windows(hashes + 1).position(ends);
    close.map_or(rest.len(), |close| body + close + hashes + 1)
}

fn block_comment(rest: &[char]) -> usize {
    let (mut index, mut depth) = (0, 0);
    while index < rest.len() {
        match (rest[index], rest.get(index + 1)) {
            ('/', Some('*')) => (depth, index) = (depth + 1, index + 2),
            ('*', Some('/')) => (depth, index) = (depth - 1, index + 2),
            _ => index += 1,
        }
        if depth == 0 {
            break;
        }
    }
    index
}

/// `true` where these tokens stand next.
pub(super) fn is(tokens: &[Token], start: usize, texts: &[&str]) -> bool {
    let found = tokens.get(start..).unwrap_or_default();
    found.len() >= texts.len() && found.iter().zip(texts).all(|(t, text)| t.text == *text)
}

pub(super) fn is_name(token: Option<&Token>) -> bool {
    token.is_some_and(|t| t.text.starts_with(|c: char| c.is_alphabetic() || c == '_'))
}

/// One past the item that starts here: its `;`, or the brace that closes its first one.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let (mut depth, mut braces) = (0_i32, 0_i32);
    for (index, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "{" => braces += 1,
            "}" => braces -= 1,
            _ => {}
        }
        let is_closed = braces == 0 && depth == 0;
        if braces < 0 {
            return index;
        }
        if is_closed && matches!(token.text.as_str(), ";" | "}") {
            return index + 1;
        }
    }
    tokens.len()
}

/// The tokens outside items that are for tests only, and the names of the test modules that stand
/// in files of their own.
pub(super) fn split_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    let (mut code, mut modules, mut index) = (Vec::new(), Vec::new(), 0);
    while index < tokens.len() {
        if !is(tokens, index, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            code.push(tokens[index].clone());
            index += 1;
            continue;
        }
        let start = index + 7;
        index = item_end(tokens, start);
        if let [.., word, name, last] = &tokens[start..index]
            && (word.text.as_str(), last.text.as_str()) == ("mod", ";")
        {
            modules.push(name.text.clone());
        }
    }
    (code, modules)
}

/// A path as it is written, groups unfolded, and the inline modules around it.
pub(super) struct Named {
    pub(super) parts: Vec<String>,
    pub(super) inside: Vec<String>,
    pub(super) line: usize,
}

pub(super) fn paths(code: &[Token]) -> Vec<Named> {
    let (mut found, mut index, mut depth) = (Vec::new(), 0, 0);
    let mut inline: Vec<(String, usize)> = Vec::new();
    while index < code.len() {
        if is(code, index, &["mod"]) && is(code, index + 2, &["{"]) {
            inline.push((code[index + 1].text.clone(), depth));
        }
        match code[index].text.as_str() {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inline.pop_if(|(_, outside)| *outside == depth);
            }
            _ => {}
        }
        if !is_name(code.get(index)) {
            index += 1;
            continue;
        }
        let mut written = Vec::new();
        index = unfold(code, index, &[], &mut written);
        let inside: Vec<String> = inline.iter().map(|(name, _)| name.clone()).collect();
        let named = |(parts, line)| Named { parts, inside: inside.clone(), line };
        found.extend(written.into_iter().map(named));
    }
    found
}

/// Reads the path or the tree of paths that starts at a name; answers where it ends.
fn unfold(
    code: &[Token],
    start: usize,
    before: &[String],
    found: &mut Vec<(Vec<String>, usize)>,
) -> usize {
    let mut parts = before.to_vec();
    let mut index = start;
    loop {
        parts.push(code[index].text.clone());
        index += 1;
        if is(code, index, &["::", "{"]) {
            index += 2;
            while index < code.len() && !is(code, index, &["}"]) {
                let is_path = is_name(code.get(index)) && !is(code, index, &["as"]);
                index = match is_path {
                    true => unfold(code, index, &parts, found),
                    false if is(code, index, &["as"]) => index + 2,
                    false => index + 1,
                };
            }
            return index + 1;
        }
        if !is(code, index, &["::"]) || !is_name(code.get(index + 1)) {
            found.push((parts, code[index - 1].line));
            return index;
        }
        index += 1;
    }
}

/// The path from the crate's root; `None` where it does not say that it is of this crate.
pub(super) fn resolve(module: &[String], named: &Named) -> Option<Vec<String>> {
    let mut base = [module, &named.inside].concat();
    let rooted =
        named.parts.iter().take_while(|p| matches!(p.as_str(), "crate" | "self" | "super"));
    let n_rooted = rooted.clone().count();
    for word in rooted {
        match word.as_str() {
            "crate" => base.clear(),
            "super" => drop(base.pop()),
            _ => {}
        }
    }
    base.extend_from_slice(&named.parts[n_rooted..]);
    (n_rooted > 0).then_some(base)
}

/// Every function with a body: (name, first line, last line).
pub(super) fn functions(tokens: &[Token]) -> Vec<(&str, usize, usize)> {
    let starts = (0..tokens.len()).filter(|i| is(tokens, *i, &["fn"]));
    let starts = starts.filter(|i| is_name(tokens.get(i + 1)));
    let span = |start: usize| {
        let last = tokens[item_end(tokens, start) - 1].line;
        (tokens[start + 1].text.as_str(), tokens[start].line, last)
    };
    starts.map(span).collect()
}

/// The names that are given here, by whatever gives one.
pub(super) fn given_names(tokens: &[Token]) -> impl Iterator<Item = &Token> {
    const GIVERS: [&str; 6] = ["fn", "struct", "enum", "mod", "trait", "type"];
    let pairs = tokens.windows(2);
    let gives = |pair: &&[Token]| GIVERS.contains(&pair[0].text.as_str()) && is_name(pair.get(1));
    pairs.filter(gives).map(|pair| &pair[1])
}
