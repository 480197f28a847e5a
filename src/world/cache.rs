//! Where set-up put what the project needs but does not contain: binaries and contract artifacts.

use std::env;
use std::path::PathBuf;

/// The variable that names the cache directory.
pub const CACHE_VARIABLE: &str = "TIDEKEEPER_CACHE";

/// The cache: what the variable names, else `.cache` where we are, else `.cache` where the project
/// was built. `None` when none of them is a directory: set-up has not run.
#[must_use]
pub fn find() -> Option<PathBuf> {
    let named = env::var_os(CACHE_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
    let candidates = match named {
        Some(named) => vec![named],
        None => {
            let built = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
            vec![env::current_dir().unwrap_or_default().join(".cache"), built.join(".cache")]
        }
    };
    candidates.into_iter().find(|candidate| candidate.is_dir())
}
