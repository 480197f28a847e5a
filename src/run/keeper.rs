//! The loop: one fact in, rows and deeds out, in that order.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::api::pools::PoolAsk;
use crate::engine::Engine;
use crate::engine::event::{Body, Directive, Event};
use crate::engine::output::{Command, Output};
use crate::io::clock;
use crate::run::deeds::Hands;
use crate::run::editor::Asked;
use crate::run::journal::Journal;
use crate::run::publish::{Clockwork, Published, StoreView};
use crate::run::states::Rounds;
use crate::run::writer::Health;
use crate::store::{Batch, Committed};

/// The loop looks at the clock so often.
const TICK: Duration = Duration::from_millis(20);
/// The engine is told the time every so many looks.
const TICKS_PER_TIMER: u64 = 5;
/// Readers get a new document every so many looks.
const TICKS_PER_SNAPSHOT: u64 = 10;
/// Time that what rests has to be taken back before the process ends.
const COME_TO_REST: Duration = Duration::from_secs(2);
/// Time that states of pools have to be handed on before the process ends.
const KEEP_STATES: Duration = Duration::from_secs(2);
/// A database silent for so long counts as stalled.
const SILENT_MAX_MS: i64 = 150;

/// Everything the loop owns.
#[allow(missing_debug_implementations, reason = "it holds keys")]
pub(super) struct Keeper {
    pub(super) engine: Engine,
    /// `None` when it can be written no more.
    pub(super) journal: Option<Journal>,
    pub(super) hands: Hands,
    pub(super) facts: mpsc::Receiver<Body>,
    pub(super) directives: mpsc::Receiver<Directive>,
    pub(super) asked: mpsc::Receiver<Asked>,
    pub(super) questions: mpsc::Receiver<PoolAsk>,
    pub(super) batches: mpsc::Sender<Batch>,
    pub(super) committed: mpsc::Receiver<Committed<Batch>>,
    pub(super) health: Arc<Health>,
    pub(super) states: Rounds,
    pub(super) publish: watch::Sender<Option<Arc<Published>>>,
    pub(super) clockwork: Arc<Clockwork>,
    pub(super) halt_file: std::path::PathBuf,
    pub(super) seq: u64,
    pub(super) is_stalled: bool,
    pub(super) started: Instant,
}

impl Keeper {
    /// Runs until `stop` says so.
    pub(super) async fn run(&mut self, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut n_ticks = 0_u64;
        loop {
            tokio::select! {
                biased;
                _ = stop.changed() => break,
                _ = ticks.tick() => {
                    n_ticks += 1;
                    self.look(n_ticks).await;
                }
                Some(directive) = self.directives.recv() => {
                    self.handle(Body::Directive(directive)).await;
                }
                Some(asked) = self.asked.recv() => self.answer(asked).await,
                Some(kept) = self.committed.recv() => {
                    let leave = self.engine.may_send();
                    self.hands.carry_out(kept, leave);
                }
                Some(PoolAsk { pool, answer }) = self.questions.recv() => {
                    // Whoever asked may not wait any more.
                    let _ = answer.send(self.engine.pool_detail(pool, clock::now()));
                    // However many ask, facts go on.
                    if let Ok(body) = self.facts.try_recv() {
                        self.handle(body).await;
                    }
                }
                Some(body) = self.facts.recv() => self.handle(body).await,
            }
        }
        self.come_to_rest().await;
        self.keep_states().await;
    }

