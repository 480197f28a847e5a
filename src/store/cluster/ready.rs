//! Whether the server really answers: a query in our database, which is made when it is missing.

use std::io;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::store::cluster::{ClusterError, DATABASE};

/// Recovery after a crash replays up to a gigabyte of the write-ahead log.
const READY_LIMIT: Duration = Duration::from_mins(2);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const LOOK_STEP: Duration = Duration::from_millis(10);
/// SQL states, Postgres documentation, appendix A.
const NO_SUCH_DATABASE: &str = "3D000";
const DATABASE_EXISTS: &str = "42P04";
/// Starting, recovering or shutting down: 57P01 to 57P03.
const NOT_NOW: &str = "57P0";
/// The database every cluster has, to make ours from.
const FIRST_DATABASE: &str = "postgres";

/// How waiting for the server ended.
#[derive(Debug)]
pub(super) enum Readiness {
    /// It answered in our database.
    Ready,
    /// The process ended first.
    Ended,
}

/// Waits until the server answers a query in our database, or its process ends. Blocks the thread;
/// may be called from anywhere, since it brings its own runtime on its own thread.
pub(super) fn await_ready(
    options: &PgConnectOptions,
    is_running: impl Fn() -> bool + Send,
) -> Result<Readiness, ClusterError> {
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|source| ClusterError::Runtime { source })?;
            let waiting = look_until_ready(options, is_running);
            runtime
                .block_on(async { tokio::time::timeout(READY_LIMIT, waiting).await })
                .unwrap_or(Err(ClusterError::Unready { limit_s: READY_LIMIT.as_secs() }))
        });
        waiting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Bounded by the caller's timeout.
async fn look_until_ready(
    options: &PgConnectOptions,
    is_running: impl Fn() -> bool,
) -> Result<Readiness, ClusterError> {
    while is_running() {
        match query_once(options).await {
            Ok(()) => return Ok(Readiness::Ready),
            Err(error) => match code(&error).as_deref() {
                Some(NO_SUCH_DATABASE) => make_database(options).await?,
                None => {}
                Some(code) if code.starts_with(NOT_NOW) => {}
                Some(_) => return Err(ClusterError::Query { source: error }),
            },
        }
        tokio::time::sleep(LOOK_STEP).await;
    }
    Ok(Readiness::Ended)
}

async fn query_once(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let mut connection = connect(options).await?;
    sqlx::query("select 1").execute(&mut connection).await?;
    connection.close().await
}

async fn make_database(options: &PgConnectOptions) -> Result<(), ClusterError> {
    let make = async {
        let mut connection = connect(&options.clone().database(FIRST_DATABASE)).await?;
        // A database name cannot be a parameter; this one is a constant.
        let statement = AssertSqlSafe(format!("create database {DATABASE}"));
        sqlx::query(statement).execute(&mut connection).await?;
        connection.close().await
    };
    match make.await {
        Err(error) if code(&error).as_deref() != Some(DATABASE_EXISTS) => {
            Err(ClusterError::Query { source: error })
        }
        _ => Ok(()),
    }
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let connecting = tokio::time::timeout(CONNECT_LIMIT, options.connect());
    connecting.await.unwrap_or(Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
}

/// The SQL state when the server spoke at all.
fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(Into::into)
}
