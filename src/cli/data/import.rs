//! `data import`: recorded market data comes into the history, whole or not at all.

use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use anyhow::{Result, anyhow};
use clap::Args;

use super::history;
use crate::history::forms::Given;
use crate::history::shelf::{self, Imported};

#[derive(Debug, Args)]
pub(super) struct ImportArguments {
    /// The files, packed with gzip or not; what each is, its head line or first line says
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The venue, for files that do not name it: recordings and candles
    #[arg(long)]
    venue: Option<String>,
    /// EIP-155 id of the chain, for tables of Uniswap V3 events, which do not name it
    #[arg(long, value_name = "ID")]
    chain: Option<u64>,
    /// Address of the pool, for tables of Uniswap V3 events, which do not name it
    #[arg(long, value_name = "ADDRESS")]
    pool: Option<String>,
    /// State folder of the keeper
    #[arg(long, default_value_os_t = super::super::default_state_dir())]
    state_dir: PathBuf,
}

/// Imports one file after the other; the first that is refused ends it.
pub(super) fn import(arguments: &ImportArguments) -> Result<()> {
    let ImportArguments { files, venue, chain, pool, state_dir } = arguments;
    let pool = pool.as_ref().map(|text| {
        text.parse::<Address>().map_err(|_| anyhow!("--pool {text} is not an address"))
    });
    let given = Given { venue: venue.clone(), chain: *chain, pool: pool.transpose()? };
    for file in files {
        super::say(&bring(state_dir, file, &given)?);
    }
    Ok(())
}

/// What the import of one file did, in words.
fn bring(state_dir: &Path, file: &Path, given: &Given) -> Result<String> {
    let bar = super::bar(&file.display().to_string(), "rows");
    let imported = shelf::import(state_dir, file, given, &mut |n_rows| super::tell(&bar, n_rows));
    bar.finish_and_clear();
    let file = file.display();
    Ok(match imported? {
        Imported::New(manifest) => {
            let (id, form) = (manifest.id(), &manifest.source.form);
            let files = manifest.files.iter().map(|kept| format!("  {}\n", history::words(kept)));
            format!("{file}: {form}, source {id} of the history\n{}", files.collect::<String>())
        }
        Imported::Known(manifest) => {
            let (id, name) = (manifest.id(), &manifest.source.name);
            format!("{file}: nothing to do, it is source {id} of the history ({name})\n")
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_import_says_what_came_in_and_when_nothing_did() {
        let name = format!("tidekeeper-import-{}", std::process::id());
        let state = std::env::temp_dir().join(name);
        fs::create_dir_all(&state).unwrap();
        let file = state.join("rates.csv");
        let head = "timestamp,exchange,symbol,funding_rate";
        fs::write(&file, format!("{head}\n1700000000,v,A,0.0001\n")).unwrap();
        let first = bring(&state, &file, &Given::default()).unwrap();
        let (from, to) = ("2023-11-14T22:13:20.000000Z", "2023-11-14T22:13:20.000000Z");
        let expected = format!("  funding: 1 rows of v A, {from} to {to}, 0 gaps\n");
        assert!(
            first.contains(": funding rates, source ") && first.ends_with(&expected),
            "{first}"
        );
        let again = bring(&state, &file, &Given::default()).unwrap();
        assert!(again.contains("nothing to do") && again.ends_with("(rates.csv)\n"), "{again}");
        let table = history::table(&state).unwrap();
        assert!(table.ends_with(", 0 gaps; recorded, rates.csv\n"), "{table}");
        fs::remove_dir_all(&state).unwrap();
    }
}
