//! Mode paper: what the real world tells passes through pretend accounts on its way to the loop,
//! and deeds end in them. One task owns the accounts, so that facts and deeds keep their order.
//!
//! Nothing here holds a key or an endpoint that could be told of a deed.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::config::Config;
use crate::config::agent::Mode;
use crate::config::venue::{Venue, VenueKind};
use crate::engine::event::{Body, Recovered};
use crate::engine::output::Command;
use crate::engine::setup::{ChainSetup, Setup};
use crate::execution::tx::{SignedTx, TxRequest};
use crate::io::clock;
use crate::io::signer::{self, SignError};
use crate::sim::paper::{PaperWorld, Terms};
use crate::store::{Committed, PlannedOrder, REAL_MONEY};

/// A deed on its way to the accounts.
#[derive(Debug)]
enum Deed {
    Command(Command),
    /// One that does not leave stays in its slot.
    Submit {
        tx: Committed<SignedTx>,
        leaves: bool,
    },
    Place(Committed<PlannedOrder>),
}

/// The loop's side: deeds go in.
#[derive(Debug)]
pub(super) struct PaperHands {
    chains: BTreeMap<u64, ChainSetup>,
    /// Without a bound, since the loop must not wait for a task that may wait for the loop; the
    /// engine asks for one act a chain and a few questions a second.
    deeds: mpsc::UnboundedSender<Deed>,
}

/// The other ends of what a pretend world is wired to.
#[derive(Debug)]
pub(super) struct Wires {
    deeds: mpsc::UnboundedReceiver<Deed>,
    /// What the real world tells.
    heard: mpsc::Receiver<Body>,
    /// To the loop.
    facts: mpsc::Sender<Body>,
}

/// Hands that reach the pretend world, and the world's own ends.
pub(super) fn wire(
    setup: &Setup,
    heard: mpsc::Receiver<Body>,
    facts: mpsc::Sender<Body>,
) -> (PaperHands, Wires) {
    let (deeds_in, deeds) = mpsc::unbounded_channel();
    let chains = setup.chains.iter().map(|chain| (chain.chain, chain.clone())).collect();
    (PaperHands { chains, deeds: deeds_in }, Wires { deeds, heard, facts })
}

impl PaperHands {
    /// A command that need not wait.
    pub(super) fn obey(&self, command: Command) {
        self.tell(Deed::Command(command));
    }

    /// A committed transaction.
    pub(super) fn submit(&self, tx: Committed<SignedTx>, leaves: bool) {
        self.tell(Deed::Submit { tx, leaves });
    }

    /// A committed order that leaves.
    pub(super) fn place(&self, order: Committed<PlannedOrder>) {
        self.tell(Deed::Place(order));
    }

    /// What a slot keeps instead of signed bytes.
    pub(super) fn pretend(
        &self,
        request: &TxRequest,
        intent: Uuid,
        strategy: &str,
    ) -> Result<SignedTx, SignError> {
        let setup = self.chains.get(&request.chain).ok_or(SignError::NotConfigured)?;
        signer::pretend(setup, request, intent, strategy)
    }

    fn tell(&self, deed: Deed) {
        // Nobody listens only while the process ends.
        let _ = self.deeds.send(deed);
    }
}

impl Wires {
    /// Runs the pretend world until nobody listens any more.
    pub(super) async fn run(mut self, mut world: PaperWorld) {
        loop {
            let told = tokio::select! {
                biased;
                Some(deed) = self.deeds.recv() => carry_out(&mut world, deed),
                Some(fact) = self.heard.recv() => world.hear(fact, clock::now()),
                else => return,
            };
            for fact in told {
                if self.facts.send(fact).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn carry_out(world: &mut PaperWorld, deed: Deed) -> Vec<Body> {
    match deed {
        Deed::Command(command) => world.obey(command, clock::now()),
        Deed::Submit { tx, leaves } => world.submit(tx.get(), leaves, clock::now()),
        Deed::Place(planned) => world.place(&planned.get().order.request, clock::now()),
    }
}

/// The pretend accounts as the store left them.
pub(super) fn world(config: &Config, setup: &Setup, recovered: &Recovered) -> PaperWorld {
    let terms = |(name, venue): (&String, &Venue)| {
        let leverage_max = match venue.kind {
            VenueKind::BinanceSpot => Decimal::ONE,
            VenueKind::BinanceUsdm { max_leverage, .. } => max_leverage,
        };
        let (maker_fee_bps, taker_fee_bps) = (venue.maker_fee_bps, venue.taker_fee_bps);
        (name.clone(), Terms { maker_fee_bps, taker_fee_bps, leverage_max })
    };
    let terms = config.agent.venues.iter().map(terms).collect();
    PaperWorld::new(setup, &terms, recovered, clock::now())
}

/// Whose money a database is about: pretend accounts and real ones never share their books.
pub(super) fn money(config: &Config) -> String {
    match config.agent.mode {
        Mode::Paper => format!("paper money of keeper {}", config.agent.keeper),
        Mode::Observe | Mode::Live | Mode::Demo => REAL_MONEY.to_owned(),
    }
}

/// What is pretended, and how.
pub(super) fn labels() -> Vec<(String, String, String)> {
    let label = |what: &str, kind: &str, text: &str| (what.into(), kind.into(), text.into());
    vec![
        label(
            "our accounts",
            "simulated",
            "mode paper: markets are real, our wallets, positions, orders and balances are \
             pretended; no order, transaction or signed request leaves the process",
        ),
        label(
            "starting money",
            "assumed",
            "on each chain half of each budget of liquidity and of pools against an exchange in \
             either token at the pool's price, and ten times [fuel] min_native_per_signer, at \
             least 1 coin; on perpetual venues venue_exposure_usd as margin; on spot venues target \
             inventories and budgets",
        ),
        label(
            "our transactions",
            "simulated",
            "stand at the end of the first block of a later second than they were sent in, on the \
             pools as it left them; they move no pool, and until others moved its price by more \
             than ours would have, the next trade the same way runs behind them; what was taken so \
             is forgotten at a restart",
        ),
        label(
            "gas of our transactions",
            "assumed",
            "approve 60,000, swap 140,000, mint 610,000, withdraw 350,000, cycle 60,000 and \
             95,000 a leg; at base fee and tip, failed ones too; a roll-up's L1 fee is zero",
        ),
        label(
            "fees of our ranges",
            "simulated",
            "those of the pool's real trades, shared with our liquidity as if it stood there; what \
             was not collected is forgotten at a restart",
        ),
        label(
            "our orders",
            "simulated",
            "what takes is filled at once from the live book and never beyond it; what rests is \
             filled only when the book trades through its price, and is over with its process; \
             fees are those of agent.toml",
        ),
        label("funding", "assumed", "none is paid or received; positions are never liquidated"),
        label("executor", "assumed", "it obeys us, whoever its real operator is"),
    ]
}