    /// Keeps the states of all pools, as far as there is time.
    async fn keep_states(&mut self) {
        let began = Instant::now();
        self.states.hurry(&self.engine);
        while self.states.is_under_way() && began.elapsed() < KEEP_STATES {
            self.states.look(&self.engine);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn answer(&mut self, asked: Asked) {
        match asked {
            Asked::Preview(wanted, answer) => {
                let said = self.engine.preview(&wanted.setup, wanted.hedge.as_ref());
                // Whoever asked may not wait any more.
                let _ = answer.send(said);
            }
            Asked::Change(change) => self.handle(Body::Change(change)).await,
        }
    }

    /// Takes back what rests and waits for the venues' word on it, as long as there is time: spot
    /// venues have no switch that would do it after us.
    async fn come_to_rest(&mut self) {
        self.handle(Body::Stopping).await;
        let end = tokio::time::sleep(COME_TO_REST);
        tokio::pin!(end);
        let mut ticks = tokio::time::interval(TICK);
        while self.engine.has_resting_orders() {
            tokio::select! {
                biased;
                () = &mut end => {
                    tracing::warn!("quotes may still rest: the venue has not confirmed their end");
                    return;
                }
                _ = ticks.tick() => self.handle(Body::Timer).await,
                Some(kept) = self.committed.recv() => {
                    let leave = self.engine.may_send();
                    self.hands.carry_out(kept, leave);
                }
                Some(body) = self.facts.recv() => self.handle(body).await,
            }
        }
    }

    async fn look(&mut self, n: u64) {
        let silent_ms = self.health.silent_ms();
        let is_stalled = silent_ms > SILENT_MAX_MS;
        if is_stalled != self.is_stalled {
            self.is_stalled = is_stalled;
            let why = format!("silent for {silent_ms} ms");
            self.handle(Body::Store { is_live: !is_stalled, why }).await;
        }
        if n.is_multiple_of(TICKS_PER_TIMER) {
            if self.halt_file.exists() {
                let reason = format!("the file {} exists", self.halt_file.display());
                self.handle(Body::Directive(Directive::Halt { reason })).await;
            }
            self.handle(Body::Timer).await;
        }
        if n.is_multiple_of(TICKS_PER_SNAPSHOT) {
            self.publish();
        }
        self.states.look(&self.engine);
    }

    fn publish(&self) {
        let snapshot = self.engine.snapshot(clock::now());
        if snapshot.state.kind == "running" {
            let ms = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
            self.clockwork.started(ms);
        }
        let p99 = self.health.commit_us_p99();
        let store = StoreView {
            state: if self.is_stalled { "stalled" } else { "live" },
            commit_ms_p99: p99.map(|us| format!("{}.{:03}", us / 1_000, us % 1_000)),
        };
        self.publish.send_replace(Some(Arc::new(Published { snapshot, store })));
    }

    /// Takes in one fact: cancels leave first, rows are handed to the writer with what waits for
    /// them, and everything else leaves at once.
    pub(super) async fn handle(&mut self, body: Body) {
        self.seq += 1;
        let at = clock::now();
        let event = Event { seq: self.seq, at, body };
        self.journaled(|journal| journal.fact(&event));
        let before = Instant::now();
        let output = self.engine.handle(event);
        self.clockwork.handled(before.elapsed().as_nanos());
        for command in output.commands.iter().filter(|command| !command.needs_commit()) {
            self.hands.obey(command.clone());
        }
        // After the cancels: a disk that hangs must not hold them back.
        let mark = self.journaled(|journal| journal.mark(&output)).flatten();
        let Output { records, commands } = output;
        let mut batch = Batch { seq: self.seq, at, records, mark, ..Batch::default() };
        for command in commands.iter().filter(|command| command.needs_commit()) {
            if let Err(error) = self.hands.sign(command, &mut batch) {
                self.refuse(command, &error);
            }
        }
        if !batch.is_empty() && self.batches.send(batch).await.is_err() {
            tracing::error!("the writer is gone: nothing can be kept any more");
        }
    }

    /// Without its journal a run cannot be replayed, but it is no less safe: it goes on, aloud.
    fn journaled<T>(&mut self, deed: impl FnOnce(&mut Journal) -> io::Result<T>) -> Option<T> {
        match deed(self.journal.as_mut()?) {
            Ok(done) => Some(done),
            Err(error) => {
                tracing::error!(seq = self.seq, %error, "the journal ends here");
                self.journal = None;
                None
            }
        }
    }

    fn refuse(&self, command: &Command, error: &crate::io::signer::SignError) {
        tracing::error!(%error, ?command, "cannot be signed");
        let reason = format!("a transaction could not be signed: {error}");
        let facts = self.hands.facts.clone();
        tokio::spawn(async move {
            let _ = facts.send(Body::Directive(Directive::Halt { reason })).await;
        });
    }
}
