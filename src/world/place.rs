//! The folder of a local world: everything it writes, made anew at every start.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Empties the folder and makes it again, with `logs` in it; its whole path. A folder in which no
/// world ever ran is left alone.
pub(crate) fn fresh(dir: &Path) -> Result<PathBuf> {
    empty(dir)?;
    let logs = dir.join("logs");
    std::fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
    dir.canonicalize().with_context(|| format!("finding {}", dir.display()))
}

fn empty(dir: &Path) -> Result<()> {
    let Ok(mut entries) = std::fs::read_dir(dir) else { return Ok(()) };
    let is_ours = dir.join("logs").is_dir() || entries.next().is_none();
    let place = dir.display();
    ensure!(is_ours, "{place} is not empty and no demo or fork ran there: give another --dir");
    std::fs::remove_dir_all(dir).with_context(|| format!("emptying {place}"))
}
