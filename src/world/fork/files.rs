//! The operator's files as the agent of a fork reads them: the same decisions, and nothing that
//! leads to real money, to another machine or to the operator's own state.
//!
//! What is changed has its key in [`OURS`], so that no environment variable changes it back.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use anyhow::{Context, Result, anyhow};
use toml::{Table, Value};

use crate::config::chain::Chain;
use crate::config::problem::Problem;
use crate::config::{self, Config};
use crate::exchange::{DEMO_API_KEY, DEMO_API_SECRET};
use crate::world::anvil::AnvilProcess;
use crate::world::fork::UPSTREAM_VARIABLE;
use crate::world::fork::cast::Cast;
use crate::world::venue::LocalExchange;

/// Names of the variables the fork's files refer to.
const KEY_VARIABLE: &str = "TK_FORK_SIGNER_KEY";
const API_KEY_VARIABLE: &str = "TK_FORK_API_KEY";
const API_SECRET_VARIABLE: &str = "TK_FORK_API_SECRET";
/// Endings of the keys that the fork decides.
const OURS: [&str; 16] = [
    "agent.mode",
    "agent.api.listen",
    "agent.safety.halt_file",
    "agent.store.url_env",
    ".private_key_env",
    ".api_key_env",
    ".api_secret_env",
    ".rest_url",
    ".ws_url",
    ".chain_id",
    ".gas.fee_model",
    ".ingest.block_time_ms",
    ".ingest.stale_after_ms",
    ".ingest.audit_pool_every_blocks",
    ".executor.address",
    ".stage",
];
/// Keys of a signer: its kind decides which others it has.
const OUR_SIGNERS: &str = "agent.signers.";
/// Pools and wallet are compared with the chain so often: the end of a run waits for it.
const AUDIT_EVERY_BLOCKS: i64 = 1;

/// The world that the files lead to.
pub(super) struct Ground<'g> {
    /// The fork's folder.
    pub(super) dir: &'g Path,
    /// Address of the page.
    pub(super) listen: &'g str,
    /// The fork's own id.
    pub(super) chain_id: u64,
    /// Seconds between its blocks.
    pub(super) block_time_s: u64,
    pub(super) anvil: &'g AnvilProcess,
    pub(super) exchange: &'g LocalExchange,
    /// An executor that obeys the fork's signer, when the operator has one.
    pub(super) executor: Option<Address>,
}

/// Writes the files; the folder, and what they say.
pub(super) fn write(
    ground: &Ground<'_>,
    cast: &Cast<'_>,
    files: &[(PathBuf, String)],
    operator: &Config,
) -> Result<(PathBuf, Config)> {
    let table = |(path, text): &(PathBuf, String)| -> Result<(PathBuf, Table)> {
        let table = text.parse::<Table>().with_context(|| format!("reading {}", path.display()))?;
        Ok((path.clone(), table))
    };
    let tables = files.iter().map(table).collect::<Result<Vec<_>>>()?;
    let root = ground.dir.join("config");
    let (path, table) = agent_file(&tables)?;
    let mut texts = vec![text_at(&root, path, &agent(table.clone(), ground, cast)?)?];
    let (path, table) = named(&tables, "name", &cast.chain.name)?;
    let chains = root.join("chains");
    texts.push(text_at(&chains, path, &chain(table.clone(), ground, cast.chain)?)?);
    for strategy in &cast.strategies {
        let id = strategy.id();
        let (path, table) = named(&tables, "id", id)?;
        let mut table = table.clone();
        set(&mut table, "stage", "live");
        if let Some((_, owner)) = cast.adopted.iter().find(|(of, _)| *of == id) {
            let (_, owner) = named(&tables, "id", owner)?;
            let hedge = owner.get("hedge").context("a hedging strategy has no [hedge]")?;
            set(&mut table, "hedge", hedge.clone());
        }
        texts.push(text_at(&root.join("strategies"), path, &table)?);
    }
    let outside = |name: &str| {
        let key = operator.overrides.get(name)?;
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        (!is_ours(key)).then_some(value)
    };
    let forked = config::load(&texts, &outside).map_err(|problems| refused(&problems))?;
    for (path, text) in &texts {
        let folder = path.parent().context("every file has a folder")?;
        std::fs::create_dir_all(folder)?;
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok((root, forked))
}

fn refused(problems: &[Problem]) -> anyhow::Error {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    anyhow!("the files of the fork are refused:\n{}", lines.join("\n"))
}

/// The environment of the fork's agent: ours, without the operator's secrets and without overrides
/// of what the fork decides or left out.
pub(super) fn environment(
    operator: &Config,
    forked: &Config,
    signer_key: &str,
) -> Vec<(OsString, OsString)> {
    let mut secrets: BTreeSet<&str> = config::variables(operator).collect();
    secrets.insert(UPSTREAM_VARIABLE);
    let passes = |name: &OsString| match name.to_str() {
        Some(name) if secrets.contains(name) => false,
        Some(name) if config::is_override(name) => {
            forked.overrides.get(name).is_some_and(|key| !is_ours(key))
        }
        Some(_) | None => true,
    };
    let ours = [
        (KEY_VARIABLE, signer_key),
        (API_KEY_VARIABLE, DEMO_API_KEY),
        (API_SECRET_VARIABLE, DEMO_API_SECRET),
    ];
    let ours = ours.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    std::env::vars_os().filter(|(name, _)| passes(name)).chain(ours).collect()
}

fn is_ours(key: &str) -> bool {
    key.starts_with(OUR_SIGNERS) || OURS.iter().any(|ours| key.ends_with(ours))
}

type File = (PathBuf, Table);

/// The one file that is in neither folder.
fn agent_file(tables: &[File]) -> Result<&File> {
    let is_agent = |(path, _): &&File| {
        let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        !matches!(folder, Some("chains" | "strategies"))
    };
    tables.iter().find(is_agent).context("agent.toml is missing")
}

fn named<'t>(tables: &'t [File], key: &str, name: &str) -> Result<&'t File> {
    let is_it = |(_, table): &&File| table.get(key).and_then(Value::as_str) == Some(name);
    tables.iter().find(is_it).with_context(|| format!("no file has {key} = {name:?}"))
}

