//! Every table in one file, and the way back.
//!
//! The file is one gzip stream of lines: a header (JSON), then for each table its rows as Postgres'
//! `COPY` text, the line `\.` and a footer (JSON) with its sums, at last a trailer (JSON) with the
//! ledger's balances. It knows two tables by name: `schema_steps`, and `postings` for those
//! balances; the rest is what the database says it has. Invariants: a backup is one snapshot; a
//! restore is one transaction into a database without rows, proven or undone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use futures::TryStreamExt as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgCopyIn};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use thiserror::Error;

use crate::model::time::Timestamp;
use crate::store::{StoreError, migrate};

/// The first word of every backup.
const FORMAT: &str = "tidekeeper backup";
/// The only version of its layout.
const VERSION: u32 = 1;
/// Ends the rows of a table; in a row a backslash is always doubled or begins an escape.
const END_OF_ROWS: &[u8] = b"\\.\n";
/// Longest line taken; Postgres itself has no longer value.
const LINE_BYTES_MAX: u64 = 1 << 30;
/// Bytes handed to the database at once.
const SEND_BYTES: usize = 256 << 10;
/// Rows between two tellings of how far the work is.
const TELL_ROWS: u64 = 1_024;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const FILE_MODE: u32 = 0o600;
/// The steps of the schema: every database of ours has rows here.
const STEPS_TABLE: &str = "schema_steps";
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

/// What stands behind the rows of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Footer {
    table: String,
    rows: u64,
    bytes: u64,
    sha256: String,
}

/// Account, unit, and the sum of all postings.
type Balance = (String, String, String);

#[derive(Debug, Serialize, Deserialize)]
struct Trailer {
    balances: Vec<Balance>,
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
    let header = header(&mut snapshot, created).await?;
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
    part.json(&Trailer { balances: balances(&mut snapshot).await? })?;
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
    refuse_rows(connection).await?;
    if found > header.schema_step {
        return Err(BackupError::Prepared { found, wanted: header.schema_step });
    }
    compare_tables(connection, header).await?;
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
    move_sequences(connection).await?;
    if balances(connection).await? != contents.balances {
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

async fn header(connection: &mut PgConnection, created: Timestamp) -> Result<Header, BackupError> {
    let mut tables = tables(connection).await?;
    if !tables.iter().any(|table| table.name == STEPS_TABLE) {
        return Err(BackupError::Nothing);
    }
    for table in &mut tables {
        let statement = format!("select count(*) from {}", quoted(&table.name));
        let rows: i64 =
            sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut *connection).await?;
        table.rows = u64::try_from(rows).unwrap_or(0);
    }
    let schema_step = sqlx::query_scalar("select coalesce(max(step), 0) from schema_steps")
        .fetch_one(&mut *connection)
        .await?;
    Ok(Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        schema_step,
        created_ms: created.ms(),
        tables,
    })
}

/// The tables of the schema we are in with their columns, those referred to first, then by name.
async fn tables(connection: &mut PgConnection) -> Result<Vec<Table>, sqlx::Error> {
    let columns: Vec<(String, String)> = sqlx::query_as(
        "select c.table_name::text, c.column_name::text
         from information_schema.columns c
         join information_schema.tables t
             on t.table_schema = c.table_schema and t.table_name = c.table_name
         where c.table_schema = current_schema()
             and t.table_type = 'BASE TABLE'
             and c.is_generated = 'NEVER'
             and not exists (
                 select 1
                 from pg_class
                 where oid = to_regclass(format('%I.%I', c.table_schema, c.table_name))
                     and relispartition
             )
         order by c.table_name, c.ordinal_position",
    )
    .fetch_all(&mut *connection)
    .await?;
    let references: Vec<(String, String)> = sqlx::query_as(
        "select owner.relname::text, target.relname::text
         from pg_constraint
         join pg_class owner on owner.oid = conrelid
         join pg_class target on target.oid = confrelid
         where contype = 'f' and conrelid <> confrelid",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut waiting: Vec<Table> = Vec::new();
    for (name, column) in columns {
        match waiting.last_mut().filter(|table| table.name == name) {
            Some(table) => table.columns.push(column),
            None => waiting.push(Table { name, columns: vec![column], rows: 0 }),
        }
    }
    Ok(ordered(waiting, &references))
}

/// Tables so that each comes after those it refers to; `references` are (table, table referred to).
fn ordered(mut waiting: Vec<Table>, references: &[(String, String)]) -> Vec<Table> {
    let mut ordered = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let is_waiting = |name: &String| waiting.iter().any(|table| table.name == *name);
        let is_free = |table: &Table| {
            !references.iter().any(|(from, to)| *from == table.name && is_waiting(to))
        };
        // A circle has no right order; the database says so when it is filled.
        let next = waiting.iter().position(is_free).unwrap_or(0);
        ordered.push(waiting.remove(next));
    }
    ordered
}

async fn compare_tables(
    connection: &mut PgConnection,
    header: &Header,
) -> Result<(), BackupError> {
    let plain = |tables: &[Table]| {
        let mut plain: Vec<(String, Vec<String>)> =
            tables.iter().map(|t| (t.name.clone(), t.columns.clone())).collect();
        plain.iter_mut().for_each(|(_, columns)| columns.sort());
        plain.sort();
        plain
    };
    let (here, there) = (plain(&tables(connection).await?), plain(&header.tables));
    let only = |some: &[(String, Vec<String>)], other: &[(String, Vec<String>)]| {
        some.iter().find(|table| !other.contains(table)).map(|(name, _)| name.clone())
    };
    match only(&there, &here).or_else(|| only(&here, &there)) {
        Some(what) => Err(BackupError::Tables { step: header.schema_step, what }),
        None => Ok(()),
    }
}

/// Keeps every other writer out, then makes sure that there was none.
async fn refuse_rows(connection: &mut PgConnection) -> Result<(), BackupError> {
    for Table { name, .. } in tables(connection).await? {
        let lock = format!("lock table {} in access exclusive mode", quoted(&name));
        sqlx::query(AssertSqlSafe(lock)).execute(&mut *connection).await?;
        let statement = format!("select exists (select 1 from {})", quoted(&name));
        let has_rows: bool =
            sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut *connection).await?;
        if has_rows && name != STEPS_TABLE {
            return Err(BackupError::NotEmpty { table: name });
        }
    }
    Ok(())
}

/// Numbers that the database gives go on behind the highest one restored.
async fn move_sequences(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let columns: Vec<(String, String)> = sqlx::query_as(
        "select table_name::text, column_name::text
         from information_schema.columns
         where table_schema = current_schema()
             and (is_identity = 'YES' or column_default like 'nextval(%')
         order by table_name, ordinal_position",
    )
    .fetch_all(&mut *connection)
    .await?;
    for (table, column) in columns {
        let (place, key) = (quoted(&table), quoted(&column));
        let statement = format!(
            "select setval(
                 pg_get_serial_sequence($1, $2)::regclass,
                 coalesce(max({key}), 1)::bigint,
                 max({key}) is not null
             )
             from {place}"
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(&place)
            .bind(&column)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// What the ledger holds, by account and unit.
async fn balances(connection: &mut PgConnection) -> Result<Vec<Balance>, sqlx::Error> {
    let mut balances: Vec<Balance> = sqlx::query_as(
        "select account, unit, sum(amount)::text
         from postings
         group by account, unit",
    )
    .fetch_all(&mut *connection)
    .await?;
    balances.sort();
    Ok(balances)
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
        if sums.rows % TELL_ROWS == 0 {
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
