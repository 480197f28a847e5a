//! Every table in one file, and the way back.
//!
//! The file is one gzip stream of lines: a header (JSON), then for each table its rows as Postgres'
//! `COPY` text, the line `\.` and a footer (JSON) with its sums, at last a trailer (JSON) with the
//! ledger's balances. It knows two tables by name: `schema_steps`, and `postings` for those
//! balances; the rest is what the database says it has. Invariants: a backup is one snapshot; a
//! restore is one transaction into a database without rows, proven or undone.

mod file;
mod tables;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgCopyIn};
use sqlx::{ConnectOptions, Connection, PgConnection};
use thiserror::Error;

use crate::model::time::Timestamp;
use crate::store::backup::file::{Balance, END_OF_ROWS, Footer, Part, Source, Sums, Trailer};
use crate::store::backup::tables::{listed, quoted};
use crate::store::{StoreError, migrate};

/// Bytes handed to the database at once.
const SEND_BYTES: usize = 256 << 10;
/// Rows between two tellings of how far the work is.
const TELL_ROWS: u64 = 1_024;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const SNAPSHOT: &str = "begin isolation level repeatable read, read only";
/// Whatever the operator's server is set to, values are written and read the same way.
const SETTINGS: &str = "set local datestyle = 'ISO, YMD';
     set local timezone = 'UTC';
     set local bytea_output = 'hex';
     set local extra_float_digits = 3;
     set local synchronize_seqscans = off;
     set local statement_timeout = 0;
     set local idle_in_transaction_session_timeout = 0";

/// No backup, or no restore; the database is as it was.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The database answered with an error or not at all.
    #[error("the database refused")]
    Database(#[from] sqlx::Error),
    /// The schema cannot be made.
    #[error(transparent)]
    Schema(#[from] StoreError),
    /// A file cannot be used.
    #[error("cannot use {}", .path.display())]
    File { path: PathBuf, source: io::Error },
    /// The file to be written is there.
    #[error("{} exists: name another file, or move it away", .path.display())]
    Exists { path: PathBuf },
    /// The file is not what was once written.
    #[error("{} is not a whole backup ({what}): use another one", .path.display())]
    Damaged { path: PathBuf, what: String },
    /// The file was written by a newer program.
    #[error("the backup has {what} {found}, this program knows {known}: use the newer program")]
    Newer { what: &'static str, found: i64, known: i64 },
    /// There is nothing of ours to keep.
    #[error("the database holds no table of ours: there is nothing to back up")]
    Nothing,
    /// The database is in use.
    #[error(
        "the database already holds rows ({table}): restore into a new state directory, or into an \
         empty database"
    )]
    NotEmpty { table: String },
    /// The schema is there, and newer than the file's.
    #[error(
        "the database was prepared with schema {found}, the backup has {wanted}: restore into a \
         new state directory, or into an empty database, and it is brought forward"
    )]
    Prepared { found: i32, wanted: i32 },
    /// The schema of the file is not the one its step has.
    #[error("the backup and schema {step} do not have the same tables ({what})")]
    Tables { step: i32, what: String },
    /// What was read back is not what the file says.
    #[error("{what} is not what the backup says: nothing was restored")]
    Sums { what: String },
}

/// How far the work is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// What is being done.
    pub work: &'static str,
    /// The table it is at.
    pub table: &'a str,
    /// Rows done.
    pub rows: u64,
    /// Rows in all.
    pub rows_total: u64,
}

/// Who is told how far the work is.
pub type Tell<'t> = &'t mut dyn FnMut(Progress<'_>);

/// A table of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns, in the order of the rows' values.
    pub columns: Vec<String>,
    /// How many rows it has.
    pub rows: u64,
}

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Always `tidekeeper backup`.
    pub format: String,
    /// Version of the layout.
    pub version: u32,
    /// Version of the program that wrote it.
    pub program: String,
    /// Newest step of the schema.
    pub schema_step: i32,
    /// When it was written.
    pub created_ms: i64,
    /// Its tables; those referred to come first.
    pub tables: Vec<Table>,
}

