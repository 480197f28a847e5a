//! The local exchange: `sim`'s matching engine behind Binance's spot and USD-M protocols as of
//! 2026.
//!
//! One process, one port: spot at `/api/v3`, `/ws`, `/stream`, `/ws-api/v3`; USD-M at
//! `/fapi/v1..v3`, `/public`, `/market`, `/private`; controls at `/sim` for loopback only. Its
//! market is recorded (see `tapes/README.md`), the money is play money. All state stands behind one
//! lock that is never held over an await.

use std::future::Future;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::read::GzDecoder;
use thiserror::Error;
use tokio::net::TcpListener;

use crate::exchange::auth::ApiKey;
use crate::exchange::core::Core;
use crate::sim::fixed::ONE;
use crate::sim::tape::{Tape, TapeError};

pub mod auth;
pub mod call;
pub mod clock;
pub mod control;
pub mod core;
pub mod door;
pub mod errors;
pub mod hub;
pub mod meter;
pub mod server;
pub mod sockets;
pub mod spot_rest;
pub mod spot_wire;
pub mod usdm_rest;
pub mod usdm_wire;
pub mod ws_api;

#[cfg(test)]
mod tests;

/// API key of the demo account. Play money: it opens nothing but this simulated exchange.
pub const DEMO_API_KEY: &str = "TIDEKEEPERPLAYMONEYDEMOKEY00000000000000000000000000000000000001";
/// Secret of the demo account. Play money, public on purpose.
pub const DEMO_API_SECRET: &str = "TIDEKEEPERPLAYMONEYDEMOSECRET0000000000000000000000000000000001";
/// API key of the demo's second account: one owner per account and market.
pub const LEGS_API_KEY: &str = "TIDEKEEPERPLAYMONEYDEMOKEY00000000000000000000000000000000000002";
/// Secret of the demo's second account. Play money, public on purpose.
pub const LEGS_API_SECRET: &str = "TIDEKEEPERPLAYMONEYDEMOSECRET0000000000000000000000000000000002";
/// The day both tapes were recorded on, UTC.
pub const TAPE_DAY: &str = "2024-08-08";
/// Fastest replay.
pub const SPEED_MAX: u32 = 50;

const SPOT_TAPE: &[u8] = include_bytes!("tapes/spot_ethusdt.tape.gz");
const USDM_TAPE: &[u8] = include_bytes!("tapes/usdm_ethusdt.tape.gz");

/// Opening balances of every account, 1e-8 units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedBalances {
    /// ETH on spot.
    pub spot_eth: i64,
    /// USDT on spot.
    pub spot_usdt: i64,
    /// USDT in the futures wallet.
    pub usdm_usdt: i64,
}

/// Faults armed from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The first order is executed but never answered.
    pub loses_next_ack: bool,
}

/// How to run the exchange.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Tape milliseconds per wall millisecond, 1 to `SPEED_MAX`.
    pub speed: u32,
    /// Seconds between rounds of funding; 0 means none.
    pub funding_every_s: u32,
    /// Share of the position's value longs pay shorts each round, 1e-8. Simulated, not recorded.
    pub funding_rate: i64,
    /// Fee of a resting spot order, basis points: venues give market makers tiers of their own.
    pub spot_maker_fee_bps: u32,
    /// Opening balances.
    pub seed_balances: SeedBalances,
    /// One account per key.
    pub keys: Vec<ApiKey>,
    /// Highest initial leverage on futures, 1 to 125.
    pub leverage_max: u32,
    /// Faults armed from the start.
    pub fault: Faults,
}

/// Fee of a resting spot order for everybody, basis points.
pub const SPOT_MAKER_FEE_BPS: u32 = 10;

