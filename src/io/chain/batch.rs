//! Many calls in few requests, at the pace an endpoint allows.
//!
//! A request that fails as a whole is asked again in halves, since endpoints differ in how many
//! calls they take at once. Invariant: answers come in the order asked, one for each call.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use alloy::eips::BlockId;
use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, Bytes};
use alloy::providers::Provider;
use alloy::rpc::client::BatchRequest;
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolCall;
use alloy::transports::RpcError;
use futures::future::try_join_all;

use crate::io::chain::{BATCH_MAX, ChainClient, ChainError, ask, decode, refused};
use crate::model::text::plain;

/// Requests on their way at once.
const IN_FLIGHT: usize = 4;
/// Fewer calls are not split any more: then the endpoint itself has failed.
pub(super) const BATCH_MIN: usize = 10;
/// The same for one that does not answer in time: each attempt costs all the patience.
const BATCH_MIN_SILENT: usize = 64;
/// Pause before an endpoint that was not reached is asked the same again.
const UNREACHED_PAUSE: Duration = Duration::from_millis(250);

/// Calldata of one request: as hexadecimal it is twice as long, and nodes take two megabytes.
const BYTES_MAX: usize = 256 << 10;

/// A call of a contract: where, and its calldata.
pub(super) type Call = (Address, Bytes);
/// What a call gave, or the node's words why it failed.
pub(super) type Answer = Result<Bytes, String>;

/// What an answered call says.
pub(super) fn decoded<C: SolCall>(answer: &Answer) -> Result<C::Return, ChainError> {
    match answer {
        Ok(bytes) => decode::<C>(bytes),
        Err(why) => {
            let (what, why) = (C::SIGNATURE, why.clone());
            Err(ChainError::Refused { what, why, is_unreached: false })
        }
    }
}

/// How far a loading is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Pools that are done, whether they could be read or not.
    pub pools: usize,
    /// Pools in all.
    pub pools_total: usize,
    /// Requests sent.
    pub requests: u64,
    /// Calls in them.
    pub calls: u64,
}

/// Who is told, after each request.
pub type Tell<'t> = &'t (dyn Fn(Progress) + Send + Sync);

/// Tells nobody.
pub(super) fn silent(_: Progress) {}

/// What was asked so far, and how much may be asked at once.
pub(super) struct Asked<'t> {
    tell: Tell<'t>,
    pools: AtomicUsize,
    pools_total: usize,
    requests: AtomicU64,
    calls: AtomicU64,
    /// Most calls that this endpoint takes in one request, as far as is known.
    most: AtomicUsize,
}

impl<'t> Asked<'t> {
    pub(super) fn new(tell: Tell<'t>, pools_total: usize) -> Self {
        Self {
            tell,
            pools: AtomicUsize::new(0),
            pools_total,
            requests: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            most: AtomicUsize::new(BATCH_MAX),
        }
    }

    /// So many pools are done.
    pub(super) fn done(&self, pools: usize) {
        self.pools.store(pools, Ordering::Relaxed);
        self.told();
    }

    fn sent(&self, calls: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.calls.fetch_add(u64::try_from(calls).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.told();
    }

    fn told(&self) {
        (self.tell)(Progress {
            pools: self.pools.load(Ordering::Relaxed),
            pools_total: self.pools_total,
            requests: self.requests.load(Ordering::Relaxed),
            calls: self.calls.load(Ordering::Relaxed),
        });
    }
}

/// What an endpoint says of one call of many.
type Told = Result<Bytes, Failure>;

/// A call without a result.
#[derive(Debug)]
struct Failure {
    why: String,
    /// The EVM ended it so, and would again.
    is_call: bool,
}

/// Whether an error of an endpoint is the outcome of the call and not the endpoint's own trouble.
/// The codes are those of a revert (geth and most others) and of any failed run (Nethermind); what
/// geth, reth, anvil and others say of runs that failed otherwise has codes of everything.
fn is_of_the_call(code: i64, message: &str) -> bool {
    const SAID: [&str; 7] = [
        "revert",
        "opcode",
        "out of gas",
        "stack underflow",
        "stack limit",
        "invalid jump",
        "evm error",
    ];
    let message = message.to_ascii_lowercase();
    matches!(code, 3 | -32_015) || SAID.iter().any(|said| message.contains(said))
}

/// So many requests in any second at most.
#[derive(Debug)]
pub(super) struct Pace {
    per_s: usize,
    /// When the newest of them left or will leave, oldest first.
    turns: Mutex<VecDeque<Instant>>,
}

impl Pace {
    pub(super) fn new(per_s: u32) -> Self {
        let per_s = usize::try_from(per_s).unwrap_or(usize::MAX).max(1);
        Self { per_s, turns: Mutex::new(VecDeque::new()) }
    }

