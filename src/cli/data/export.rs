//! `data export`: the facts of one kind in one run, row by row.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use super::file::Part;
use super::pools;
use super::sheets::{self, Trades};
use super::tape::Tape;
use crate::engine::event::Event;
use crate::engine::setup::Setup;
use crate::run::replay::{Reader, Written};

#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    /// The run, by its name in `data list`
    #[arg(long)]
    run: String,
    /// What to write
    #[arg(long, value_enum)]
    what: What,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// The file to write; it must not exist, and is packed when its name ends in .gz
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Only this venue, by the operator's name; of books and fills
    #[arg(long)]
    venue: Option<String>,
    /// Only this market, by the venue's name; of books and fills
    #[arg(long)]
    symbol: Option<String>,
    /// Only this chain, by its name or EIP-155 id; of pools
    #[arg(long)]
    chain: Option<String>,
    /// Only the pool at this address; of pools
    #[arg(long, value_name = "ADDRESS")]
    pool: Option<String>,
    /// State folder of the keeper
    #[arg(long, default_value_os_t = super::super::default_state_dir())]
    state_dir: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Order books: every level of every snapshot and diff; `opened`, `invalid` and `closed` empty
    /// a book
    Books,
    /// Pool logs in the chain's order, `state` at the start; after `reorganised`, what stood above
    /// that block no longer holds
    Pools,
    /// Our trades, each once, as first told
    Fills,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Comma-separated, with a head line
    Csv,
    /// One book as the tapes of the local exchange are written; no trades of others, which no run
    /// hears of
    Tape,
}

/// Which facts were asked for; `None` is any.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) venue: Option<String>,
    pub(super) symbol: Option<String>,
    pub(super) chain: Option<u64>,
    pub(super) pool: Option<Address>,
}

impl Wanted {
    /// Reads the arguments; what the run did not watch is refused.
    fn of(arguments: &ExportArguments, setup: &Setup) -> Result<Self> {
        let ExportArguments { what, venue, symbol, chain, pool, .. } = arguments;
        let is_of_pools = *what == What::Pools;
        ensure!(
            !is_of_pools || (venue.is_none() && symbol.is_none()),
            "--venue and --symbol are for books and fills"
        );
        ensure!(
            is_of_pools || (chain.is_none() && pool.is_none()),
            "--chain and --pool are for pools"
        );
        let mut wanted = Self { venue: venue.clone(), symbol: symbol.clone(), ..Self::default() };
        if let Some(text) = chain {
            let found =
                setup.chains.iter().find(|c| c.name == *text || c.chain.to_string() == *text);
            let found = found.with_context(|| format!("the run knew no chain {text}"))?;
            wanted.chain = Some(found.chain);
        }
        if let Some(text) = pool {
            let pool = text.parse::<Address>().map_err(|_| anyhow!("{text} is not an address"))?;
            wanted.pool = Some(pool);
        }
        let mut markets = setup
            .venues
            .iter()
            .flat_map(|venue| venue.symbols.iter().map(move |symbol| (&venue.name, symbol)));
        if !is_of_pools && !markets.any(|(venue, symbol)| wanted.market(venue, symbol)) {
            bail!("the run watched no such market");
        }
        let mut pools = setup
            .chains
            .iter()
            .flat_map(|chain| chain.pools.iter().map(move |pool| (chain.chain, pool.address)));
        if is_of_pools && !pools.any(|(chain, pool)| wanted.pool(chain, pool)) {
            bail!("the run watched no such pool");
        }
        Ok(wanted)
    }

    pub(super) fn market(&self, venue: &str, symbol: &str) -> bool {
        self.venue.as_deref().is_none_or(|wanted| wanted == venue)
            && self.symbol.as_deref().is_none_or(|wanted| wanted == symbol)
    }

    pub(super) fn chain(&self, chain: u64) -> bool {
        self.chain.is_none_or(|wanted| wanted == chain)
    }

    pub(super) fn pool(&self, chain: u64, pool: Address) -> bool {
        self.chain(chain) && self.pool.is_none_or(|wanted| wanted == pool)
    }
}

/// Who turns facts into rows.
enum Scribe {
    Books,
    Pools,
    Trades(Trades),
    Tape(Tape),
}

impl Scribe {
    fn of(arguments: &ExportArguments) -> Result<Self> {
        match (arguments.format, arguments.what) {
            (Format::Csv, What::Books) => Ok(Self::Books),
            (Format::Csv, What::Pools) => Ok(Self::Pools),
            (Format::Csv, What::Fills) => Ok(Self::Trades(Trades::default())),
            (Format::Tape, What::Books) => {
                let is_one = arguments.venue.is_some() && arguments.symbol.is_some();
                ensure!(is_one, "a tape is of one book: give --venue and --symbol");
                Ok(Self::Tape(Tape::default()))
            }
            (Format::Tape, _) => bail!("only books can be written as a tape"),
        }
    }

    fn head(&self) -> &'static str {
        match self {
            Self::Books => sheets::BOOKS,
            Self::Pools => pools::POOLS,
            Self::Trades(_) => sheets::TRADES,
            Self::Tape(_) => "",
        }
    }

    /// Writes the rows of a fact; says how many.
    fn rows(&mut self, event: &Event, wanted: &Wanted, text: &mut String) -> Result<u64> {
        match self {
            Self::Books => Ok(sheets::books(event, wanted, text)),
            Self::Pools => Ok(pools::pools(event, wanted, text)),
            Self::Trades(trades) => Ok(trades.rows(event, wanted, text)),
            Self::Tape(tape) => tape.rows(event, wanted, text),
        }
    }

    fn end(&self) -> Result<()> {
        match self {
            Self::Tape(tape) => tape.end(),
            Self::Books | Self::Pools | Self::Trades(_) => Ok(()),
        }
    }
}

/// Writes the file, and says what it holds.
pub(super) fn export(arguments: &ExportArguments) -> Result<()> {
    let (reader, head) = Reader::open(&arguments.state_dir, Some(&arguments.run))?;
    let wanted = Wanted::of(arguments, &head.setup)?;
    let scribe = Scribe::of(arguments)?;
    let bar = super::bar(&arguments.run);
    let written = write(reader, &wanted, scribe, &arguments.out, &bar);
    bar.finish_and_clear();
    let n_rows = written.with_context(|| format!("exporting run {}", arguments.run))?;
    super::say(&format!("{}: {n_rows} rows\n", arguments.out.display()));
    Ok(())
}

fn write(
    mut reader: Reader,
    wanted: &Wanted,
    mut scribe: Scribe,
    out: &Path,
    bar: &ProgressBar,
) -> Result<u64> {
    ensure!(!reader.is_head_altered(), "its head is not what was written: see data verify");
    let mut part = Part::create(out)?;
    part.write(scribe.head())?;
    let (mut n_facts, mut n_rows, mut text) = (0, 0, String::new());
    while let Some(Written { event, is_altered, .. }) = reader.fact()? {
        let seq = event.seq;
        ensure!(!is_altered, "seq {seq} is not what was written: see data verify");
        n_rows += scribe.rows(&event, wanted, &mut text)?;
        part.write(&text)?;
        text.clear();
        n_facts += 1;
        super::tell(bar, n_facts);
    }
    scribe.end()?;
    part.finish()?;
    Ok(n_rows)
}
