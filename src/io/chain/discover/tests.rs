use alloy::primitives::aliases::{I24, U24};
use alloy::primitives::{LogData, U160, address};
use alloy::providers::RootProvider;
use alloy::providers::mock::Asserter;
use alloy::rpc::client::RpcClient;
use alloy::sol_types::SolValue;

use super::*;
use crate::math::amm::tick::sqrt_price_at;

const V2: Address = address!("5c69bee701ef814a2b6a3edd4b1652cb9cc5aa6f");
const SUSHI_V3: Address = address!("c35dadb65012ec5796536bd9864ed8773abc74c4");
const V4: Address = address!("000000000004444c5dc75cb358380d2e3de08a90");
const LOW: Address = Address::with_last_byte(1);
const HIGH: Address = Address::with_last_byte(2);
const POOL: Address = Address::with_last_byte(9);

fn search(blocks: RangeInclusive<u64>) -> Search {
    let sources = vec![(Dex::UniswapV2, V2), (Dex::SushiswapV3, SUSHI_V3), (Dex::UniswapV4, V4)];
    Search::new(sources, vec![Address::ZERO, LOW, HIGH], blocks)
}

fn client(endpoint: &Asserter) -> ChainClient {
    ChainClient { provider: RootProvider::new(RpcClient::mocked(endpoint.clone())), pace: None }
}

fn log(source: Address, block: u64, data: LogData) -> Log {
    let inner = alloy::primitives::Log { address: source, data };
    Log { inner, block_number: Some(block), ..Log::default() }
}

fn pair_log(block: u64) -> Log {
    let topics =
        vec![UniswapV2Factory::PairCreated::SIGNATURE_HASH, LOW.into_word(), HIGH.into_word()];
    let data = (POOL, U256::ONE).abi_encode();
    log(V2, block, LogData::new_unchecked(topics, data.into()))
}

fn pool_log(block: u64) -> Log {
    let made = UniswapV3Factory::PoolCreated {
        token0: LOW,
        token1: HIGH,
        fee: U24::from(500),
        tickSpacing: I24::unchecked_from(10),
        pool: POOL,
    };
    log(SUSHI_V3, block, made.encode_log_data())
}

fn key() -> PoolKey {
    PoolKey {
        currency0: Address::ZERO,
        currency1: HIGH,
        fee_pips: 500,
        tick_spacing: 10,
        hooks: Address::ZERO,
    }
}

fn opening_log(block: u64) -> Log {
    let opened = PoolManager::Initialize {
        id: key().id(),
        currency0: Address::ZERO,
        currency1: HIGH,
        fee: U24::from(500),
        tickSpacing: I24::unchecked_from(10),
        hooks: Address::ZERO,
        sqrtPriceX96: U160::from(1) << 96,
        tick: I24::ZERO,
    };
    log(V4, block, opened.encode_log_data())
}

fn v3() -> Found {
    search(0..=9).found(&pool_log(7)).unwrap().unwrap()
}

#[test]
fn each_kind_of_factory_is_understood() {
    let found = |log: &Log| search(0..=9).found(log).unwrap();
    let pair = Found {
        dex: Dex::UniswapV2,
        source: V2,
        coins: [LOW, HIGH],
        terms: Terms::V2 { pair: POOL },
        block: 5,
    };
    assert_eq!(found(&pair_log(5)), Some(pair));
    assert_eq!((pair.address(), pair.fee_pips()), (POOL.into(), 3_000));
    let pool = Found {
        dex: Dex::SushiswapV3,
        source: SUSHI_V3,
        terms: Terms::V3 { pool: POOL, fee_pips: 500 },
        ..pair
    };
    assert_eq!(found(&pool_log(5)), Some(pool));
    let opened = Found {
        dex: Dex::UniswapV4,
        source: V4,
        coins: [Address::ZERO, HIGH],
        terms: Terms::V4 { id: key().id(), key: key() },
        ..pair
    };
    assert_eq!(found(&opening_log(5)), Some(opened));
    assert_eq!(opened.address(), key().id().into());
}

