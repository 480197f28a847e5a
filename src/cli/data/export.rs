//! `data export`: the facts of one kind in one run, or a sheet of the history, row by row.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use super::file::Part;
use super::sheets::{self, Trades};
use super::tape::Tape;
use super::{history, pools};
use crate::engine::event::Event;
use crate::engine::setup::Setup;
use crate::history::sheet::{self, Sheet};
use crate::model::chain::PoolAddress;
use crate::run::replay::{Reader, Written};

#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    /// The run, by its name in `data list`
    #[arg(long, required_unless_present = "source", conflicts_with = "source")]
    run: Option<String>,
    /// The source in the history, by its name in `data list`
    #[arg(long)]
    source: Option<String>,
    /// What to write
    #[arg(long, value_enum)]
    what: What,
    /// How to write it; a file whose name ends in .parquet is Parquet, any other CSV
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The file to write; it must not exist, and a text is packed when its name ends in .gz
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Only this venue, by the operator's name; of all but pools
    #[arg(long)]
    venue: Option<String>,
    /// Only this market, by the venue's name; of all but pools
    #[arg(long)]
    symbol: Option<String>,
    /// Only this chain, by its name (of a run) or EIP-155 id; of pools
    #[arg(long)]
    chain: Option<String>,
    /// Only the pool at this address, or with this id of V4; of pools
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
    /// Best bids and asks as the venue tells them; of the history
    Tickers,
    /// Trades of all; of the history
    Trades,
    /// Candles; of the history
    Candles,
    /// Funding rates; of the history
    Funding,
}

