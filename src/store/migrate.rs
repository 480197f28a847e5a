//! Forward-only schema steps, applied in order in one transaction.

use sqlx::{Connection, PgConnection, PgPool};

use crate::store::StoreError;

/// The steps; never edited once landed, only added to.
const STEPS: [&str; 7] = [
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_cycles.sql"),
    include_str!("migrations/0003_marks.sql"),
    include_str!("migrations/0004_venue_legs.sql"),
    include_str!("migrations/0005_versions.sql"),
    include_str!("migrations/0006_pool_states.sql"),
    include_str!("migrations/0007_openings.sql"),
];

/// Any number of keepers may start at once; one migrates at a time.
const MIGRATION_LOCK: i64 = 0x7469_6465;

/// The newest step that this program knows.
pub(super) fn known() -> i32 {
    i32::try_from(STEPS.len()).expect("a few steps")
}

/// Whether the schema is the one this program knows, for those who only read.
pub(super) async fn is_current(pool: &PgPool) -> Result<(), StoreError> {
    let found: i32 = sqlx::query_scalar("select coalesce(max(step), 0) from schema_steps")
        .fetch_one(pool)
        .await?;
    match found.cmp(&known()) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(StoreError::Newer { found, known: known() }),
        std::cmp::Ordering::Less => Err(StoreError::Older { found, known: known() }),
    }
}

/// Brings the schema to the newest step.
pub(super) async fn run(pool: &PgPool) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    advance(&mut transaction, known()).await?;
    transaction.commit().await?;
    Ok(())
}

/// Applies the steps up to `last` in the caller's transaction; answers the step found before.
pub(super) async fn advance(connection: &mut PgConnection, last: i32) -> Result<i32, StoreError> {
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "create table if not exists schema_steps (
             step int primary key,
             at timestamptz not null default now()
         )",
    )
    .execute(&mut *connection)
    .await?;
    let found: i32 = sqlx::query_scalar("select coalesce(max(step), 0) from schema_steps")
        .fetch_one(&mut *connection)
        .await?;
    if found > known() {
        return Err(StoreError::Newer { found, known: known() });
    }
    for (number, step) in (1_i32..).zip(STEPS) {
        if number > found && number <= last {
            sqlx::raw_sql(step).execute(&mut *connection).await?;
            sqlx::query("insert into schema_steps (step) values ($1)")
                .bind(number)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(found)
}
