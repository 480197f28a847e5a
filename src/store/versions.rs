//! Table `strategy_versions`: what the file of each strategy said, and why it changed.

use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::config::editable::Difference;
use crate::model::time::Timestamp;
use crate::store::load::{at, micros};
use crate::store::rows::{bigint, instant, read_u64};
use crate::store::{Store, StoreError};

const TABLE: &str = "strategy_versions";
/// Versions told at once, the newest ones.
const TOLD_MAX: i64 = 500;

/// One version of a strategy's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// From 1, without gaps.
    pub version: u64,
    /// When it was kept.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// What is not the same as in the version before.
    pub diff: Vec<Difference>,
    /// The whole file.
    pub text: String,
}

impl Store {
    /// The newest versions of a strategy's file, newest first.
    ///
    /// # Errors
    /// `StoreError`.
    pub async fn versions(&self, strategy: &str) -> Result<Vec<Version>, StoreError> {
        self.newest_versions(strategy, TOLD_MAX).await
    }

    /// The newest version of a strategy's file; `None` before the first.
    ///
    /// # Errors
    /// `StoreError`.
    pub async fn newest_version(&self, strategy: &str) -> Result<Option<Version>, StoreError> {
        Ok(self.newest_versions(strategy, 1).await?.pop())
    }

    /// Keeps a version; false when its number is taken, and then nothing is kept.
    ///
    /// # Errors
    /// `StoreError`; then it is unknown whether the version was kept.
    pub async fn add_version(&self, strategy: &str, new: &Version) -> Result<bool, StoreError> {
        let diff = serde_json::to_value(&new.diff)
            .map_err(|error| StoreError::Row { table: TABLE, what: error.to_string() })?;
        let done = sqlx::query(
            "insert into strategy_versions (strategy, version, at, reason, diff, text)
             values ($1, $2, $3::text::timestamptz, $4, $5, $6)
             on conflict do nothing",
        )
        .bind(strategy)
        .bind(bigint(new.version))
        .bind(instant(new.at))
        .bind(&new.reason)
        .bind(diff)
        .bind(&new.text)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    async fn newest_versions(
        &self,
        strategy: &str,
        limit: i64,
    ) -> Result<Vec<Version>, StoreError> {
        let statement = format!(
            "select version, {}, reason, diff, text
             from strategy_versions
             where strategy = $1
             order by version desc
             limit $2",
            micros("at")
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(strategy)
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(version).collect()
    }
}

fn version(row: &PgRow) -> Result<Version, StoreError> {
    let diff: serde_json::Value = row.try_get("diff")?;
    let diff = serde_json::from_value(diff)
        .map_err(|error| StoreError::Row { table: TABLE, what: format!("diff: {error}") })?;
    Ok(Version {
        version: read_u64(row, "version")?,
        at: at(row, "at")?,
        reason: row.try_get("reason")?,
        diff,
        text: row.try_get("text")?,
    })
}
