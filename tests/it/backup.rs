//! Backups against the real database: what is restored is what was there, and nothing else ever is.

mod filled;

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy::primitives::Address;
use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rust_decimal::dec;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tidekeeper::config::pool::Dex;
use tidekeeper::engine::output::Record;
use tidekeeper::io::chain::discover::{Found, Terms};
use tidekeeper::io::lock::Lock;
use tidekeeper::ledger::entry::Kind;
use tidekeeper::model::unit::{Account, Unit};
use tidekeeper::store::backup::{self, BackupError, Contents, Header};
use tidekeeper::store::cluster::{Cluster, ClusterOptions, Durability};
use tidekeeper::store::{Batch, Openings, SearchScope, Store, Version};
use tidekeeper::world::cache;

use filled::{
    AMOUNT, CHAIN, SEARCHED_BEFORE, entry, fill_all, instant, openings, search_scope, version,
};

/// What a forger writes instead of [`AMOUNT`].
const FORGED: &str = "1000000000000000000000000000008";
const FIRST_STEP: &str = include_str!("../../src/store/migrations/0001_first.sql");
const WITHOUT_POSTGRES: &str = "opening a cluster; `tools/setup.sh test` brings a Postgres";

/// A directory that every user may pass, removed at the end of the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("tk-backup-{name}-{}", std::process::id()));
        fs::create_dir(&dir).with_context(|| dir.display().to_string())?;
        fs::set_permissions(&dir, Permissions::from_mode(0o755))?;
        Ok(Self(dir.canonicalize()?))
    }

    fn cluster(&self, state: &str) -> Result<Cluster> {
        let options = ClusterOptions {
            state_dir: self.0.join(state),
            durability: Durability::Throwaway,
            cache_dir: cache::find(),
        };
        Cluster::open(&options).context(WITHOUT_POSTGRES)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What remains is litter, and no reason to hide why the test failed.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A database of its own in a cluster.
async fn database(cluster: &Cluster, name: &str) -> Result<PgConnectOptions> {
    let mut connection = cluster.connect_options().connect().await?;
    let statement = format!("create database {name}");
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await?;
    Ok(cluster.connect_options().database(name))
}

async fn tables(connection: &mut PgConnection) -> Result<Vec<String>> {
    let names = "select tablename::text from pg_tables where schemaname = 'public' order by 1";
    Ok(sqlx::query_scalar(names).fetch_all(connection).await?)
}

/// Every row of every table as text, by another way than that of a backup.
async fn dump(connect: &PgConnectOptions) -> Result<Vec<(String, Vec<String>)>> {
    let mut connection = connect.connect().await?;
    let mut dump = Vec::new();
    for name in tables(&mut connection).await? {
        let statement = format!("select t::text from {name} t order by 1");
        let rows = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(&mut connection).await?;
        dump.push((name, rows));
    }
    connection.close().await?;
    Ok(dump)
}

async fn is_bare(connect: &PgConnectOptions) -> Result<bool> {
    let mut connection = connect.connect().await?;
    Ok(tables(&mut connection).await?.is_empty())
}

async fn run_sql(connect: &PgConnectOptions, statement: &'static str) -> Result<()> {
    let mut connection = connect.connect().await?;
    sqlx::raw_sql(statement).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

async fn back_up(connect: &PgConnectOptions, file: &Path) -> Result<Header, BackupError> {
    backup::write(connect, file, instant(0), &mut |_| {}).await
}

async fn verify(file: &Path) -> Result<Contents, BackupError> {
    backup::verify(file, &mut |_| {}).await
}

async fn restore(connect: &PgConnectOptions, file: &Path) -> Result<(), BackupError> {
    let contents = verify(file).await?;
    backup::restore(connect, file, &contents, &mut |_| {}).await
}

/// Runs the real binary.
fn tidekeeper(words: &[&OsStr]) -> Result<Output> {
    let program = env!("CARGO_BIN_EXE_tidekeeper");
    Ok(Command::new(program).arg("db").args(words).env("RUST_LOG", "warn").output()?)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn rehearsal_what_is_restored_is_what_was_there() -> Result<()> {
    let scratch = Scratch::new("rehearsal")?;
    let (state, anew) = (scratch.0.join("state"), scratch.0.join("anew"));
    let file = scratch.0.join("backup");
    // As a running keeper would: its lock is held, and its cluster runs.
    let lock = Lock::agent(&state)?;
    let cluster = scratch.cluster("state")?;
    fill_all(&cluster.connect_options()).await?;
    let before = dump(&cluster.connect_options()).await?;
    let empty: Vec<&String> =
        before.iter().filter(|(_, rows)| rows.is_empty()).map(|(name, _)| name).collect();
    ensure!(empty.is_empty(), "nothing was written to {empty:?}");

    let (flag, out) = (OsStr::new("--state-dir"), OsStr::new("--out"));
    let written = tidekeeper(&["backup".as_ref(), flag, state.as_ref(), out, file.as_ref()])?;
    ensure!(written.status.success(), "{}", said(&written));
    assert_eq!(fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    ensure!(!scratch.0.join("backup.part").exists(), "the unfinished file was left");
    let again = tidekeeper(&["backup".as_ref(), flag, state.as_ref(), out, file.as_ref()])?;
    ensure!(said(&again).contains("exists"), "a backup was overwritten: {}", said(&again));

    let onto = tidekeeper(&["restore".as_ref(), flag, state.as_ref(), file.as_ref()])?;
    ensure!(said(&onto).contains("a keeper is running there"), "{}", said(&onto));
    let restored = tidekeeper(&["restore".as_ref(), flag, anew.as_ref(), file.as_ref()])?;
    ensure!(restored.status.success(), "{}", said(&restored));
    let twice = tidekeeper(&["restore".as_ref(), flag, anew.as_ref(), file.as_ref()])?;
    ensure!(said(&twice).contains("already holds rows"), "{}", said(&twice));

    let other = scratch.cluster("anew")?;
    assert_eq!(dump(&other.connect_options()).await?, before);
    let (old, new) = (
        Store::open(cluster.connect_options()).await?,
        Store::open(other.connect_options()).await?,
    );
    assert_eq!(format!("{:?}", new.load().await?), format!("{:?}", old.load().await?));
    facts_stand_and_numbers_go_on(&other.connect_options(), &new).await?;
    versions_go_on(&new).await?;
    openings_go_on(&new).await?;
    drop(lock);
    Ok(())
}

/// Append-only tables refuse changes, and the database's own numbers do not begin anew.
async fn facts_stand_and_numbers_go_on(connect: &PgConnectOptions, store: &Store) -> Result<()> {
    for statement in [
        "update entries set seq = 0",
        "delete from entries",
        "update postings set amount = 1",
        "delete from postings",
        "delete from fills",
        "update strategy_versions set reason = ''",
        "delete from strategy_versions",
    ] {
        let refused = run_sql(connect, statement).await.err().context(statement)?;
        ensure!(format!("{refused:#}").contains("append-only"), "{statement}: {refused:#}");
    }
    let note = Record::Note { kind: "mode", body: json!({}) };
    let batch = Batch { seq: 2, at: instant(6), records: vec![note], ..Batch::default() };
    store.commit(batch).await.map_err(|(_, error)| error)?;
    let mut connection = connect.connect().await?;
    let newest: i64 =
        sqlx::query_scalar("select max(id) from notes").fetch_one(&mut connection).await?;
    assert_eq!(newest, 3);
    Ok(())
}

/// Versions read back as they were kept, newest first, and a number is taken once.
async fn versions_go_on(store: &Store) -> Result<()> {
    assert_eq!(store.versions("lp").await?, [version(2), version(1)]);
    assert_eq!(store.newest_version("lp").await?, Some(version(2)));
    assert_eq!(store.newest_version("other").await?, None);
    let other = Version { reason: "another".into(), ..version(2) };
    ensure!(!store.add_version("lp", &other).await?, "a version was kept twice");
    ensure!(store.add_version("other", &version(1)).await?, "another strategy has its own");
    ensure!(store.add_version("lp", &version(3)).await?, "the next one is free");
    assert_eq!(store.versions("lp").await?, [version(3), version(2), version(1)]);
    Ok(())
}

/// Pools that a search found read back as they were, it goes on where it ended, and another one
/// begins anew.
async fn openings_go_on(store: &Store) -> Result<()> {
    let (scope, [pair, v3, v4]) = (search_scope(), openings());
    let all = Openings { found: vec![pair, v3, v4], next: SEARCHED_BEFORE };
    assert_eq!(store.openings(&scope).await?, all);
    let later = SearchScope { from: 6, ..search_scope() };
    let since = Openings { found: vec![v3, v4], ..all.clone() };
    assert_eq!(store.openings(&later).await?, since);
    let coins = vec![Address::with_last_byte(2), Address::ZERO];
    let sources = scope.sources.iter().copied().chain([(Dex::SushiswapV3, v3.source)]).collect();
    // Another search begins anew, and knows what was found between its own coins.
    let of_coins = all.found.iter().copied();
    let of_coins = of_coins.filter(|f| f.coins.iter().all(|coin| coins.contains(coin))).collect();
    for (other, found) in [
        (SearchScope { from: 2, ..search_scope() }, all.found),
        (SearchScope { coins: coins.clone(), ..search_scope() }, of_coins),
        (SearchScope { sources, ..search_scope() }, vec![pair, v3, v4]),
        (SearchScope { chain: CHAIN + 1, ..search_scope() }, Vec::new()),
    ] {
        let begun = Openings { found, next: other.from };
        assert_eq!(store.openings(&other).await?, begun, "{other:?}");
    }
    // What is added twice is there once, and the first block stays the lowest.
    let terms = Terms::V3 { pool: Address::with_last_byte(1), fee_pips: 500 };
    let newest = Found { terms, block: 12, ..v3 };
    store.keep_openings(&later, &[v4, newest], 20).await?;
    let all = Openings { found: vec![pair, v3, v4, newest], next: 20 };
    assert_eq!(store.openings(&scope).await?, all);
    // One that begins earlier goes over the same blocks again and loses nothing.
    let anew = SearchScope { from: 2, ..search_scope() };
    store.keep_openings(&anew, &[pair], 6).await?;
    let again = Openings { next: 6, ..all };
    assert_eq!(store.openings(&anew).await?, again);
    assert_eq!(store.openings(&scope).await?, again);
    Ok(())
}

#[tokio::test]
async fn a_damaged_backup_is_refused_and_changes_nothing() -> Result<()> {
    let scratch = Scratch::new("damaged")?;
    let cluster = scratch.cluster("state")?;
    let source = database(&cluster, "source").await?;
    let target = database(&cluster, "target").await?;
    fill_all(&source).await?;
    let (file, other) = (scratch.0.join("backup"), scratch.0.join("other"));
    back_up(&source, &file).await?;
    verify(&file).await?;
    let whole = fs::read(&file)?;
    for place in [0, 12, whole.len() / 3, whole.len() / 2, whole.len() - 5, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[place] ^= 0x10;
        fs::write(&other, flipped)?;
        let refused = restore(&target, &other).await;
        let is_damaged = matches!(refused, Err(BackupError::Damaged { .. }));
        ensure!(is_damaged, "byte {place} of {}: {refused:?}", whole.len());
    }
    for changed in [whole[..whole.len() - 9].to_vec(), [whole.as_slice(), b"x"].concat()] {
        fs::write(&other, changed)?;
        let refused = restore(&target, &other).await;
        ensure!(matches!(refused, Err(BackupError::Damaged { .. })), "{refused:?}");
    }
    ensure!(is_bare(&target).await?, "a damaged backup left something");

    // Every sum fits but that of the ledger, which is found when all rows are there already.
    let mut text = String::new();
    GzDecoder::new(whole.as_slice()).read_to_string(&mut text)?;
    let mut stream = GzEncoder::new(fs::File::create(&other)?, Compression::fast());
    stream.write_all(forged(&text)?.as_bytes())?;
    stream.finish()?;
    let refused = restore(&target, &other).await;
    ensure!(matches!(refused, Err(BackupError::Sums { .. })), "{refused:?}");
    ensure!(is_bare(&target).await?, "a forged backup left something");
    Ok(())
}

/// The text of a backup with another amount in one posting, and the sums of its table made to fit.
fn forged(text: &str) -> Result<String> {
    let text = text.replacen(&format!("\t{AMOUNT}\n"), &format!("\t{FORGED}\n"), 1);
    let footer_at = text.find("{\"table\":\"postings\"").context("no footer of postings")?;
    let rows_end = footer_at - "\\.\n".len();
    let rows_start = text[..rows_end].rfind("}\n").context("nothing before postings")? + 2;
    let footer: Value = serde_json::from_str(text[footer_at..].lines().next().unwrap_or(""))?;
    let sum = footer["sha256"].as_str().context("no sum of postings")?;
    let forged_sum = hex::encode(Sha256::digest(&text.as_bytes()[rows_start..rows_end]));
    ensure!(sum != forged_sum, "the forgery changed nothing");
    Ok(text.replace(sum, &forged_sum))
}

#[tokio::test]
async fn only_a_database_without_rows_is_filled() -> Result<()> {
    let scratch = Scratch::new("targets")?;
    let cluster = scratch.cluster("state")?;
    let source = database(&cluster, "source").await?;
    fill_all(&source).await?;
    let before = dump(&source).await?;
    let file = scratch.0.join("backup");
    let header = back_up(&source, &file).await?;
    assert_eq!(header.schema_step, backup::schema_known());
    let names: Vec<&str> = header.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names.len(), before.len());

    let refused = restore(&source, &file).await;
    ensure!(matches!(refused, Err(BackupError::NotEmpty { .. })), "{refused:?}");
    assert_eq!(dump(&source).await?, before);

    let fresh = database(&cluster, "fresh").await?;
    Store::open(fresh.clone()).await?.close().await;
    restore(&fresh, &file).await?;
    assert_eq!(dump(&fresh).await?, before);

    let nothing = database(&cluster, "nothing").await?;
    let refused = back_up(&nothing, &scratch.0.join("none")).await;
    ensure!(matches!(refused, Err(BackupError::Nothing)), "{refused:?}");
    ensure!(!scratch.0.join("none.part").exists(), "the unfinished file was left");

    run_sql(&source, "insert into schema_steps (step) values (99)").await?;
    let newer = scratch.0.join("newer");
    back_up(&source, &newer).await?;
    let refused = restore(&nothing, &newer).await;
    ensure!(matches!(refused, Err(BackupError::Newer { found: 99, .. })), "{refused:?}");
    ensure!(is_bare(&nothing).await?, "a newer backup left something");
    Ok(())
}

#[tokio::test]
async fn an_older_schema_is_brought_forward() -> Result<()> {
    let scratch = Scratch::new("older")?;
    let cluster = scratch.cluster("state")?;
    let old = database(&cluster, "old").await?;
    run_sql(&old, FIRST_STEP).await?;
    run_sql(
        &old,
        "create table schema_steps (step int primary key, at timestamptz not null default now());
         insert into schema_steps (step) values (1);
         insert into memory (key, value) values ('opening_value', '\"7\"')",
    )
    .await?;
    let file = scratch.0.join("backup");
    assert_eq!(back_up(&old, &file).await?.schema_step, 1);

    let fresh = database(&cluster, "fresh").await?;
    Store::open(fresh.clone()).await?.close().await;
    let refused = restore(&fresh, &file).await;
    ensure!(matches!(refused, Err(BackupError::Prepared { wanted: 1, .. })), "{refused:?}");

    let forward = database(&cluster, "forward").await?;
    restore(&forward, &file).await?;
    let store = Store::open(forward.clone()).await?;
    assert_eq!(store.load().await?.opening_value, Some(dec!(7)));
    store.close().await;
    let steps = dump(&forward).await?.into_iter().find(|(name, _)| name == "schema_steps");
    let n_steps = steps.map_or(0, |(_, rows)| rows.len());
    assert_eq!(i32::try_from(n_steps)?, backup::schema_known());
    Ok(())
}

#[tokio::test]
async fn a_backup_is_one_instant_while_rows_arrive() -> Result<()> {
    let scratch = Scratch::new("instant")?;
    let cluster = scratch.cluster("state")?;
    let source = database(&cluster, "source").await?;
    fill_all(&source).await?;
    let store = Store::open(source.clone()).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let (writer, seen) = (store.clone(), Arc::clone(&is_over));
    let writing = tokio::spawn(async move {
        let (place, unit) =
            (Account::Venue { venue: "hedge".into() }, Unit::Native { chain: CHAIN });
        let mut n = 0_u64;
        while !seen.load(Ordering::Relaxed) {
            n += 1;
            let entry = entry(Kind::Deposit, &format!("gift {n}"), &place, &unit, "1")?;
            let records = vec![Record::Entry(entry)];
            let batch = Batch { seq: n, at: instant(7), records, ..Batch::default() };
            writer.commit(batch).await.map_err(|(_, error)| error)?;
        }
        anyhow::Ok(n)
    });
    let file = scratch.0.join("backup");
    let header = back_up(&source, &file).await;
    is_over.store(true, Ordering::Relaxed);
    let n_written = writing.await??;
    let header = header?;
    store.close().await;
    ensure!(n_written > 0, "nothing was written meanwhile");

    let target = database(&cluster, "target").await?;
    restore(&target, &file).await?;
    let rows = dump(&target).await?;
    let rows_of = |name: &str| rows.iter().find(|(table, _)| table == name).map(|(_, r)| r.len());
    for table in &header.tables {
        assert_eq!(rows_of(&table.name), usize::try_from(table.rows).ok(), "{}", table.name);
    }
    let (n_entries, n_postings) = (rows_of("entries"), rows_of("postings"));
    assert_eq!(n_postings, n_entries.map(|n| 2 * n), "an entry was cut in two");
    Ok(())
}
