//! Channels, keys and clients, before the first task starts. In mode paper there is no key, and
//! whoever looks at the real world tells the pretend one.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy::primitives::Address;
use anyhow::{Context, Result};
use secrecy::SecretString;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::config::agent::Mode;
use crate::config::signer::Key as KeySource;
use crate::config::venue::{Venue, VenueKind};
use crate::engine::event::Body;
use crate::engine::setup::Setup;
use crate::io::chain::ChainClient;
use crate::io::chain::gap::KnownPools;
use crate::io::chain::roster::Roster;
use crate::io::chain::watch::{AskedPools, Watcher, hear_heads};
use crate::io::signer::Key;
use crate::run::agent::{BINANCE_SPOT, BINANCE_USDM, Options, variable};
use crate::run::deeds::{ChainHands, Hands, Reach};
use crate::run::editor::Versions;
use crate::run::paper;
use crate::run::setup::{self, Endpoint};
use crate::run::venue::{Parts, VenueClient};
use crate::sim;
use crate::store::{KeptPool, Store};
use crate::venues::binance::Dialect;
use crate::venues::binance::sign::Credentials;

/// Facts that may wait for the loop; senders wait beyond that.
const FACTS_MAX: usize = 8_192;

/// What a run is made of, before its first task.
#[allow(missing_debug_implementations, reason = "it holds keys")]
pub(super) struct Wiring {
    pub(super) setup: Setup,
    pub(super) hands: Hands,
    pub(super) facts: mpsc::Receiver<Body>,
    pub(super) eyes: Eyes,
    /// Searches for pools that go on beside the keeper.
    pub(super) hunts: Vec<setup::Hunt>,
    /// The pretend world's ends, in mode paper.
    pub(super) paper: Option<paper::Wires>,
}

impl Wiring {
    /// Opens keys and clients and resolves the files against the chains.
    pub(super) async fn new(options: &Options, store: &Store, versions: &Versions) -> Result<Self> {
        let config = &options.config;
        let is_paper = config.agent.mode == Mode::Paper;
        let (facts_in, facts) = mpsc::channel(FACTS_MAX);
        let (mut clients, mut endpoints) = (BTreeMap::new(), BTreeMap::new());
        for chain in &config.chains {
            let endpoint = setup::endpoint(chain);
            let endpoint = endpoint.with_context(|| format!("chain {}", chain.name))?;
            let client = ChainClient::new(&endpoint.http)?.paced(endpoint.max_requests_per_s);
            clients.insert(chain.chain_id, client);
            endpoints.insert(chain.chain_id, endpoint);
        }
        let keys = if is_paper { BTreeMap::new() } else { keys(config)? };
        let address = |name: &String| match keys.get(name) {
            Some(key) => key.address(),
            None => sim::paper::address(&config.agent.keeper),
        };
        let names = config.agent.signers.keys();
        let signers: BTreeMap<String, Address> =
            names.map(|name| (name.clone(), address(name))).collect();
        let mut labels = options.labels.clone();
        if is_paper {
            labels.extend(paper::labels());
        }
        let resolved = setup::resolve(config, &signers, &clients, store, versions, labels);
        let (setup, hunts) = resolved.await?;
        let (reach, heard, paper) = if is_paper {
            let (heard_in, heard) = mpsc::channel(FACTS_MAX);
            let (hands, wires) = paper::wire(&setup, heard, facts_in.clone());
            (Reach::Paper(hands), heard_in, Some(wires))
        } else {
            (real(&setup, &keys, &clients, store)?, facts_in.clone(), None)
        };
        let venues = venue_clients(config, &setup, &heard)?;
        let pools = setup.chains.iter().map(|chain| (chain.chain, AskedPools::default())).collect();
        let hands = Hands { reach, venues, pools, facts: facts_in };
        let eyes = Eyes { clients, endpoints, heard };
        Ok(Self { setup, hands, facts, eyes, hunts, paper })
    }
}

fn keys(config: &Config) -> Result<BTreeMap<String, Key>> {
    let mut keys = BTreeMap::new();
    for (name, signer) in &config.agent.signers {
        let key = match &signer.key {
            KeySource::Dev { private_key_env } => Key::from_hex(&secret(private_key_env)?),
            KeySource::Keystore { path, passphrase_file } => {
                let pass = std::fs::read_to_string(passphrase_file)
                    .with_context(|| format!("reading {}", passphrase_file.display()))?;
                Key::from_keystore(path, &SecretString::from(pass.trim_end().to_owned()))
            }
        };
        keys.insert(name.clone(), key.with_context(|| format!("signer {name}"))?);
    }
    Ok(keys)
}

fn secret(name: &str) -> Result<SecretString> {
    variable(name).map(SecretString::from).with_context(|| format!("set {name} in the environment"))
}

