//! Forward-only schema steps, applied in order in one transaction.

use sqlx::{Connection, Executor, PgPool};

use crate::store::StoreError;

/// The steps; never edited once landed, only added to.
const STEPS: [&str; 2] =
    [include_str!("migrations/0001_first.sql"), include_str!("migrations/0002_cycles.sql")];

/// Any number of keepers may start at once; one migrates at a time.
const MIGRATION_LOCK: i64 = 0x7469_6465;

/// Brings the schema to the newest step.
pub(super) async fn run(pool: &PgPool) -> Result<(), StoreError> {
    let known = i32::try_from(STEPS.len()).expect("a few steps");
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *transaction)
        .await?;
    transaction
        .execute(
            "create table if not exists schema_steps (
                 step int primary key,
                 at timestamptz not null default now()
             )",
        )
        .await?;
    let found: i32 = sqlx::query_scalar("select coalesce(max(step), 0) from schema_steps")
        .fetch_one(&mut *transaction)
        .await?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (index, step) in STEPS.iter().enumerate() {
        let number = i32::try_from(index).expect("a few steps") + 1;
        if number > found {
            sqlx::raw_sql(*step).execute(&mut *transaction).await?;
            sqlx::query("insert into schema_steps (step) values ($1)")
                .bind(number)
                .execute(&mut *transaction)
                .await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}
