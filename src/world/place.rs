//! The folder of a local world: everything it writes, made anew at every start.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// A folder with one of these files is ours to empty: the first is written before anything else,
/// the second by every world that ever stood.
const MARKS: [&str; 2] = [".world", "world.json"];

/// Empties the folder and makes it again, with `logs` in it; its whole path. A folder in which no
/// world ever ran is left alone.
pub(crate) fn fresh(dir: &Path) -> Result<PathBuf> {
    empty(dir)?;
    let logs = dir.join("logs");
    std::fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
    std::fs::write(dir.join(MARKS[0]), "Made by tidekeeper, emptied at every start of a world.\n")
        .with_context(|| format!("marking {}", dir.display()))?;
    dir.canonicalize().with_context(|| format!("finding {}", dir.display()))
}

fn empty(dir: &Path) -> Result<()> {
    let Ok(mut entries) = std::fs::read_dir(dir) else { return Ok(()) };
    let is_ours = MARKS.iter().any(|mark| dir.join(mark).exists()) || entries.next().is_none();
    let place = dir.display();
    ensure!(is_ours, "{place} is not empty and no demo or fork ran there: give another --dir");
    std::fs::remove_dir_all(dir).with_context(|| format!("emptying {place}"))
}
