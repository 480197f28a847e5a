//! The history in words, and its rows as an export.

use std::path::Path;

use anyhow::{Result, ensure};

use super::export::Wanted;
use super::file::Part;
use super::sheets;
use crate::history::HistoryError;
use crate::history::sheet::Sheet;
use crate::history::shelf::{self, Kept};
use crate::model::chain::PoolAddress;
use crate::model::time::Timestamp;

/// The sources of the history, one line a sheet; nothing when there are none.
pub(super) fn table(state_dir: &Path) -> Result<String> {
    let sources = shelf::sources(state_dir)?;
    if sources.is_empty() {
        return Ok(String::new());
    }
    let mut text = format!("\n{:<17} what\n", "source");
    for id in sources {
        match shelf::manifest(state_dir, &id) {
            Ok(manifest) => {
                let (label, name) = (&manifest.label, &manifest.source.name);
                for kept in &manifest.files {
                    text.push_str(&format!("{id:<17} {}; {label}, {name}\n", words(kept)));
                }
            }
            Err(_) => text.push_str(&format!("{id:<17} its manifest is bad: see data verify\n")),
        }
    }
    Ok(text)
}

/// One file of a source.
pub(super) fn words(kept: &Kept) -> String {
    let extent = &kept.extent;
    let utc = |at: Option<Timestamp>| at.map_or_else(|| "unknown".to_owned(), Timestamp::utc);
    let (first, last) = (utc(extent.first_ns), utc(extent.last_ns));
    let (sheet, rows, n_markets) = (&kept.sheet, extent.rows, extent.markets.len());
    let of = match extent.markets.as_slice() {
        [market] => format!("{} {}", market.place, market.name),
        _ => format!("{n_markets} markets"),
    };
    let gaps: u64 = extent.markets.iter().map(|market| market.gaps).sum();
    format!("{sheet}: {rows} rows of {of}, {first} to {last}, {gaps} gaps")
}

/// What is wrong with a source.
pub(super) fn look(state_dir: &Path, id: &str) -> Result<Vec<String>, HistoryError> {
    let bar = super::bar(&format!("source {id}"), "rows");
    let bad = shelf::verify(state_dir, id, &mut |n_rows| super::tell(&bar, n_rows));
    bar.finish_and_clear();
    bad
}

pub(super) fn judged(id: &str, bad: &[String]) -> String {
    if bad.is_empty() {
        return format!("source {id}: ok, every file is what was imported\n");
    }
    bad.iter().map(|what| format!("source {id}: BAD: {what}\n")).collect()
}

/// Writes the rows that are wanted; says how many.
pub(super) fn export(
    state_dir: &Path,
    id: &str,
    sheet: &'static Sheet,
    wanted: &Wanted,
    part: &mut Part,
) -> Result<u64> {
    let bar = super::bar(&format!("source {id}"), "rows");
    let (mut n_read, mut n_rows, mut text) = (0, 0, String::new());
    let read = shelf::rows(state_dir, id, sheet, |fields| {
        n_read += 1;
        super::tell(&bar, n_read);
        if !is_wanted(sheet, fields, wanted) {
            return Ok(());
        }
        sheets::line(&mut text, fields);
        n_rows += 1;
        let written = part.write(&text);
        text.clear();
        written
    });
    bar.finish_and_clear();
    read?;
    ensure!(n_rows > 0, "source {id} has no {} of that market", sheet.name);
    Ok(n_rows)
}

fn is_wanted(sheet: &Sheet, fields: &[&str], wanted: &Wanted) -> bool {
    let field = |name: &str| {
        let index = sheet.index(name);
        index.and_then(|index| fields.get(index)).copied().unwrap_or_default()
    };
    let [place, name] = sheet.market.map(field);
    if sheet.market == ["venue", "symbol"] {
        return wanted.market(place, name);
    }
    let Ok(chain) = place.parse::<u64>() else { return false };
    match name.parse::<PoolAddress>() {
        Ok(pool) => wanted.pool(chain, pool),
        // What a whole chain took back concerns each of its pools.
        Err(_) => wanted.chain(chain),
    }
}
