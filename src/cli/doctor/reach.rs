//! What a keeper reaches: chains with their contracts, keys with their fuel, exchanges and clocks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use alloy::primitives::Address;
use anyhow::{Context as _, Result};
use secrecy::SecretString;

use crate::cli::endpoints::{self, Reached};
use crate::cli::findings::{Report, Status};
use crate::config::Config;
use crate::config::agent::Mode;
use crate::config::chain::Chain;
use crate::config::pool::Contracts;
use crate::config::signer::Key as KeySource;
use crate::config::venue::{Venue, VenueKind};
use crate::io::chain::ChainClient;
use crate::io::clock;
use crate::io::rest::{Options, RestClient};
use crate::io::signer::Key;
use crate::model::amount::human_unsigned;
use crate::run::agent::{BINANCE_SPOT, BINANCE_USDM, variable};
use crate::venues::binance::{Dialect, account, sign};
use crate::venues::uniswap_v3::abi::SwapRouter02;

/// Patience for a connection to an exchange.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Patience for one answer of an exchange.
const VENUE_TIMEOUT: Duration = Duration::from_secs(5);
const BODY_BYTES_MAX: usize = 64 * 1_024;
/// Places of a native coin.
const NATIVE_DECIMALS: u32 = 18;

/// Every endpoint of every chain, and the contracts behind the first good one.
pub(super) async fn chains(report: &mut Report, config: &Config) -> BTreeMap<String, Reached> {
    let mut reached = BTreeMap::new();
    for chain in &config.chains {
        // That a variable is not set was told with the others.
        let Some(found) = endpoints::first_good(report, chain).await else { continue };
        contracts(report, chain, &found).await;
        reached.insert(chain.name.clone(), found);
    }
    reached
}

/// Whether there is code where the files say that there are contracts, and whether the router with
/// calls of its own belongs to the others.
async fn contracts(report: &mut Report, chain: &Chain, reached: &Reached) {
    let mut places: Vec<(String, Address)> = Vec::new();
    for (dex, found) in &chain.dexes {
        let name = |what: &str| format!("{} {what}", dex.name());
        places.push((name(dex.maker()), found.factory));
        places.extend(found.position_manager.map(|at| (name("position manager"), at)));
        places.extend(found.router.map(|at| (name("router"), at)));
        places.extend(found.router02.map(|at| (name("router02"), at)));
    }
    places.extend(chain.executor.map(|at| ("executor".to_owned(), at)));
    let at = format!("contracts on {}", chain.name);
    report.look(&at);
    let mut faults = Vec::new();
    for (name, address) in &places {
        match reached.client.has_code(*address, reached.head.hash).await {
            Ok(true) => {}
            Ok(false) => faults.push(format!("{name}: no code at {address}")),
            Err(error) => faults.push(format!("{name}: is there code at {address}? {error}")),
        }
    }
    if faults.is_empty() {
        for found in chain.dexes.values() {
            faults.extend(router02_faults(chain, found, reached).await);
        }
    }
    if faults.is_empty() {
        return report.ok(at, format!("{} addresses, each has code", places.len()));
    }
    for found in faults {
        let remedy = format!("check the address in the file of chain {}", chain.name);
        report.bad(Status::Fail, &at, found, remedy);
    }
}

/// What a `SwapRouter02` says of its deployment and the files do not.
async fn router02_faults(chain: &Chain, contracts: &Contracts, reached: &Reached) -> Vec<String> {
    let Some((at, manager)) = contracts.router02.zip(contracts.position_manager) else {
        return Vec::new();
    };
    let (client, head) = (&reached.client, reached.head.hash);
    let views = [
        ("factory()", client.view(at, &SwapRouter02::factoryCall {}, head).await),
        ("WETH9()", client.view(at, &SwapRouter02::WETH9Call {}, head).await),
        ("positionManager()", client.view(at, &SwapRouter02::positionManagerCall {}, head).await),
    ];
    let wanted = [contracts.factory, chain.wrapped_native, manager];
    let mut faults = Vec::new();
    for ((view, found), want) in views.into_iter().zip(wanted) {
        match found {
            Ok(found) if found == want => {}
            Ok(found) => {
                faults.push(format!("uniswap_v3 router02: {view} is {found}, not {want}"));
            }
            Err(error) => faults.push(format!("uniswap_v3 router02: {error}")),
        }
    }
    faults
}

/// Whether each key can be read, by us alone; the addresses of those that can.
pub(super) async fn signers(report: &mut Report, config: &Config) -> BTreeMap<String, Address> {
    let mut addresses = BTreeMap::new();
    for (name, signer) in &config.agent.signers {
        let at = format!("signer {name}");
        report.look(&format!("{at}, opening its key"));
        let key = match &signer.key {
            KeySource::Dev { private_key_env } => development_key(private_key_env),
            KeySource::Keystore { path, passphrase_file } => {
                for file in [path, passphrase_file] {
                    is_ours_alone(report, &at, file);
                }
                keystore(path, passphrase_file).await
            }
        };
        match key {
            Ok(address) => {
                report.ok(at, format!("its key can be read, address {address}"));
                addresses.insert(name.clone(), address);
            }
            Err(error) => {
                let remedy = "check [signers] in agent.toml, the files it names and their owner";
                report.bad(Status::Fail, at, format!("{error:#}"), remedy);
            }
        }
    }
    addresses
}

