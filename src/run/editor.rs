//! Changes numbers of strategies while the keeper runs, and answers what the API asks about them.
//!
//! The operator's file stays the truth. A change is checked together with all files as at a start,
//! kept in the store as a version, put in the file's place, and only then told to the loop; what
//! fails on the way leaves values and file as they were. One task answers one request at a time.

mod disk;

pub(super) use disk::own_folder;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::api::edits::{
    Answer, Ask, NewVersion, ParameterPreview, Refused, StrategyParameters, StrategyVersion,
    StrategyVersions,
};
use crate::config::Config;
use crate::config::editable::{self, EditProblem, Edited};
use crate::engine::change::Said;
use crate::engine::event::Change;
use crate::engine::setup::{ChainSetup, FIRST_VERSION};
use crate::io::clock;
use crate::model::time::Timestamp;
use crate::run::agent::{Options, variable};
use crate::run::editor::disk::Draft;
use crate::run::setup;
use crate::store::{Store, StoreError, Version};

/// Requests that may wait for their turn.
const ASKS_MAX: usize = 4;
/// Patience for the loop.
const LOOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Patience for the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);
/// Reasons of the versions that no operator gave one for.
const FIRST: &str = "as in the file";
const BY_HAND: &str = "the file was changed";
const NOT_WRITTEN: &str = "the change before was not written and never came into force";

/// What is asked of the loop.
#[derive(Debug)]
pub(super) enum Asked {
    /// What a strategy would say with other numbers; `None` when it does not run.
    Preview(Box<Change>, oneshot::Sender<Option<Said>>),
    /// Its file has them: go on by them.
    Change(Box<Change>),
}

/// A version in force.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    /// Its number.
    pub(super) version: u64,
    /// When it was kept.
    at: Timestamp,
}

/// The version in force of each strategy.
pub(super) type Versions = BTreeMap<String, Current>;

/// Keeps what each strategy's file says now, wherever the newest version says something else.
pub(super) async fn record_all(options: &Options, store: &Store) -> Result<Versions> {
    let mut versions = BTreeMap::new();
    for strategy in &options.config.strategies {
        let id = strategy.id();
        let text = text_of(&options.files, &options.config, id);
        let text = text.with_context(|| format!("strategy {id} has no file"))?;
        versions.insert(id.to_owned(), record(store, id, text, BY_HAND).await?);
    }
    Ok(versions)
}

async fn record(store: &Store, id: &str, text: &str, why: &str) -> Result<Current, StoreError> {
    let (version, reason, diff) = match store.newest_version(id).await? {
        Some(Version { version, at, text: kept, .. }) if kept == text => {
            return Ok(Current { version, at });
        }
        Some(newest) => (newest.version + 1, why, editable::differences(&newest.text, text)),
        None => (FIRST_VERSION, FIRST, Vec::new()),
    };
    let (at, reason, text) = (clock::now(), reason.to_owned(), text.to_owned());
    store.add_version(id, &Version { version, at, reason, diff, text }).await?;
    Ok(Current { version, at })
}

/// The text of a strategy's file.
fn text_of<'f>(files: &'f [(PathBuf, String)], config: &Config, id: &str) -> Option<&'f str> {
    let file = editable::file_of(config, id)?;
    files.iter().find(|(path, _)| path == file).map(|(_, text)| text.as_str())
}

/// One strategy as the engine would be told of it.
fn resolved(
    config: &Config,
    chains: &[ChainSetup],
    id: &str,
    version: u64,
    reason: &str,
) -> Result<Change> {
    let strategy = config.strategy(id).context("unknown strategy")?;
    let setup = setup::resolve_strategy(strategy, config, chains, version)?;
    let mut hedges = setup::hedges(config)?.into_iter().map(|hedge| hedge.parameters);
    let hedge = hedges.find(|parameters| parameters.strategy == id);
    Ok(Change { setup, hedge, reason: reason.to_owned() })
}

/// Keeps the operator's files as they are in force.
pub(super) struct Editor {
    files: Vec<(PathBuf, String)>,
    config: Config,
    chains: Vec<ChainSetup>,
    versions: Versions,
    store: Store,
    to_loop: mpsc::Sender<Asked>,
    /// Why nothing may be changed, when that is so.
    locked_out: Option<EditProblem>,
}