    /// When the next request may leave.
    fn next(&self, now: Instant) -> Instant {
        let mut turns = self.turns.lock().expect("no holder panics");
        let mut turn = now;
        if turns.len() >= self.per_s
            && let Some(oldest) = turns.pop_front()
        {
            turn = now.max(oldest + Duration::from_secs(1));
        }
        turns.push_back(turn);
        turn
    }

    /// Waits for the next turn.
    pub(super) async fn turn(&self) {
        let turn = self.next(Instant::now());
        tokio::time::sleep_until(turn.into()).await;
    }
}

/// Cuts calls into requests, neither too many nor too long.
fn cut(calls: &[Call]) -> Vec<&[Call]> {
    let (mut requests, mut rest) = (Vec::new(), calls);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take(BATCH_MAX).take_while(|(_, input)| {
            bytes += input.len();
            bytes <= BYTES_MAX
        });
        let (request, later) = rest.split_at(fits.count().max(1));
        requests.push(request);
        rest = later;
    }
    requests
}

/// How many to ask for at once after so many failed as a whole: half of them, and the error itself
/// where they were as few as may be.
pub(super) fn fewer(n: usize, least: usize, error: ChainError) -> Result<usize, ChainError> {
    let may_be_size = matches!(error, ChainError::Refused { .. } | ChainError::Timeout { .. });
    if may_be_size && n > least { Ok((n / 2).max(least)) } else { Err(error) }
}

impl ChainClient {
    /// Waits until a request of a loading may leave.
    pub(crate) async fn turn(&self) {
        if let Some(pace) = &self.pace {
            pace.turn().await;
        }
    }

    /// Many calls in few requests, some of these at once.
    ///
    /// # Errors
    /// `ChainError` when the endpoint fails; a call that does, fails alone.
    pub(super) async fn answers(
        &self,
        calls: &[Call],
        at: B256,
        asked: &Asked<'_>,
    ) -> Result<Vec<Answer>, ChainError> {
        let mut answers = Vec::with_capacity(calls.len());
        for wave in cut(calls).chunks(IN_FLIGHT) {
            let requests = wave.iter().map(|some| self.in_parts(some, at, asked));
            answers.extend(try_join_all(requests).await?.into_iter().flatten());
        }
        Ok(answers)
    }

    async fn in_parts(
        &self,
        calls: &[Call],
        at: B256,
        asked: &Asked<'_>,
    ) -> Result<Vec<Answer>, ChainError> {
        let mut answers = Vec::with_capacity(calls.len());
        let mut rest = calls;
        while !rest.is_empty() {
            let most = asked.most.load(Ordering::Relaxed);
            let (part, later) = rest.split_at(rest.len().min(most));
            let mut answer = self.one_request(part, at, asked).await;
            if matches!(answer, Err(ChainError::Refused { is_unreached: true, .. })) {
                tokio::time::sleep(UNREACHED_PAUSE).await;
                answer = self.one_request(part, at, asked).await;
            }
            match answer {
                Ok(told) => {
                    answers.extend(self.settled(part, told, at, asked).await);
                    rest = later;
                }
                Err(error) => {
                    let is_silent = matches!(error, ChainError::Timeout { .. });
                    let least = if is_silent { BATCH_MIN_SILENT } else { BATCH_MIN };
                    let fewer = fewer(part.len(), least, error)?;
                    asked.most.fetch_min(fewer, Ordering::Relaxed);
                }
            }
        }
        Ok(answers)
    }

    /// The answers, after those calls were asked once more that the endpoint refused and not the
    /// EVM: a limit on requests may have hit some of many. What is refused twice fails alone.
    async fn settled(
        &self,
        calls: &[Call],
        mut told: Vec<Told>,
        at: B256,
        asked: &Asked<'_>,
    ) -> Vec<Answer> {
        let is_refused = |told: &Told| matches!(told, Err(Failure { is_call: false, .. }));
        let places = told.iter().enumerate().filter(|(_, told)| is_refused(told));
        let places: Vec<usize> = places.map(|(place, _)| place).collect();
        if !places.is_empty() {
            tokio::time::sleep(UNREACHED_PAUSE).await;
            let again = places.iter().filter_map(|&place| calls.get(place).cloned());
            let again = self.one_request(&again.collect::<Vec<_>>(), at, asked).await;
            for (place, newer) in places.into_iter().zip(again.unwrap_or_default()) {
                if let Some(older) = told.get_mut(place) {
                    *older = newer;
                }
            }
        }
        told.into_iter().map(|told| told.map_err(|failure| failure.why)).collect()
    }

