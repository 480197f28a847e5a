//! TOML text → validated types, or all problems at once with file, line, column, key and fix.
//!
//! Knows the operator's three kinds of files: `agent.toml`, `chains/*.toml`, `strategies/*.toml`.
//! It reads no file and no environment itself; both are handed in. No secret ever stands in a
//! [`Config`]: files name environment variables and credential files only, and a text that looks
//! like a secret is refused without being repeated.
//!
//! Any single value (not a name, not a list) can be overridden by an environment variable named
//! after its full key: `TIDEKEEPER__AGENT__API__LISTEN` overrides `agent.api.listen`,
//! `TIDEKEEPER__CHAINS__BASE__GAS__MAX_FEE_GWEI` overrides `gas.max_fee_gwei` of the chain `base`,
//! and `-` in a name becomes `_`.

pub mod agent;
pub mod alerts;
pub mod arbitrage;
pub mod cex_dex;
pub mod chain;
mod claims;
pub mod discovery;
mod doc;
pub mod editable;
pub mod gas;
pub mod hedge;
pub mod liquidity;
pub mod market_making;
pub mod pool;
pub mod problem;
mod reader;
mod secret;
pub mod signer;
pub mod strategy;
mod urls;
mod values;
pub mod venue;

#[cfg(test)]
mod corpus;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::agent::{Agent, AgentDraft, Mode, read_agent};
use crate::config::chain::{Chain, ChainDraft, read_chain};
use crate::config::claims::{check_chain_ids, check_claims};
use crate::config::doc::{Doc, Report};
use crate::config::problem::{Fault, Origin, Problem, nearest};
use crate::config::reader::{Node, OVERRIDE_PREFIX, variable_part};
use crate::config::strategy::{Claim, Known, Strategy, read_strategy};
use crate::config::values::Shape;

/// Everything an operator decided, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `agent.toml`.
    pub agent: Agent,
    /// `chains/*.toml`, in the order given.
    pub chains: Vec<Chain>,
    /// `strategies/*.toml`, in the order given.
    pub strategies: Vec<Strategy>,
    /// Every value in force by its full key, as `chains.base.gas.max_fee_gwei`.
    pub settings: BTreeMap<String, Setting>,
    /// Every environment variable that may override a value, with the key it overrides.
    pub overrides: BTreeMap<String, String>,
}

/// A value in force, as text, with the place it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The value as it was written.
    pub value: String,
    /// Where it was written.
    pub origin: Origin,
    /// How it is written in TOML.
    shape: Shape,
}

/// One line of the resolved configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Full key.
    pub key: String,
    /// Value; of a secret only the name of the variable that holds it.
    pub value: String,
    /// Where the value was written.
    pub origin: String,
}

impl Config {
    /// The chain of this name.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    /// The strategy of this name.
    pub fn strategy(&self, id: &str) -> Option<&Strategy> {
        self.strategies.iter().find(|strategy| strategy.id() == id)
    }
}