impl Editor {
    /// Starts answering; the two ends are the API's and the loop's.
    pub(super) fn start(
        options: &Options,
        store: &Store,
        chains: &[ChainSetup],
        versions: Versions,
        locked_out: Option<&EditProblem>,
    ) -> (mpsc::Sender<Ask>, mpsc::Receiver<Asked>) {
        let (asks_in, asks) = mpsc::channel(ASKS_MAX);
        let (to_loop, asked) = mpsc::channel(ASKS_MAX);
        let editor = Self {
            files: options.files.clone(),
            config: options.config.clone(),
            chains: chains.to_vec(),
            versions,
            store: store.clone(),
            to_loop,
            locked_out: locked_out.cloned(),
        };
        tokio::spawn(editor.run(asks));
        (asks_in, asked)
    }

    /// Answers until the API is gone.
    async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        while let Some(ask) = asks.recv().await {
            match ask {
                Ask::Parameters { strategy, answer } => reply(answer, self.parameters(&strategy)),
                Ask::Versions { strategy, answer } => {
                    reply(answer, self.told_versions(&strategy).await);
                }
                Ask::Preview { strategy, changes, answer } => {
                    reply(answer, self.preview(&strategy, &changes).await);
                }
                // Whoever no longer waits for the answer must not be surprised by the deed.
                Ask::Change { answer, .. } if answer.is_closed() => {}
                Ask::Change { strategy, new, answer } => {
                    reply(answer, self.change(&strategy, new).await);
                }
            }
        }
    }

    fn current(&self, id: &str) -> Result<Current, Refused> {
        self.versions.get(id).copied().ok_or(Refused::NoSuchStrategy)
    }

    fn parameters(&self, id: &str) -> Result<StrategyParameters, Refused> {
        let Current { version, at } = self.current(id)?;
        let name = editable::file_of(&self.config, id).and_then(Path::file_name);
        let name = name.map(|name| name.to_string_lossy()).unwrap_or_default();
        Ok(StrategyParameters {
            id: id.to_owned(),
            file: format!("strategies/{name}"),
            version,
            at_ms: at.ms(),
            keys: editable::parameters(&self.config, id),
        })
    }

    async fn told_versions(&self, id: &str) -> Result<StrategyVersions, Refused> {
        self.current(id)?;
        let kept = timeout(STORE_TIMEOUT, self.store.versions(id)).await;
        let kept = kept.map_err(|_| silent_store())?.map_err(|error| unkept(&error))?;
        let row = |kept: Version| StrategyVersion {
            version: kept.version,
            at_ms: kept.at.ms(),
            reason: kept.reason,
            diff: kept.diff,
        };
        Ok(StrategyVersions { id: id.to_owned(), versions: kept.into_iter().map(row).collect() })
    }

    async fn preview(
        &self,
        id: &str,
        changes: &BTreeMap<String, String>,
    ) -> Result<ParameterPreview, Refused> {
        let Current { version, .. } = self.current(id)?;
        let edit = editable::edit(&self.files, &self.config, id, changes, &variable);
        let mut problems = self.hindrances(id);
        let config = match edit.outcome {
            Ok(edited) => edited.config,
            Err(found) => {
                problems.extend(found);
                self.config.clone()
            }
        };
        let wanted = resolved(&config, &self.chains, id, version, "a preview");
        let said = self.said(wanted.map_err(|error| unkept(&error))?).await?;
        let then = problems.is_empty().then_some(said.then);
        Ok(ParameterPreview { problems, diff: edit.diff, now: said.now, then })
    }

    /// Asks the loop, which answers between two facts.
    async fn said(&self, wanted: Change) -> Result<Said, Refused> {
        let (answer, answered) = oneshot::channel();
        let asked = Asked::Preview(Box::new(wanted), answer);
        let told = async {
            self.to_loop.send(asked).await.ok()?;
            answered.await.ok()?
        };
        let told = timeout(LOOP_TIMEOUT, told).await.ok().flatten();
        told.ok_or_else(|| Refused::Unkept("the loop does not answer".to_owned()))
    }

    async fn change(&mut self, id: &str, new: NewVersion) -> Result<u64, Refused> {
        let NewVersion { version, changes, reason } = new;
        let current = self.current(id)?.version;
        if let Some(problem) = &self.locked_out {
            return Err(Refused::Unkept(told(problem)));
        }
        if version != current {
            let why =
                format!("version {current} is in force, not {version}: read it and try again");
            return Err(Refused::Conflict(why));
        }
        if let Some(problem) = disk::changed(&self.files).next() {
            return Err(Refused::Conflict(told(&problem)));
        }
        let edit = editable::edit(&self.files, &self.config, id, &changes, &variable);
        let edited = edit.outcome.map_err(Refused::Invalid)?;
        if edit.diff.is_empty() {
            let nothing = EditProblem::new("changes", "changes nothing", "give another value");
            return Err(Refused::Invalid(vec![nothing]));
        }
        let next = current + 1;
        let change = resolved(&edited.config, &self.chains, id, next, &reason);
        let change = change.map_err(|error| unkept(&error))?;
        let draft = Draft::write(&edited.file, &edited.text).map_err(|error| unkept(&error))?;
        // With its place in the queue taken, telling the loop cannot fail any more.
        let place = timeout(LOOP_TIMEOUT, self.to_loop.clone().reserve_owned()).await;
        let place = place.ok().and_then(Result::ok);
        let place = place.ok_or_else(|| Refused::Unkept("the loop does not answer".to_owned()))?;
        let (at, text) = (clock::now(), edited.text.clone());
        let kept = Version { version: next, at, reason, diff: edit.diff, text };
        match timeout(STORE_TIMEOUT, self.store.add_version(id, &kept)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => {
                self.settle(id).await;
                let why = "the store holds a version that never came into force: try again";
                return Err(Refused::Conflict(why.to_owned()));
            }
            Ok(Err(error)) => return Err(unkept(&error)),
            Err(_) => return Err(silent_store()),
        }
        if let Err(refused) = draft.take_its_place(&self.files) {
            self.settle(id).await;
            return Err(refused);
        }
        tracing::info!(strategy = id, version = next, reason = kept.reason, "numbers changed");
        let Edited { files, config, .. } = edited;
        (self.files, self.config) = (files, config);
        self.versions.insert(id.to_owned(), Current { version: next, at });
        place.send(Asked::Change(Box::new(change)));
        Ok(next)
    }

    /// The newest version never came into force: one more says what is.
    async fn settle(&mut self, id: &str) {
        let Some(text) = text_of(&self.files, &self.config, id) else { return };
        match timeout(STORE_TIMEOUT, record(&self.store, id, text, NOT_WRITTEN)).await {
            Ok(Ok(current)) => {
                self.versions.insert(id.to_owned(), current);
            }
            Ok(Err(error)) => tracing::error!(%error, strategy = id, "versions are not settled"),
            Err(_) => tracing::error!(strategy = id, "versions are not settled: no answer"),
        }
    }

    /// What keeps a change from the strategy's file, whatever its values are.
    fn hindrances(&self, id: &str) -> Vec<EditProblem> {
        let file = editable::file_of(&self.config, id);
        let own = self.locked_out.clone().or_else(|| disk::unwritable(file?));
        own.into_iter().chain(disk::changed(&self.files)).collect()
    }
}

/// Nobody may wait any more, and then the answer is not missed.
fn reply<T>(answer: Answer<T>, told: Result<T, Refused>) {
    let _ = answer.send(told);
}

/// A problem in one sentence, where there is no room for its parts.
fn told(problem: &EditProblem) -> String {
    let EditProblem { problem, fix, .. } = problem;
    format!("{problem}: {fix}")
}

fn unkept(error: &dyn std::fmt::Display) -> Refused {
    Refused::Unkept(format!("{error:#}"))
}

fn silent_store() -> Refused {
    Refused::Unkept(format!("the store gave no answer in {} s", STORE_TIMEOUT.as_secs()))
}
