//! The loader of the operator's files, one of which may be any text.

use std::path::PathBuf;

use tidekeeper::config::load;

use super::input::Input;

/// Files that load.
const GOOD: [(&str, &str); 3] = [
    ("agent.toml", include_str!("../../../data/config/good/local/agent.toml")),
    ("chains/local.toml", include_str!("../../../data/config/good/local/chains/local.toml")),
    (
        "strategies/weth-usdt-lp.toml",
        include_str!("../../../data/config/good/local/strategies/weth-usdt-lp.toml"),
    ),
];

/// Which file, and all the rest as its text; bytes that are no UTF-8 become U+FFFD.
pub(super) fn operator_files(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let at = usize::from(input.byte()) % GOOD.len();
    let mut files = GOOD.map(|(path, text)| (PathBuf::from(path), text.to_owned()));
    files[at].1 = String::from_utf8_lossy(input.rest()).into_owned();
    if let Err(problems) = load(&files, &no_env) {
        assert!(!problems.is_empty());
        assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
    }
}

fn no_env(_: &str) -> Option<String> {
    None
}