#[test]
fn what_was_not_asked_for_is_passed_over_and_what_is_malformed_is_an_error() {
    let found = |log: Log| search(0..=9).found(&log);
    assert_eq!(found(Log { removed: true, ..pair_log(5) }), Ok(None));
    assert_eq!(found(Log { block_number: None, ..pair_log(5) }), Ok(None));
    let mut elsewhere = pair_log(5);
    elsewhere.inner.address = POOL;
    assert_eq!(found(elsewhere), Ok(None));
    let mut short = pair_log(5);
    short.inner.data.data = Bytes::from(vec![0; 63]);
    assert!(found(short).is_err());
}

#[test]
fn an_endpoint_is_asked_for_the_coins_of_the_file_alone() {
    let search = search(100..=199);
    let filters = search.filters(search.last(10));
    let n_topics = |filter: &Filter| filter.topics.iter().map(|topic| topic.len()).sum::<usize>();
    assert_eq!(filters.iter().map(n_topics).collect::<Vec<_>>(), [7, 7, 7]);
    for (filter, log) in filters.iter().zip([pair_log(1), pool_log(1), opening_log(1)]) {
        assert_eq!((filter.get_from_block(), filter.get_to_block()), (Some(100), Some(109)));
        assert!(filter.address.contains(&log.address()));
        for (asked, topic) in filter.topics.iter().zip(log.topics()) {
            assert!(asked.is_empty() || asked.contains(topic), "{topic}");
        }
    }
    let no_coins = Search { coins: Vec::new(), ..search.clone() };
    assert!(no_coins.filters(199).is_empty());
    let pairs = Search { sources: vec![(Dex::UniswapV2, V2)], ..search };
    assert_eq!(pairs.filters(199).len(), 1);
}

/// An endpoint that takes at most 25 blocks at once.
#[tokio::test]
async fn half_as_many_blocks_are_asked_for_when_an_endpoint_refuses() {
    let endpoint = Asserter::new();
    let client = client(&endpoint);
    let mut search = search(0..=99);
    let answer = |pairs: Vec<Log>, pools: Vec<Log>, opened: Vec<Log>| {
        for logs in [pairs, pools, opened] {
            endpoint.push_success(&logs);
        }
    };
    endpoint.push_failure_msg("block range is too wide");
    endpoint.push_failure_msg("block range is too wide");
    answer(vec![pair_log(24)], vec![pool_log(3)], Vec::new());
    let found = client.opened(&mut search).await.unwrap();
    assert_eq!(found.iter().map(|found| found.block).collect::<Vec<_>>(), [3, 24]);
    assert_eq!((search.next_block(), search.step), (25, 25));
    // It is not asked for more at once, and what fails leaves the search where it was.
    answer(Vec::new(), Vec::new(), Vec::new());
    assert!(client.opened(&mut search).await.unwrap().is_empty());
    let stood = search.clone();
    assert_eq!(search.next_block(), 50);
    endpoint.push_success(&[pair_log(50)]);
    for _ in 0..5 {
        endpoint.push_failure_msg("try again later");
    }
    assert!(matches!(client.opened(&mut search).await, Err(ChainError::Refused { .. })));
    assert_eq!(search, stood);
    for _ in 0..2 {
        answer(Vec::new(), Vec::new(), vec![opening_log(99)]);
        client.opened(&mut search).await.unwrap();
    }
    assert!(search.is_done() && client.opened(&mut search).await.unwrap().is_empty());
    assert!(endpoint.pop_response().is_none());
}

#[tokio::test]
async fn an_endpoint_that_answers_again_is_asked_for_more_again() {
    let endpoint = Asserter::new();
    let client = client(&endpoint);
    let mut search = Search { sources: vec![(Dex::UniswapV2, V2)], ..search(0..=9_999_999) };
    endpoint.push_failure_msg("more than 10000 results");
    let mut steps = Vec::new();
    for _ in 0..11 {
        endpoint.push_success(&Vec::<Log>::new());
        client.opened(&mut search).await.unwrap();
        steps.push(search.step);
    }
    assert_eq!(steps, [[50_000; 8].as_slice(), &[100_000; 3]].concat());
    assert_eq!(search.next_block(), 9 * 50_000 + 2 * 100_000);
    // One that is not reached at all is not asked for less.
    let stood = search.clone();
    assert!(client.opened(&mut search).await.is_err());
    assert_eq!(search, stood);
}