/// Checks all files together.
///
/// `files` are paths with their texts: one `agent.toml`, and any number of files in folders named
/// `chains` and `strategies`. `env` looks up a variable and must be pure.
///
/// # Errors
/// Every problem of every file, ordered by file and line.
pub fn load(
    files: &[(PathBuf, String)],
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Vec<Problem>> {
    let report = RefCell::new(Report {
        env,
        problems: Vec::new(),
        settings: BTreeMap::new(),
        overrides: BTreeMap::new(),
    });
    let docs = sort_files(files, &report);
    let (agent, is_agent_whole) = load_agent(&docs.agents, &report);
    let (chains, are_chains_whole) = load_chains(&docs.chains, &agent, &report);
    let known = Known { agent: &agent, is_agent_whole, chains: &chains.drafts, are_chains_whole };
    let (strategies, claims) = load_strategies(&docs.strategies, &known, &report);
    check_claims(&claims, agent.limits.as_ref(), &report);
    let mut report = report.borrow_mut();
    let mut problems = std::mem::take(&mut report.problems);
    problems.sort();
    problems.dedup();
    if !problems.is_empty() {
        return Err(problems);
    }
    match (agent.agent, chains.typed, strategies) {
        (Some(agent), Some(chains), Some(strategies)) => {
            let settings = std::mem::take(&mut report.settings);
            let overrides = std::mem::take(&mut report.overrides);
            Ok(Config { agent, chains, strategies, settings, overrides })
        }
        _ => Err(vec![Problem {
            origin: Origin::Default,
            key: "(config)".to_owned(),
            what: "could not be read, for a reason this program failed to find".to_owned(),
            help: "report this with your files as a fault of the program".to_owned(),
        }]),
    }
}

/// All values in force with their origins, ordered by key.
pub fn resolved(config: &Config) -> Vec<Row> {
    let row = |(key, setting): (&String, &Setting)| Row {
        key: key.clone(),
        value: if is_variable(key) {
            format!("(in environment {})", setting.value)
        } else {
            setting.value.clone()
        },
        origin: setting.origin.to_string(),
    };
    config.settings.iter().map(row).collect()
}

/// Variables that files name for their secrets, that the mode needs, and that are unset or empty.
pub fn unset_variables(config: &Config, env: &dyn Fn(&str) -> Option<String>) -> Vec<Problem> {
    let is_unset = |name: &str| env(name).is_none_or(|value| value.is_empty());
    let variables = config.settings.iter().filter(|(key, _)| is_needed(config, key));
    variables
        .filter(|(_, setting)| is_unset(&setting.value))
        .map(|(key, setting)| Problem {
            origin: setting.origin.clone(),
            key: key.clone(),
            what: format!("names the environment variable {}, which is not set", setting.value),
            help: "set it where the keeper is started".to_owned(),
        })
        .collect()
}

/// Names of the variables that files name for their secrets.
pub fn variables(config: &Config) -> impl Iterator<Item = &str> {
    let named = config.settings.iter().filter(|(key, _)| is_variable(key));
    named.map(|(_, setting)| setting.value.as_str())
}

/// Whether a variable is named like one that overrides a value.
pub fn is_override(name: &str) -> bool {
    name.strip_prefix(OVERRIDE_PREFIX).is_some_and(|rest| rest.starts_with("__"))
}

/// Among the names of all environment variables: those that look like overrides but override
/// nothing, since a misspelt limit must not pass in silence.
pub fn idle_overrides<'n>(config: &Config, names: impl Iterator<Item = &'n str>) -> Vec<Problem> {
    let known: Vec<&str> = config.overrides.keys().map(String::as_str).collect();
    names
        .filter(|name| is_override(name) && !config.overrides.contains_key(*name))
        .map(|name| Problem {
            origin: Origin::Env { name: name.to_owned() },
            key: "(override)".to_owned(),
            what: "overrides no key".to_owned(),
            help: nearest(name, &known).map_or_else(
                || "unset it; the resolved configuration lists all keys".to_owned(),
                |near| format!("did you mean {near}?"),
            ),
        })
        .collect()
}

fn is_variable(key: &str) -> bool {
    key.ends_with("_env")
}

/// Ends of the keys that name an account's secrets.
const ACCOUNT_SECRETS: [&str; 3] = [".private_key_env", ".api_key_env", ".api_secret_env"];

/// A variable that must be set: pretend accounts have no secrets.
fn is_needed(config: &Config, key: &str) -> bool {
    let is_of_account = ACCOUNT_SECRETS.iter().any(|end| key.ends_with(end));
    is_variable(key) && !(is_of_account && config.agent.mode == Mode::Paper)
}

#[derive(Default)]
struct Docs<'a> {
    agents: Vec<Doc<'a>>,
    chains: Vec<Doc<'a>>,
    strategies: Vec<Doc<'a>>,
}

/// Parses each file and sorts it by what it is.
fn sort_files<'a>(files: &'a [(PathBuf, String)], report: &RefCell<Report<'_>>) -> Docs<'a> {
    let mut docs = Docs::default();
    for (path, text) in files {
        let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let is_agent = path.file_name().is_some_and(|name| name == "agent.toml");
        let kind = match folder {
            Some("chains") => &mut docs.chains,
            Some("strategies") => &mut docs.strategies,
            _ if is_agent => &mut docs.agents,
            _ => {
                let what = "is none of agent.toml, chains/*.toml and strategies/*.toml";
                let fault = Fault::new(what, "move or remove it");
                report.borrow_mut().tell(start_of(path), "", "(file)", fault);
                continue;
            }
        };
        kind.push(Doc::parse(path, text, report));
    }
    docs
}