impl Options {
    /// The demo's exchange: two accounts, each with 100 ETH and 300,000 USDT on spot and 200,000
    /// USDT on futures.
    pub fn demo(listen: SocketAddr) -> Self {
        let pairs = [(DEMO_API_KEY, DEMO_API_SECRET), (LEGS_API_KEY, LEGS_API_SECRET)];
        let key =
            |(key, secret): (&str, &str)| ApiKey { key: key.to_owned(), secret: secret.to_owned() };
        Self {
            listen,
            speed: 1,
            funding_every_s: 30,
            funding_rate: ONE / 1_000_000,
            spot_maker_fee_bps: SPOT_MAKER_FEE_BPS,
            seed_balances: SeedBalances {
                spot_eth: 100 * ONE,
                spot_usdt: 300_000 * ONE,
                usdm_usdt: 200_000 * ONE,
            },
            keys: pairs.map(key).into(),
            leverage_max: 20,
            fault: Faults::default(),
        }
    }
}

/// Why the exchange cannot run.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// An option is out of its range.
    #[error("{name} must be {range}")]
    Option {
        /// Which.
        name: &'static str,
        /// What it may be.
        range: &'static str,
    },
    /// The address cannot be had.
    #[error("cannot listen on {listen}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A tape inside the binary cannot be unpacked.
    #[error("unpacking a tape")]
    Unpack(#[source] std::io::Error),
    /// A tape inside the binary cannot be read.
    #[error("reading a tape")]
    Tape(#[from] TapeError),
    /// The server stopped by itself.
    #[error("serving")]
    Serve(#[source] std::io::Error),
}

/// The state every connection shares.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Mutex<Core>>);

impl Shared {
    /// The exchange, for the length of one step. A panic elsewhere does not close the exchange.
    pub fn lock(&self) -> MutexGuard<'_, Core> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An exchange that listens; it lives while `run_until` runs.
#[derive(Debug)]
pub struct Serving {
    listener: TcpListener,
    addr: SocketAddr,
    shared: Shared,
}

impl Serving {
    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `shutdown` ends, then cuts all sockets and returns within seconds.
    pub async fn run_until(
        self,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ExchangeError> {
        server::run(self.listener, self.shared, shutdown).await.map_err(ExchangeError::Serve)
    }
}

/// Opens the exchange: unpacks the tapes, seeds the accounts, binds the port.
pub async fn serve(options: Options) -> Result<Serving, ExchangeError> {
    check(&options)?;
    let (spot, usdm) = (tape(SPOT_TAPE)?, tape(USDM_TAPE)?);
    let listen = options.listen;
    let failed = |source| ExchangeError::Listen { listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let core = Core::new(&options, spot, usdm, clock::now_ms());
    Ok(Serving { listener, addr, shared: Shared(Arc::new(Mutex::new(core))) })
}

fn check(options: &Options) -> Result<(), ExchangeError> {
    let seeds = options.seed_balances;
    let is_seed = |seed: i64| (0..=1_000_000 * ONE).contains(&seed);
    let rules = [
        ((1..=SPEED_MAX).contains(&options.speed), "speed", "1 to 50"),
        ((1..=125).contains(&options.leverage_max), "leverage_max", "1 to 125"),
        ((1..=100).contains(&options.keys.len()), "keys", "1 to 100 keys"),
        (options.funding_rate.abs() <= ONE / 100, "funding_rate", "within 1 % per round"),
        (options.funding_every_s <= 86_400, "funding_every_s", "at most one day"),
        (
            is_seed(seeds.spot_eth) && is_seed(seeds.spot_usdt) && is_seed(seeds.usdm_usdt),
            "seed_balances",
            "0 to 1,000,000 of each asset",
        ),
    ];
    match rules.into_iter().find(|(holds, _, _)| !holds) {
        Some((_, name, range)) => Err(ExchangeError::Option { name, range }),
        None => Ok(()),
    }
}

fn tape(packed: &[u8]) -> Result<Arc<Tape>, ExchangeError> {
    let mut text = String::new();
    GzDecoder::new(packed).read_to_string(&mut text).map_err(ExchangeError::Unpack)?;
    Ok(Arc::new(Tape::parse(&text)?))
}