#[tokio::test]
async fn a_log_that_is_nonsense_is_not_asked_for_again() {
    let endpoint = Asserter::new();
    let mut short = pair_log(5);
    short.inner.data.data = Bytes::from(vec![0; 63]);
    endpoint.push_success(&[short]);
    let told = client(&endpoint).opened(&mut search(0..=99)).await;
    assert!(matches!(told, Err(ChainError::Nonsense { .. })));
}

fn word(value: u64) -> Bytes {
    Bytes::from(U256::from(value).abi_encode())
}

/// What `slot0` of a V3 pool at tick zero answers.
fn slot0(sqrt_price_x96: U256) -> Bytes {
    let zero = U256::ZERO;
    (sqrt_price_x96, zero, zero, zero, zero, zero, true).abi_encode().into()
}

#[tokio::test]
async fn each_kind_of_pool_is_seen_and_one_that_reverts_is_unknown_alone() {
    let endpoint = Asserter::new();
    let pair = Found { dex: Dex::UniswapV2, terms: Terms::V2 { pair: POOL }, ..v3() };
    let (id, key) = (key().id(), key());
    let v4 = Found { dex: Dex::UniswapV4, terms: Terms::V4 { id, key }, ..v3() };
    endpoint.push_success(&Bytes::from((U256::from(3), U256::from(4), U256::ZERO).abi_encode()));
    // As deep as 1,000 of each; the second coin is there in part.
    for answer in [slot0(sqrt_price_at(0).unwrap()), word(1_000), word(5_000), word(600)] {
        endpoint.push_success(&answer);
    }
    endpoint.push_failure_msg("execution reverted");
    let packed = sqrt_price_at(0).unwrap() | U256::from(3_000) << 208;
    let words = vec![B256::from(packed), B256::with_last_byte(77)];
    endpoint.push_success(&Bytes::from(words.abi_encode()));
    let seen = client(&endpoint).look(&[pair, v3(), pair, v4], B256::ZERO).await.unwrap();
    let open = |tick, fee_pips, depth: [u64; 2]| {
        Some(Seen::Open { tick, fee_pips, depth: depth.map(U256::from) })
    };
    let expected = [
        open(None, 3_000, [3, 4]),
        open(Some(0), 500, [1_000, 600]),
        None,
        open(Some(0), 3_000, [77, 77]),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_pool_without_a_price_is_unopened_and_a_strange_answer_unknown() {
    let held = || [word(1), word(1), word(1)].map(Some);
    let answers = |slot0: Bytes| [vec![Some(slot0)], held().to_vec()].concat();
    assert_eq!(v3().seen(&answers(slot0(U256::ZERO))), Some(Seen::Unopened));
    assert_eq!(v3().seen(&answers(word(7))), None);
    assert_eq!(v3().seen(&[]), None);
    let v4 = Found { terms: Terms::V4 { id: key().id(), key: key() }, ..v3() };
    let words = |n| Some(Bytes::from(vec![B256::ZERO; n].abi_encode()));
    assert_eq!(v4.seen(&[words(2)]), Some(Seen::Unopened));
    assert_eq!(v4.seen(&[words(3)]), None);
}

#[tokio::test]
async fn decimals_are_those_the_tokens_tell() {
    let endpoint = Asserter::new();
    for answer in [word(6), word(256), Bytes::new()] {
        endpoint.push_success(&answer);
    }
    let told = client(&endpoint).decimals(&[LOW, HIGH, POOL], B256::ZERO).await.unwrap();
    assert_eq!(told, [Some(6), None, None]);
}