impl What {
    fn sheet(self) -> &'static Sheet {
        match self {
            Self::Books => &sheet::BOOKS,
            Self::Pools => &sheet::POOLS,
            Self::Fills => &sheet::FILLS,
            Self::Tickers => &sheet::TICKERS,
            Self::Trades => &sheet::TRADES,
            Self::Candles => &sheet::CANDLES,
            Self::Funding => &sheet::FUNDING,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Comma-separated, with a head line
    Csv,
    /// Parquet with typed columns, packed with gzip; decimals and big numbers stay text
    Parquet,
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
    pub(super) pool: Option<PoolAddress>,
}

impl Wanted {
    /// Reads the arguments; what the run did not watch is refused.
    fn of(arguments: &ExportArguments, setup: &Setup) -> Result<Self> {
        let mut wanted = Self::without_chain(arguments)?;
        let is_of_pools = arguments.what == What::Pools;
        if let Some(text) = &arguments.chain {
            let found =
                setup.chains.iter().find(|c| c.name == *text || c.chain.to_string() == *text);
            let found = found.with_context(|| format!("the run knew no chain {text}"))?;
            wanted.chain = Some(found.chain);
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

    /// Reads the arguments where there is no run that knows its chains' names.
    fn of_history(arguments: &ExportArguments) -> Result<Self> {
        let chain = arguments.chain.as_ref().map(|text| {
            text.parse::<u64>().with_context(|| format!("--chain {text} is not an EIP-155 id"))
        });
        Ok(Self { chain: chain.transpose()?, ..Self::without_chain(arguments)? })
    }

    fn without_chain(arguments: &ExportArguments) -> Result<Self> {
        let ExportArguments { what, venue, symbol, chain, pool, .. } = arguments;
        let is_of_pools = *what == What::Pools;
        ensure!(
            !is_of_pools || (venue.is_none() && symbol.is_none()),
            "--venue and --symbol are not for pools"
        );
        ensure!(
            is_of_pools || (chain.is_none() && pool.is_none()),
            "--chain and --pool are for pools"
        );
        let pool = pool
            .as_ref()
            .map(|text| text.parse::<PoolAddress>().with_context(|| format!("--pool {text}")));
        let (venue, symbol) = (venue.clone(), symbol.clone());
        Ok(Self { venue, symbol, chain: None, pool: pool.transpose()? })
    }

    pub(super) fn market(&self, venue: &str, symbol: &str) -> bool {
        self.venue.as_deref().is_none_or(|wanted| wanted == venue)
            && self.symbol.as_deref().is_none_or(|wanted| wanted == symbol)
    }

    pub(super) fn chain(&self, chain: u64) -> bool {
        self.chain.is_none_or(|wanted| wanted == chain)
    }

    pub(super) fn pool(&self, chain: u64, pool: PoolAddress) -> bool {
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
    fn of(arguments: &ExportArguments, format: Format) -> Result<Self> {
        match (format, arguments.what) {
            (Format::Csv | Format::Parquet, What::Books) => Ok(Self::Books),
            (Format::Csv | Format::Parquet, What::Pools) => Ok(Self::Pools),
            (Format::Csv | Format::Parquet, What::Fills) => Ok(Self::Trades(Trades::default())),
            (Format::Csv | Format::Parquet, _) => {
                bail!("a run has books, pools and fills; the rest is in the history: give --source")
            }
            (Format::Tape, What::Books) => {
                let is_one = arguments.venue.is_some() && arguments.symbol.is_some();
                ensure!(is_one, "a tape is of one book: give --venue and --symbol");
                Ok(Self::Tape(Tape::default()))
            }
            (Format::Tape, _) => bail!("only books can be written as a tape"),
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
    let n_rows = match (&arguments.run, &arguments.source) {
        (Some(run), _) => of_run(arguments, run)?,
        (None, Some(source)) => of_history(arguments, source)?,
        (None, None) => bail!("nothing to export: give --run or --source"),
    };
    super::say(&format!("{}: {n_rows} rows\n", arguments.out.display()));
    Ok(())
}

fn of_run(arguments: &ExportArguments, run: &str) -> Result<u64> {
    let (reader, head) = Reader::open(&arguments.state_dir, Some(run))?;
    let wanted = Wanted::of(arguments, &head.setup)?;
    let format = format(arguments)?;
    let scribe = Scribe::of(arguments, format)?;
    let bar = super::bar(&format!("run {run}"), "facts");
    let written =
        begin(arguments, format).and_then(|part| write(reader, &wanted, scribe, part, &bar));
    bar.finish_and_clear();
    written.with_context(|| format!("exporting run {run}"))
}

fn of_history(arguments: &ExportArguments, source: &str) -> Result<u64> {
    let wanted = Wanted::of_history(arguments)?;
    let format = format(arguments)?;
    ensure!(format != Format::Tape, "a tape is written from a run: give --run");
    let mut part = begin(arguments, format)?;
    let (state_dir, sheet) = (&arguments.state_dir, arguments.what.sheet());
    let n_rows = history::export(state_dir, source, sheet, &wanted, &mut part)?;
    part.finish()?;
    Ok(n_rows)
}

/// What was asked for, or what the file's name says.
fn format(arguments: &ExportArguments) -> Result<Format> {
    let (out, ends_in) = (arguments.out.display(), arguments.out.extension());
    let is_named_parquet = ends_in.is_some_and(|end| end == "parquet");
    let format = match arguments.format {
        None if is_named_parquet => Format::Parquet,
        None => Format::Csv,
        Some(format) => format,
    };
    let is_parquet = format == Format::Parquet;
    ensure!(is_parquet || !is_named_parquet, "{out} would not be Parquet: name it otherwise");
    let is_named_packed = ends_in.is_some_and(|end| end == "gz");
    ensure!(!is_parquet || !is_named_packed, "{out}: Parquet is packed inside, leave .gz out");
    Ok(format)
}

fn begin(arguments: &ExportArguments, format: Format) -> Result<Part> {
    let sheet = arguments.what.sheet();
    match format {
        Format::Parquet => Part::table(&arguments.out, sheet),
        Format::Tape => Part::text(&arguments.out),
        Format::Csv => {
            let mut part = Part::text(&arguments.out)?;
            part.write(&sheet.head())?;
            Ok(part)
        }
    }
}

fn write(
    mut reader: Reader,
    wanted: &Wanted,
    mut scribe: Scribe,
    mut part: Part,
    bar: &ProgressBar,
) -> Result<u64> {
    ensure!(!reader.is_head_altered(), "its head is not what was written: see data verify");
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
