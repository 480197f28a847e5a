//! Whose money a database is about, remembered from its first start on.

use serde_json::json;

use crate::store::{Store, StoreError, rows};

/// The word of real accounts; a demo's play money is really sent as well.
pub const REAL_MONEY: &str = "real money";
/// Name of the remembered value.
const KEY: &str = "money";

impl Store {
    /// Takes the database for one kind of money, or refuses it when it is about another one.
    ///
    /// # Errors
    /// `StoreError::OtherMoney`, and when the database does not answer.
    pub async fn claim(&self, wanted: &str) -> Result<(), StoreError> {
        let remembered = self.remembered(KEY).await?;
        let found = match remembered.as_ref().and_then(serde_json::Value::as_str) {
            Some(found) => found.to_owned(),
            // Books older than this question were never pretended.
            None if self.has_entries().await? => REAL_MONEY.to_owned(),
            None => wanted.to_owned(),
        };
        if found != wanted {
            return Err(StoreError::OtherMoney { found, wanted: wanted.to_owned() });
        }
        let mut connection = self.pool.acquire().await?;
        rows::remember(&mut connection, KEY, &json!(wanted)).await
    }

    async fn has_entries(&self) -> Result<bool, StoreError> {
        let found: bool = sqlx::query_scalar("select exists (select 1 from entries)")
            .fetch_one(&self.pool)
            .await?;
        Ok(found)
    }
}