impl Header {
    /// Rows of all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// A backup that was read whole and has every sum it says: made by [`verify`] alone.
#[derive(Debug)]
pub struct Contents {
    header: Header,
    footers: Vec<Footer>,
    balances: Vec<Balance>,
}

impl Contents {
    /// What the backup says of itself.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }
}

/// The newest step of the schema that this program knows.
#[must_use]
pub fn schema_known() -> i32 {
    migrate::known()
}

/// Writes all tables of a database, as they are at one instant, into a file that must not exist.
/// Others may go on writing to the database.
///
/// # Errors
/// `BackupError`; then there is no file.
pub async fn write(
    options: &PgConnectOptions,
    path: &Path,
    created: Timestamp,
    tell: Tell<'_>,
) -> Result<Header, BackupError> {
    let mut part = Part::create(path)?;
    let mut connection = connect(options).await?;
    let mut snapshot = connection.begin_with(SNAPSHOT).await?;
    sqlx::raw_sql(SETTINGS).execute(&mut *snapshot).await?;
    let header = tables::header(&mut snapshot, created).await?;
    part.json(&header)?;
    let mut before = 0;
    for table in &header.tables {
        let footer = copy_out(&mut snapshot, table, &mut part, &mut |rows| {
            let (rows, rows_total) = (before + rows, header.rows());
            tell(Progress { work: "backing up", table: &table.name, rows, rows_total });
        })
        .await?;
        if footer.rows != table.rows {
            return Err(BackupError::Sums { what: format!("the count of rows of {}", table.name) });
        }
        before += footer.rows;
        part.write(END_OF_ROWS)?;
        part.json(&footer)?;
    }
    part.json(&Trailer { balances: tables::balances(&mut snapshot).await? })?;
    snapshot.rollback().await?;
    connection.close().await?;
    part.finish()?;
    Ok(header)
}

/// Reads a backup to its end and checks every sum in it.
///
/// # Errors
/// `BackupError`.
pub async fn verify(path: &Path, tell: Tell<'_>) -> Result<Contents, BackupError> {
    let mut source = Source::open(path)?;
    let header: Header = source.header()?;
    let mut before = 0;
    let mut footers = Vec::with_capacity(header.tables.len());
    for table in &header.tables {
        let found = pump(&mut source, None, &mut |rows| {
            let (rows, rows_total) = (before + rows, header.rows());
            tell(Progress { work: "checking", table: &table.name, rows, rows_total });
        })
        .await?;
        let footer: Footer = source.json()?;
        if found.footer(&table.name) != footer || footer.rows != table.rows {
            return Err(source.damaged(format!("the sums of {} do not fit its rows", table.name)));
        }
        before += footer.rows;
        footers.push(footer);
    }
    let Trailer { balances } = source.json()?;
    source.end()?;
    Ok(Contents { header, footers, balances })
}

/// Fills a database without rows from a backup, and brings its schema to the newest step.
///
/// # Errors
/// `BackupError`; then the database is as it was.
pub async fn restore(
    options: &PgConnectOptions,
    path: &Path,
    contents: &Contents,
    tell: Tell<'_>,
) -> Result<(), BackupError> {
    let (found, known) = (contents.header.schema_step, migrate::known());
    if found > known {
        let (found, known) = (found.into(), known.into());
        return Err(BackupError::Newer { what: "schema", found, known });
    }
    let mut connection = connect(options).await?;
    let mut transaction = connection.begin().await?;
    match fill(&mut transaction, path, contents, tell).await {
        Ok(()) => transaction.commit().await?,
        Err(error) => {
            // A connection that is gone rolls back as well, and says less than the first error.
            let _ = transaction.rollback().await;
            return Err(error);
        }
    }
    connection.close().await?;
    Ok(())
}

async fn fill(
    connection: &mut PgConnection,
    path: &Path,
    contents: &Contents,
    tell: Tell<'_>,
) -> Result<(), BackupError> {
    let header = &contents.header;
    sqlx::raw_sql(SETTINGS).execute(&mut *connection).await?;
    let found = migrate::advance(connection, header.schema_step).await?;
    tables::refuse_rows(connection).await?;
    if found > header.schema_step {
        return Err(BackupError::Prepared { found, wanted: header.schema_step });
    }
    tables::compare(connection, header).await?;
    sqlx::query("delete from schema_steps").execute(&mut *connection).await?;
    let mut source = Source::open(path)?;
    if source.header()? != *header {
        return Err(source.damaged("it was changed while it was read"));
    }
    let mut before = 0;
    for (table, footer) in header.tables.iter().zip(&contents.footers) {
        let found = copy_in(connection, table, &mut source, &mut |rows| {
            let (rows, rows_total) = (before + rows, header.rows());
            tell(Progress { work: "restoring", table: &table.name, rows, rows_total });
        })
        .await?;
        if found != *footer || source.json::<Footer>()? != *footer {
            return Err(source.damaged("it was changed while it was read"));
        }
        before += footer.rows;
    }
    tables::move_sequences(connection).await?;
    if tables::balances(connection).await? != contents.balances {
        let what = "the ledger's balance of some account and unit".to_owned();
        return Err(BackupError::Sums { what });
    }
    migrate::advance(connection, migrate::known()).await?;
    Ok(())
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let connecting = tokio::time::timeout(CONNECT_LIMIT, options.connect());
    connecting.await.unwrap_or(Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
}

async fn copy_out(
    connection: &mut PgConnection,
    table: &Table,
    part: &mut Part,
    told: &mut dyn FnMut(u64),
) -> Result<Footer, BackupError> {
    let (columns, place) = (listed(&table.columns), quoted(&table.name));
    let statement = format!("copy (select {columns} from {place}) to stdout");
    let mut sums = Sums::default();
    let mut rows = connection.copy_out_raw(&statement).await?;
    while let Some(bytes) = rows.try_next().await? {
        sums.add(&bytes);
        part.write(&bytes)?;
        if sums.rows.is_multiple_of(TELL_ROWS) {
            told(sums.rows);
        }
    }
    told(sums.rows);
    Ok(sums.footer(&table.name))
}

async fn copy_in(
    connection: &mut PgConnection,
    table: &Table,
    source: &mut Source,
    told: &mut dyn FnMut(u64),
) -> Result<Footer, BackupError> {
    let (columns, place) = (listed(&table.columns), quoted(&table.name));
    let statement = format!("copy {place} ({columns}) from stdin");
    let mut copy = connection.copy_in_raw(&statement).await?;
    match pump(source, Some(&mut copy), told).await {
        Ok(sums) => {
            let rows = copy.finish().await?;
            if rows != sums.rows {
                let what = format!("the count of rows of {}", table.name);
                return Err(BackupError::Sums { what });
            }
            Ok(sums.footer(&table.name))
        }
        Err(error) => {
            // The transaction is given up anyway; the first error is the one to tell.
            let _ = copy.abort("the backup cannot be read").await;
            Err(error)
        }
    }
}

/// Reads a table's rows up to their end, and hands them on when somebody takes them.
async fn pump(
    source: &mut Source,
    mut copy: Option<&mut PgCopyIn<&mut PgConnection>>,
    told: &mut dyn FnMut(u64),
) -> Result<Sums, BackupError> {
    let (mut sums, mut line, mut held) = (Sums::default(), Vec::new(), Vec::new());
    loop {
        source.line(&mut line)?;
        let is_end = line == END_OF_ROWS;
        if !is_end {
            sums.add(&line);
            held.extend_from_slice(&line);
        }
        if is_end || held.len() >= SEND_BYTES {
            if let Some(copy) = copy.as_deref_mut()
                && !held.is_empty()
            {
                copy.send(held.as_slice()).await?;
            }
            held.clear();
            told(sums.rows);
            // Reading alone never waits: whoever wants to stop us gets a turn.
            tokio::task::yield_now().await;
        }
        if is_end {
            return Ok(sums);
        }
    }
}