    async fn one_request(
        &self,
        calls: &[Call],
        at: B256,
        asked: &Asked<'_>,
    ) -> Result<Vec<Told>, ChainError> {
        let what = "eth_call";
        self.turn().await;
        let mut batch = BatchRequest::new(self.provider.client());
        let mut waiters = Vec::with_capacity(calls.len());
        for (to, input) in calls {
            let request = TransactionRequest::default().with_to(*to).with_input(input.clone());
            let waiter = batch
                .add_call::<_, Bytes>(what, &(request, BlockId::hash(at)))
                .map_err(|e| refused(what, &e))?;
            waiters.push(waiter);
        }
        asked.sent(calls.len());
        ask(what, async { batch.send().await }).await?;
        let mut answers = Vec::with_capacity(calls.len());
        for waiter in waiters {
            // All of them have their answer by now.
            answers.push(match waiter.await {
                Ok(bytes) => Ok(bytes),
                Err(RpcError::ErrorResp(payload)) => {
                    let is_call = is_of_the_call(payload.code, &payload.message);
                    Err(Failure { why: plain(&payload.message), is_call })
                }
                Err(error) => return Err(refused(what, &error)),
            });
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use alloy::providers::RootProvider;
    use alloy::providers::mock::Asserter;
    use alloy::rpc::client::RpcClient;

    use super::*;

    fn calls(n: u8) -> Vec<Call> {
        (0..n).map(|n| (Address::with_last_byte(n), Bytes::from(vec![n]))).collect()
    }

    #[tokio::test]
    async fn answers_keep_their_order_and_one_that_fails_fails_alone() {
        let endpoint = Asserter::new();
        let provider = RootProvider::new(RpcClient::mocked(endpoint.clone()));
        let client = ChainClient { provider, pace: None };
        for n in 0..12_u8 {
            match n {
                7 => endpoint.push_failure_msg("execution reverted"),
                _ => endpoint.push_success(&Bytes::from(vec![n])),
            }
        }
        let asked = Asked::new(&silent, 0);
        let found = client.answers(&calls(12), B256::ZERO, &asked).await.unwrap();
        assert_eq!(found.len(), 12);
        for (n, answer) in (0..12_u8).zip(found) {
            match n {
                7 => assert_eq!(answer, Err("execution reverted".to_owned())),
                _ => assert_eq!(answer, Ok(Bytes::from(vec![n]))),
            }
        }
    }

    #[tokio::test]
    async fn a_call_that_the_endpoint_refused_is_asked_once_more_and_then_fails_alone() {
        let endpoint = Asserter::new();
        let provider = RootProvider::new(RpcClient::mocked(endpoint.clone()));
        let client = ChainClient { provider, pace: None };
        for n in 0..3_u8 {
            endpoint.push_success(&Bytes::from(vec![n]));
        }
        endpoint.push_failure_msg("limit");
        endpoint.push_failure_msg("limit");
        // These two are asked again.
        endpoint.push_success(&Bytes::from(vec![3]));
        endpoint.push_failure_msg("limit");
        let asked = Asked::new(&silent, 0);
        let found = client.answers(&calls(5), B256::ZERO, &asked).await.unwrap();
        let mut expected: Vec<Answer> = (0..4_u8).map(|n| Ok(Bytes::from(vec![n]))).collect();
        expected.push(Err("limit".to_owned()));
        assert_eq!(found, expected);
        assert_eq!(asked.requests.load(Ordering::Relaxed), 2);
        // Nobody answers the second time: what was answered stays.
        endpoint.push_success(&Bytes::from(vec![0]));
        endpoint.push_failure_msg("limit");
        let found = client.answers(&calls(2), B256::ZERO, &asked).await.unwrap();
        assert_eq!(found, [Ok(Bytes::from(vec![0])), Err("limit".to_owned())]);
    }

    #[test]
    fn what_the_evm_ended_is_told_from_what_the_endpoint_refused() {
        for (code, said) in [
            (3, "execution reverted"),
            (-32_000, "invalid opcode: opcode 0xfe not defined"),
            (-32_000, "out of gas"),
            (-32_603, "EVM error InvalidFEOpcode"),
            (-32_015, "VM execution error."),
        ] {
            assert!(is_of_the_call(code, said), "{said}");
        }
        for (code, said) in [
            (-32_005, "daily request count exceeded, request rate limited"),
            (429, "Your app has exceeded its compute units per second capacity"),
            (-32_000, "header not found"),
            (-32_000, "missing trie node"),
            (-32_603, "Internal error"),
        ] {
            assert!(!is_of_the_call(code, said), "{said}");
        }
    }

    #[tokio::test]
    async fn a_request_that_is_too_much_is_asked_in_halves_until_it_is_few() {
        let endpoint = Asserter::new();
        let provider = RootProvider::new(RpcClient::mocked(endpoint.clone()));
        let client = ChainClient { provider, pace: None };
        let asked = Asked::new(&silent, 0);
        // Nothing is there to answer: 80, 40, 20 and 10 calls fail, each of them twice.
        assert!(client.answers(&calls(80), B256::ZERO, &asked).await.is_err());
        assert_eq!(asked.requests.load(Ordering::Relaxed), 8);
        // From now on it is not asked for more than it seemed to take.
        for n in 0..25_u8 {
            endpoint.push_success(&Bytes::from(vec![n]));
        }
        let found = client.answers(&calls(25), B256::ZERO, &asked).await.unwrap();
        let expected: Vec<Answer> = (0..25_u8).map(|n| Ok(Bytes::from(vec![n]))).collect();
        assert_eq!(found, expected);
        assert_eq!(asked.requests.load(Ordering::Relaxed), 11);
    }

    #[tokio::test]
    async fn what_did_not_get_through_is_asked_again_whole() {
        let endpoint = Asserter::new();
        let provider = RootProvider::new(RpcClient::mocked(endpoint.clone()));
        let client = ChainClient { provider, pace: None };
        let asked = Asked::new(&silent, 0);
        let comes_back = async {
            tokio::time::sleep(UNREACHED_PAUSE / 5).await;
            for n in 0..25_u8 {
                endpoint.push_success(&Bytes::from(vec![n]));
            }
        };
        let calls = calls(25);
        let answers = client.answers(&calls, B256::ZERO, &asked);
        let (found, ()) = tokio::join!(answers, comes_back);
        assert_eq!(found.unwrap().len(), 25);
        assert_eq!(asked.requests.load(Ordering::Relaxed), 2);
        assert_eq!(asked.most.load(Ordering::Relaxed), BATCH_MAX);
    }

    #[test]
    fn what_fails_as_a_whole_is_halved_while_it_is_many() {
        let refused = || ChainError::Refused { what: "", why: String::new(), is_unreached: false };
        assert_eq!(fewer(250, BATCH_MIN, refused()).unwrap(), 125);
        assert_eq!(fewer(15, BATCH_MIN, ChainError::Timeout { what: "" }).unwrap(), BATCH_MIN);
        assert!(fewer(BATCH_MIN, BATCH_MIN, refused()).is_err());
        assert_eq!(fewer(3, 1, refused()).unwrap(), 1);
        assert!(fewer(1, 1, refused()).is_err());
        // What is wrong in itself is not less so in halves.
        let nonsense = ChainError::Nonsense { what: "", why: String::new() };
        assert!(fewer(250, BATCH_MIN, nonsense).is_err());
    }

    #[test]
    fn requests_are_neither_too_many_calls_nor_too_long() {
        let sizes = |calls: &[Call]| cut(calls).iter().map(|some| some.len()).collect::<Vec<_>>();
        let call = |bytes: usize| (Address::ZERO, Bytes::from(vec![0; bytes]));
        assert_eq!(sizes(&vec![call(4); 2 * BATCH_MAX + 1]), [BATCH_MAX, BATCH_MAX, 1]);
        let long = BYTES_MAX / 2 + 1;
        let mixed = [call(long), call(long), call(4), call(2 * BYTES_MAX), call(4)];
        assert_eq!(sizes(&mixed), [1, 2, 1, 1]);
        assert!(cut(&[]).is_empty());
    }

    #[test]
    fn no_second_has_more_requests_than_allowed() {
        let pace = Pace::new(3);
        let now = Instant::now();
        let after: Vec<u128> =
            (0..8).map(|_| pace.next(now).duration_since(now).as_millis()).collect();
        assert_eq!(after, [0, 0, 0, 1_000, 1_000, 1_000, 2_000, 2_000]);
        let later = now + Duration::from_secs(9);
        assert_eq!(pace.next(later), later);
    }
}