fn development_key(name: &str) -> Result<Address> {
    let text = variable(name).with_context(|| format!("{name} is not set"))?;
    Ok(Key::from_hex(&SecretString::from(text))?.address())
}

/// Opening a keystore takes seconds on purpose.
async fn keystore(path: &Path, passphrase_file: &Path) -> Result<Address> {
    let (path, passphrase_file) = (path.to_owned(), passphrase_file.to_owned());
    let opened = tokio::task::spawn_blocking(move || -> Result<Address> {
        let pass = fs::read_to_string(&passphrase_file)
            .with_context(|| format!("reading {}", passphrase_file.display()))?;
        let pass = SecretString::from(pass.trim_end().to_owned());
        Ok(Key::from_keystore(&path, &pass)?.address())
    });
    opened.await?
}

/// Files with keys are for their owner alone.
fn is_ours_alone(report: &mut Report, at: &str, file: &Path) {
    // That it is missing is told when it is opened.
    let Ok(meta) = fs::metadata(file) else { return };
    let mode = meta.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let found = format!("{} has mode {mode:04o}: others can use it", file.display());
        report.bad(Status::Fail, at, found, format!("chmod 600 {}", file.display()));
    }
}

/// Whether the signers have the native coin they need on each chain.
pub(super) async fn fuel(
    report: &mut Report,
    config: &Config,
    reached: &BTreeMap<String, Reached>,
    signers: &BTreeMap<String, Address>,
) {
    let sends = matches!(config.agent.mode, Mode::Live | Mode::Demo);
    let status = if sends { Status::Fail } else { Status::Warn };
    for chain in &config.chains {
        let Some(Reached { client, .. }) = reached.get(&chain.name) else { continue };
        let seats = config.strategies.iter().filter_map(|strategy| strategy.seat());
        let names: BTreeSet<&String> =
            seats.filter(|seat| seat.chain == chain.name).map(|seat| &seat.signer).collect();
        for name in names {
            let Some(address) = signers.get(name) else { continue };
            let at = format!("fuel of {name} on {}", chain.name);
            report.look(&at);
            let (least, coin) = (chain.fuel.min_native_per_signer, &chain.native);
            let balance = match balance(client, *address).await {
                Ok(balance) => balance,
                Err(error) => {
                    let remedy = "ask again; the endpoint must give states of its newest block";
                    report.bad(status, at, format!("{error:#}"), remedy);
                    continue;
                }
            };
            let found = format!("{} {coin}, at least {least}", balance.normalize());
            if balance < least {
                report.bad(status, at, found, format!("send {coin} to {address}"));
            } else {
                report.ok(at, found);
            }
        }
    }
}

async fn balance(client: &ChainClient, of: Address) -> Result<rust_decimal::Decimal> {
    let head = client.latest().await?.header.hash;
    let raw = client.balance(of, head).await?;
    human_unsigned(raw, NATIVE_DECIMALS).context("the balance is no number for people")
}

/// Whether each exchange answers, and how far its clock is from ours.
pub(super) async fn venues(report: &mut Report, config: &Config) {
    let offset_ms_max = config.agent.safety.max_clock_offset_ms;
    for (name, venue) in &config.agent.venues {
        let at = format!("venue {name}");
        report.look(&at);
        match clock_offset_ms(venue).await {
            Err(error) => {
                let remedy = "check the network, rest_url, and whether the exchange serves you";
                report.bad(Status::Fail, at, format!("{error:#}"), remedy);
            }
            Ok(offset_ms) => {
                let found = format!("its clock is {offset_ms} ms ahead, at most {offset_ms_max}");
                if offset_ms.unsigned_abs() > offset_ms_max {
                    let remedy = "set this machine's clock: timedatectl set-ntp true";
                    report.bad(Status::Fail, at, found, remedy);
                } else {
                    report.ok(at, found);
                }
            }
        }
    }
}

/// The exchange's clock minus ours, by the middle of the round trip.
async fn clock_offset_ms(venue: &Venue) -> Result<i64> {
    let (dialect, (rest, _)) = match venue.kind {
        VenueKind::BinanceSpot => (Dialect::Spot, BINANCE_SPOT),
        VenueKind::BinanceUsdm { .. } => (Dialect::UsdM, BINANCE_USDM),
    };
    let options = Options {
        connect_timeout: CONNECT_TIMEOUT,
        timeout: VENUE_TIMEOUT,
        body_bytes_max: BODY_BYTES_MAX,
    };
    let client = RestClient::new(venue.rest_url.as_deref().unwrap_or(rest), options)?;
    let request = sign::unsigned(&dialect.server_time()).context("the request needs a key")?;
    let asked = clock::now();
    let reply = client.send(&request).await?;
    let answered = clock::now();
    anyhow::ensure!(reply.status == 200, "the exchange answers with status {}", reply.status);
    let server = account::server_time(&reply.body).context("reading the exchange's clock")?;
    Ok(server.ms_since(asked.plus_ms(answered.ms_since(asked) / 2)))
}