fn real(
    setup: &Setup,
    keys: &BTreeMap<String, Key>,
    clients: &BTreeMap<u64, ChainClient>,
    store: &Store,
) -> Result<Reach> {
    let chains = setup.chains.iter().map(|chain| {
        let key = keys.values().find(|key| key.address() == chain.signer);
        let key = key.context("the signer's key is gone")?.clone();
        let client = clients.get(&chain.chain).context("no client of the chain")?.clone();
        let hands = ChainHands { setup: chain.clone(), client, key, awaited: Arc::default() };
        Ok((chain.chain, Arc::new(hands)))
    });
    let chains = chains.collect::<Result<BTreeMap<_, _>>>()?;
    Ok(Reach::Real { chains, store: store.clone() })
}

fn venue_clients(
    config: &Config,
    setup: &Setup,
    facts: &mpsc::Sender<Body>,
) -> Result<BTreeMap<String, Arc<VenueClient>>> {
    let is_paper = config.agent.mode == Mode::Paper;
    let mut clients = BTreeMap::new();
    for (name, venue) in &config.agent.venues {
        let (dialect, (rest, ws)) = match venue.kind {
            VenueKind::BinanceSpot => (Dialect::Spot, BINANCE_SPOT),
            VenueKind::BinanceUsdm { .. } => (Dialect::UsdM, BINANCE_USDM),
        };
        let symbols = setup.venues.iter().find(|v| v.name == *name).map(|v| v.symbols.clone());
        let parts = Parts {
            name: name.clone(),
            dialect,
            symbols: symbols.unwrap_or_default(),
            margin_asset: setup.numeraire.clone(),
            rest_url: venue.rest_url.clone().unwrap_or_else(|| rest.to_owned()),
            ws_url: venue.ws_url.clone().unwrap_or_else(|| ws.to_owned()),
            credentials: if is_paper { None } else { Some(credentials(venue)?) },
            cancel_after_s: match venue.kind {
                VenueKind::BinanceUsdm { cancel_on_disconnect_s, .. }
                    if setup.sends && !is_paper =>
                {
                    Some(cancel_on_disconnect_s)
                }
                VenueKind::BinanceUsdm { .. } | VenueKind::BinanceSpot => None,
            },
            facts: facts.clone(),
        };
        let client = VenueClient::new(parts).with_context(|| format!("venue {name}"))?;
        clients.insert(name.clone(), client);
    }
    Ok(clients)
}

fn credentials(venue: &Venue) -> Result<Credentials> {
    let (api_key, secret) = (secret(&venue.api_key_env)?, secret(&venue.api_secret_env)?);
    Ok(Credentials { api_key, secret })
}

/// Those who look at the chains.
#[derive(Debug)]
pub(super) struct Eyes {
    clients: BTreeMap<u64, ChainClient>,
    endpoints: BTreeMap<u64, Endpoint>,
    /// Where they tell what they see.
    heard: mpsc::Sender<Body>,
}

impl Eyes {
    /// Starts them where the ledger stands.
    pub(super) async fn open(
        self,
        config: &Config,
        setup: &Setup,
        store: &Store,
        hands: &Hands,
    ) -> Result<Vec<JoinHandle<()>>> {
        let mut tasks = Vec::new();
        for chain in &setup.chains {
            let id = chain.chain;
            let awaited = hands.awaited(id);
            for (nonce, hash) in store.open_slots(id).await? {
                awaited.lock().expect("no holder panics").insert(hash, nonce);
            }
            let hint = Arc::new(Notify::new());
            if let Some(endpoint) = self.endpoints.get(&id) {
                tasks.push(tokio::spawn(hear_heads(endpoint.ws.clone(), Arc::clone(&hint))));
            }
            let watcher = Watcher {
                client: self.clients.get(&id).context("no client of the chain")?.clone(),
                setup: chain.clone(),
                roster: Roster::new(&chain.pools),
                kept_pools: kept_pools(store, id).await?,
                cursor: store.cursor(id).await?,
                known: store.provisional_blocks(id).await?,
                awaited,
                asked: hands.asked(id),
                audit_every_blocks: audit_every(config, id),
                facts: self.heard.clone(),
                hint,
            };
            tasks.push(tokio::spawn(watcher.run()));
        }
        Ok(tasks)
    }
}

/// What an earlier run kept of a chain's pools.
async fn kept_pools(store: &Store, chain: u64) -> Result<KnownPools> {
    let mut known = KnownPools::default();
    for KeptPool { pool, block, form } in store.pool_states(chain).await? {
        match form.pool(block.number) {
            Ok(state) => known.insert(pool, block, state),
            Err(why) => tracing::warn!(chain, %pool, %why, "a kept state is none of a pool"),
        }
    }
    Ok(known)
}

fn audit_every(config: &Config, id: u64) -> u64 {
    let chain = config.chains.iter().find(|chain| chain.chain_id == id);
    chain.map_or(1, |chain| chain.ingest.audit_pool_every_blocks)
}