/// A file of the same name in another folder.
fn text_at(folder: &Path, path: &Path, table: &Table) -> Result<(PathBuf, String)> {
    let name = path.file_name().context("every file has a name")?;
    let text = toml::to_string_pretty(table)?;
    Ok((folder.join(name), format!("# Written by the fork.\n{text}")))
}

fn set(table: &mut Table, key: &str, value: impl Into<Value>) {
    table.insert(key.to_owned(), value.into());
}

/// A table below another one, made when it is missing.
fn below<'t>(table: &'t mut Table, key: &str) -> Result<&'t mut Table> {
    let place = table.entry(key).or_insert_with(|| Value::Table(Table::new()));
    place.as_table_mut().with_context(|| format!("{key} is no table"))
}

fn number(value: u64) -> Result<i64> {
    i64::try_from(value).context("a number does not fit a file")
}

fn agent(mut table: Table, ground: &Ground<'_>, cast: &Cast<'_>) -> Result<Table> {
    set(&mut table, "mode", "demo");
    set(below(&mut table, "api")?, "listen", ground.listen);
    below(&mut table, "store")?.remove("url_env");
    let halt_file = ground.dir.join("HALT").display().to_string();
    set(below(&mut table, "safety")?, "halt_file", halt_file);
    // A rehearsal wakes nobody.
    table.remove("alerts");
    let signers = below(&mut table, "signers")?;
    signers.retain(|name, _| name == cast.signer);
    let signer = below(signers, cast.signer)?;
    signer.remove("path");
    signer.remove("passphrase_file");
    set(signer, "kind", "dev");
    set(signer, "private_key_env", KEY_VARIABLE);
    let venues = below(&mut table, "venues")?;
    venues.retain(|name, _| cast.venues.contains(name));
    for name in &cast.venues {
        let venue = below(venues, name)?;
        set(venue, "api_key_env", API_KEY_VARIABLE);
        set(venue, "api_secret_env", API_SECRET_VARIABLE);
        set(venue, "rest_url", ground.exchange.http());
        set(venue, "ws_url", ground.exchange.ws());
    }
    Ok(table)
}

fn chain(mut table: Table, ground: &Ground<'_>, chain: &Chain) -> Result<Table> {
    set(&mut table, "chain_id", number(ground.chain_id)?);
    let mut endpoint = Table::new();
    set(&mut endpoint, "name", "fork");
    set(&mut endpoint, "ws_url", ground.anvil.ws_url.as_str());
    set(&mut endpoint, "http_url", ground.anvil.http_url.as_str());
    set(&mut table, "endpoints", Value::Array(vec![Value::Table(endpoint)]));
    let block_ms = ground.block_time_s.saturating_mul(1_000);
    // As the demo's own: three blocks may be late, and a second for the rounding of their times.
    let stale_ms = block_ms.saturating_mul(3).saturating_add(1_000);
    let ingest = below(&mut table, "ingest")?;
    set(ingest, "block_time_ms", number(block_ms)?);
    set(ingest, "stale_after_ms", number(stale_ms.max(chain.ingest.stale_after_ms))?);
    set(ingest, "audit_pool_every_blocks", AUDIT_EVERY_BLOCKS);
    set(below(&mut table, "gas")?, "fee_model", "ethereum");
    if let Some(executor) = ground.executor {
        set(below(&mut table, "executor")?, "address", executor.to_string());
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_fork_decides_is_not_overridden_and_the_rest_is() {
        for key in ["agent.mode", "agent.signers.lp.kind", "chains.base.executor.address"] {
            assert!(is_ours(key), "{key}");
        }
        for key in ["agent.limits.net_delta_usd", "chains.base.gas.max_fee_gwei", "agent.keeper"] {
            assert!(!is_ours(key), "{key}");
        }
    }

    #[test]
    fn a_table_is_made_where_there_is_none_and_kept_where_there_is_one() {
        let mut table: Table =
            "[gas]\nfee_model = \"op_stack\"\nbump_pct = \"12.5\"".parse().unwrap();
        set(below(&mut table, "gas").unwrap(), "fee_model", "ethereum");
        set(below(&mut table, "api").unwrap(), "listen", "127.0.0.1:0");
        let text = toml::to_string_pretty(&table).unwrap();
        let again: Table = text.parse().unwrap();
        assert_eq!(again["gas"]["fee_model"].as_str(), Some("ethereum"));
        assert_eq!(again["gas"]["bump_pct"].as_str(), Some("12.5"));
        assert_eq!(again["api"]["listen"].as_str(), Some("127.0.0.1:0"));
        let mut flat: Table = "gas = 1".parse().unwrap();
        assert!(below(&mut flat, "gas").is_err());
    }
}