fn start_of(path: &Path) -> Origin {
    Origin::File { file: path.to_owned(), line: 1, column: 1 }
}

/// The agent's file, and whether a name not found in it does not exist.
fn load_agent<'a>(docs: &'a [Doc<'a>], report: &'a RefCell<Report<'a>>) -> (AgentDraft, bool) {
    for doc in docs.iter().skip(1) {
        let fault = Fault::new("is a second agent.toml", "a keeper has exactly one");
        report.borrow_mut().tell(start_of(doc.file), "", "(file)", fault);
    }
    let Some(doc) = docs.first() else {
        let help = "write one; the sample agent.toml is a beginning";
        let fault = Fault::new("is missing", help);
        report.borrow_mut().tell(start_of(Path::new("agent.toml")), "", "(file)", fault);
        return (AgentDraft::default(), false);
    };
    (read_agent(Node::top(doc, "agent", report)), doc.is_whole())
}

struct Chains {
    drafts: BTreeMap<String, ChainDraft>,
    typed: Option<Vec<Chain>>,
}

/// The chains' files, and whether a name not found in them does not exist.
fn load_chains<'a>(
    docs: &'a [Doc<'a>],
    agent: &AgentDraft,
    report: &'a RefCell<Report<'a>>,
) -> (Chains, bool) {
    if docs.is_empty() {
        let help = "add one file for each chain; the samples are a beginning";
        let fault = Fault::new("has no file", help);
        report.borrow_mut().tell(start_of(Path::new("chains")), "", "(folder)", fault);
    }
    let mut drafts: BTreeMap<String, ChainDraft> = BTreeMap::new();
    let mut typed = Some(Vec::new());
    for doc in docs {
        let name = doc.peek("name").map_or_else(|| doc.stem(), str::to_owned);
        let mut scope = format!("chains.{name}");
        if drafts.keys().any(|other| variable_part(other) == variable_part(&name)) {
            let help = "give it another name; `-` and `_` count as the same";
            let fault = Fault::new("names a second chain", help);
            report.borrow_mut().tell(doc.origin_of("name"), "chains", "name", fault);
            scope = format!("chains.{}", doc.stem());
        }
        let (draft, chain) = read_chain(Node::top(doc, &scope, report), doc, agent.mode);
        check_chain_ids(&drafts, &draft, &doc.origin_of("chain_id"), report);
        drafts.entry(name).or_insert(draft);
        typed = typed.zip(chain).map(|(mut chains, chain)| {
            chains.push(chain);
            chains
        });
    }
    let are_whole = !docs.is_empty() && docs.iter().all(Doc::is_whole);
    (Chains { drafts, typed }, are_whole)
}

/// The strategies' files, and what each claims for itself.
fn load_strategies<'a>(
    docs: &'a [Doc<'a>],
    known: &Known<'_>,
    report: &'a RefCell<Report<'a>>,
) -> (Option<Vec<Strategy>>, Vec<Claim>) {
    let mut claims: Vec<Claim> = Vec::new();
    let mut typed = Some(Vec::new());
    for doc in docs {
        let id = doc.peek("id").map_or_else(|| doc.stem(), str::to_owned);
        let mut scope = format!("strategies.{id}");
        if claims.iter().any(|claim| variable_part(&claim.id) == variable_part(&id)) {
            let help = "give it another id; `-` and `_` count as the same";
            let fault = Fault::new("names a second strategy", help);
            report.borrow_mut().tell(doc.origin_of("id"), "strategies", "id", fault);
            scope = format!("strategies.{}", doc.stem());
        }
        let (strategy, claim) = read_strategy(Node::top(doc, &scope, report), &id, known);
        claims.push(claim);
        typed = typed.zip(strategy).map(|(mut strategies, strategy)| {
            strategies.push(strategy);
            strategies
        });
    }
    (typed, claims)
}
