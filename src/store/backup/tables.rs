//! What a database says of its tables, and what a restore asks of them.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::model::time::Timestamp;
use crate::store::backup::file::{Balance, FORMAT, VERSION};
use crate::store::backup::{BackupError, Header, Table};

/// The steps of the schema: every database of ours has rows here.
const STEPS_TABLE: &str = "schema_steps";

/// What a backup of this database will say of itself.
pub(super) async fn header(
    connection: &mut PgConnection,
    created: Timestamp,
) -> Result<Header, BackupError> {
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
    let schema_step: i32 = sqlx::query_scalar("select coalesce(max(step), 0) from schema_steps")
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

/// Makes sure that a backup and the database have the same tables with the same columns.
pub(super) async fn compare(
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
pub(super) async fn refuse_rows(connection: &mut PgConnection) -> Result<(), BackupError> {
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
pub(super) async fn move_sequences(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
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
pub(super) async fn balances(connection: &mut PgConnection) -> Result<Vec<Balance>, sqlx::Error> {
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

/// The columns of a table as a list in a statement.
pub(super) fn listed(columns: &[String]) -> String {
    columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}

/// A name as it stands in a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tables: &[&str], references: &[(&str, &str)]) -> Vec<String> {
        let table = |name: &&str| Table { name: (*name).into(), columns: Vec::new(), rows: 0 };
        let references: Vec<(String, String)> =
            references.iter().map(|(from, to)| ((*from).into(), (*to).into())).collect();
        let ordered = ordered(tables.iter().map(table).collect(), &references);
        ordered.into_iter().map(|table| table.name).collect()
    }

    #[test]
    fn a_table_comes_after_those_it_refers_to() {
        let references = [("a", "c"), ("c", "d"), ("b", "elsewhere")];
        assert_eq!(names(&["a", "b", "c", "d"], &references), ["b", "d", "c", "a"]);
        assert_eq!(names(&["a", "b"], &[("a", "b"), ("b", "a")]), ["a", "b"]);
        assert_eq!(names(&["b", "a"], &[]), ["b", "a"]);
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(listed(&["a\"b".into(), "c".into()]), "\"a\"\"b\", \"c\"");
    }
}
