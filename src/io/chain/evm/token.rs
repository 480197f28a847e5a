//! Tokens, tried: bought, sold, kept for a month, all of it in our own EVM on a chain's state at
//! one block.
//!
//! What a token does is seen where it is traded: its pool gives some of what it holds to accounts
//! that nobody has, and gets some of it back. Those accounts' addresses come from the block, so
//! that no token can know them beforehand. What our EVM makes of the first calls must be what the
//! endpoint makes of them. What that means says [`super::verdict`].

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol_types::SolCall;
use futures::{StreamExt, stream};

use super::fetch::Call;
use super::machine::{Machine, Outcome};
use super::verdict::{Act, Doubt, Fault, Held, Said, Scene, Seen, Verdict, judge};
use super::{EvmError, Fork, Pinned};
use crate::engine::setup::PoolSetup;
use crate::io::chain::ChainClient;
use crate::model::text::plain;
use crate::venues::erc20::Erc20;

/// Tokens that are tried at the same time.
const AT_ONCE: usize = 4;
/// Holders with which a token is tried.
const HOLDERS_MAX: usize = 3;
/// Gas of one call of a token: many times what any known one takes.
const CALL_GAS: u64 = 3_000_000;
/// What is sent at once: this part of what the pool holds.
const PART_SENT: u64 = 1_000;
/// Least that is sent at once: a fee of one basis point of it is one unit.
const SENT_MIN: u64 = 10_000;
/// A pool that holds fewer times what is sent at once is not tried.
const HELD_MIN: u64 = 16;
/// Days that go by before each round of purchases and sales.
const DAYS: [u64; 4] = [0, 0, 1, 30];
/// Seconds between two transfers, which are in blocks of their own.
const STEP_S: u64 = 12;
const DAY_S: u64 = 86_400;
/// What the accounts that nobody has hold of the native coin: one.
const COIN_WEI: u64 = 1_000_000_000_000_000_000;

/// A token where it is traded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holding {
    /// The token.
    pub token: Address,
    /// The contract that holds it: the pool or, of V4, `PoolManager`.
    pub holder: Address,
}

impl Holding {
    /// The tokens of a pool with the contract that holds them; the native coin is none.
    pub fn of(pool: &PoolSetup) -> Vec<Self> {
        let holder = pool.address.contract().or(pool.manager);
        Self::both([pool.token0, pool.token1], holder)
    }

    /// The tokens among two coins.
    pub fn both(coins: [Address; 2], holder: Option<Address>) -> Vec<Self> {
        let tokens = coins.into_iter().filter(|coin| !coin.is_zero());
        tokens.filter_map(|token| Some(Self { token, holder: holder? })).collect()
    }
}

/// Who takes part, and how much goes from one to another.
#[derive(Clone, Copy, Debug)]
struct Cast {
    token: Address,
    pool: Address,
    buyer: Address,
    /// Another buyer, who then does nothing.
    bystander: Address,
    router: Address,
    amount: U256,
}

impl Cast {
    fn new(Holding { token, holder }: Holding, amount: U256, block: B256) -> Self {
        let nobody = |n: u8| Address::from_word(keccak256([&block[..], &[n]].concat()));
        let [buyer, bystander, router] = [1, 2, 3].map(nobody);
        Self { token, pool: holder, buyer, bystander, router, amount }
    }

    /// Who gives, who gets, and who does neither.
    fn sides(&self, act: Act) -> [Address; 3] {
        let Self { pool, buyer, bystander, .. } = *self;
        match act {
            Act::Buy => [pool, buyer, bystander],
            Act::BuyAside => [pool, bystander, buyer],
            Act::Sell | Act::SellByRouter => [buyer, pool, bystander],
        }
    }

    /// A sale is half of a purchase, so that there is always enough.
    fn amount_of(&self, act: Act) -> U256 {
        if act.is_sale() { self.amount / U256::from(2) } else { self.amount }
    }

    /// What both our EVM and the endpoint are asked at the block itself.
    fn common(&self) -> [(&'static str, Call); 3] {
        let Self { token, pool, buyer, amount, .. } = *self;
        let transfer = Erc20::transferCall { to: buyer, amount };
        let by_pool = Call { from: pool, ..Call::view(token, &transfer) };
        [
            ("decimals()", Call::view(token, &Erc20::decimalsCall {})),
            ("balanceOf(pool)", Call::view(token, &Erc20::balanceOfCall(pool))),
            ("transfer() as the pool", by_pool),
        ]
    }
}

/// What is sent at once; `None` where the pool holds too little.
fn amount(held: U256) -> Option<U256> {
    let amount = (held / U256::from(PART_SENT)).max(U256::from(SENT_MIN));
    (amount * U256::from(HELD_MIN) <= held).then_some(amount)
}

fn bytes(call: &impl SolCall) -> Bytes {
    call.abi_encode().into()
}

/// What a call that should move tokens answered: true, or nothing as USDT does.
fn said(outcome: Outcome) -> Said {
    let answer = match outcome {
        Outcome::Failed(why) => return Said::Failed(why),
        Outcome::Returned(answer) => answer,
    };
    if answer.is_empty() {
        return Said::Yes;
    }
    match answer.get(..32).map(U256::from_be_slice) {
        Some(word) if word == U256::ONE => Said::Yes,
        Some(word) if word.is_zero() => Said::No,
        _ => Said::Nonsense { n_bytes: answer.len() },
    }
}

fn balance(outcome: &Outcome) -> Option<U256> {
    let Outcome::Returned(answer) = outcome else { return None };
    Erc20::balanceOfCall::abi_decode_returns_validate(answer).ok()
}

/// A token in the making of its story.
struct Play<'m, 'k> {
    machine: &'m mut Machine<'k>,
    cast: Cast,
    seen: Seen,
}

/// Nothing more can be seen.
struct Over;

impl Play<'_, '_> {
    fn decimals(&mut self) -> Option<u8> {
        let call = bytes(&Erc20::decimalsCall {});
        let Outcome::Returned(answer) = self.machine.view(self.cast.token, &call, CALL_GAS) else {
            return None;
        };
        Erc20::decimalsCall::abi_decode_returns_validate(&answer).ok()
    }

    /// What each of three holds.
    fn balances(&mut self, of: [Address; 3]) -> Result<[U256; 3], Over> {
        let mut balances = [U256::ZERO; 3];
        for (balance_of, slot) in of.into_iter().zip(&mut balances) {
            let call = bytes(&Erc20::balanceOfCall(balance_of));
            let outcome = self.machine.view(self.cast.token, &call, CALL_GAS);
            let Some(held) = balance(&outcome) else {
                self.seen.scenes.push(Scene::NoBalance);
                return Err(Over);
            };
            *slot = held;
        }
        Ok(balances)
    }

    fn held(&mut self, of: [Address; 3]) -> Result<Held, Over> {
        let [giver, taker, other] = self.balances(of)?;
        Ok(Held { giver, taker, other })
    }

    fn send(&mut self, from: Address, call: &impl SolCall) -> Outcome {
        self.machine.send(from, self.cast.token, &bytes(call), CALL_GAS)
    }

    /// Asks for a transfer, in a block of its own.
    fn act(&mut self, act: Act) -> Result<(), Over> {
        self.machine.pass(1, STEP_S);
        let amount = self.cast.amount_of(act);
        let sides = self.cast.sides(act);
        let [from, to, _] = sides;
        let before = self.held(sides)?;
        let answer = match act {
            Act::Buy | Act::BuyAside | Act::Sell => {
                self.send(from, &Erc20::transferCall { to, amount })
            }
            Act::SellByRouter => {
                let router = self.cast.router;
                match self.send(from, &Erc20::approveCall { spender: router, amount }) {
                    Outcome::Returned(_) => {
                        self.send(router, &Erc20::transferFromCall { from, to, amount })
                    }
                    Outcome::Failed(why) => Outcome::Failed(format!("approve: {why}")),
                }
            }
        };
        let said = said(answer);
        let is_over = matches!(said, Said::Failed(_));
        let after = self.held(sides)?;
        self.seen.scenes.push(Scene::Move { act, amount, said, before, after });
        if is_over { Err(Over) } else { Ok(()) }
    }

    fn wait(&mut self, days: u64) -> Result<(), Over> {
        let Cast { pool, buyer, bystander, .. } = self.cast;
        let of = [pool, buyer, bystander];
        let before = self.balances(of)?;
        let seconds = days.saturating_mul(DAY_S);
        self.machine.pass(seconds / STEP_S, seconds);
        let after = self.balances(of)?;
        let balances = [0, 1, 2].map(|index| (before[index], after[index]));
        self.seen.scenes.push(Scene::Wait { days, balances });
        Ok(())
    }

    fn all(&mut self) -> Result<(), Over> {
        for days in DAYS {
            if days > 0 {
                self.wait(days)?;
            }
            for act in [Act::Buy, Act::BuyAside, Act::Sell, Act::SellByRouter] {
                self.act(act)?;
            }
        }
        Ok(())
    }
}

/// Everything that is done with a token: what our EVM makes of the calls that the endpoint is asked
/// too, and the story, with gas that has a price.
fn play(machine: &mut Machine<'_>, cast: &Cast) -> (Vec<Outcome>, Seen) {
    let ours = cast.common().map(|(_, call)| {
        let Call { from, to, input } = call;
        machine.view_from(from, to, &input, CALL_GAS)
    });
    machine.price();
    let mut play = Play { machine, cast: *cast, seen: Seen::default() };
    let before = play.decimals();
    // How far it came stands in what was seen.
    let _ = play.all();
    let after = play.decimals();
    let mut seen = play.seen;
    seen.decimals = [before, after];
    (ours.to_vec(), seen)
}

/// The first of the common calls that our EVM and the endpoint answer otherwise.
fn difference(cast: &Cast, ours: &[Outcome], theirs: &[Outcome]) -> Option<Doubt> {
    let pairs = cast.common().into_iter().zip(ours.iter().zip(theirs));
    let mut differing = pairs.filter(|(_, (ours, theirs))| match (ours, theirs) {
        (Outcome::Returned(ours), Outcome::Returned(theirs)) => ours != theirs,
        (Outcome::Failed(_), Outcome::Failed(_)) => false,
        _ => true,
    });
    let ((what, _), (ours, theirs)) = differing.next()?;
    let told = |outcome: &Outcome| match outcome {
        Outcome::Returned(answer) => plain(&answer.to_string()),
        Outcome::Failed(why) => format!("\"{why}\""),
    };
    Some(Doubt::Disagrees { what, theirs: told(theirs), ours: told(ours) })
}

/// The ones of a token's holders to try it with: those that hold most, first; or why there is none.
/// More than one, because a token may tax one pool and not another.
fn richest(balances: &[(Address, Outcome)]) -> Result<Vec<(Address, U256)>, Verdict> {
    let told = balances.iter().filter_map(|(holder, told)| Some((*holder, balance(told)?)));
    let mut told: Vec<(Address, U256)> = told.collect();
    told.sort_by_key(|(_, held)| std::cmp::Reverse(*held));
    told.truncate(HOLDERS_MAX);
    if !told.is_empty() {
        return Ok(told);
    }
    let failed = balances.iter().find_map(|(_, told)| match told {
        Outcome::Failed(why) => Some(why.clone()),
        Outcome::Returned(_) => None,
    });
    Err(match failed {
        Some(why) => Verdict::Unknown(Doubt::Unread(format!("balanceOf(): {why}"))),
        None => Verdict::Refused(Fault::NoBalance),
    })
}

impl ChainClient {
    /// Tries every token of these where most of it is held.
    pub async fn try_tokens(&self, holdings: &[Holding], at: B256) -> BTreeMap<Address, Verdict> {
        let holdings: BTreeSet<Holding> = holdings.iter().copied().collect();
        let holdings: Vec<Holding> = holdings.into_iter().collect();
        let unread = |error: &dyn std::error::Error| {
            let unknown = Verdict::Unknown(Doubt::Unread(error.to_string()));
            holdings.iter().map(|holding| (holding.token, unknown.clone())).collect()
        };
        let ask =
            |holding: &Holding| Call::view(holding.token, &Erc20::balanceOfCall(holding.holder));
        let calls: Vec<Call> = holdings.iter().map(ask).collect();
        let told = match self.told(&calls, at).await {
            Ok(told) => told,
            Err(error) => return unread(&error),
        };
        let block = match self.pinned(at).await {
            Ok(block) => block,
            Err(error) => return unread(&error),
        };
        let mut tokens: BTreeMap<Address, Vec<(Address, Outcome)>> = BTreeMap::new();
        for (Holding { token, holder }, told) in holdings.iter().copied().zip(told) {
            tokens.entry(token).or_default().push((holder, told));
        }
        let block = &block;
        let tried = tokens.into_iter().map(move |(token, balances)| async move {
            (token, self.try_token(token, &balances, block).await)
        });
        let tried: Vec<_> = tried.collect();
        stream::iter(tried).buffer_unordered(AT_ONCE).collect().await
    }

    async fn try_token(
        &self,
        token: Address,
        balances: &[(Address, Outcome)],
        block: &Pinned,
    ) -> Verdict {
        let richest = match richest(balances) {
            Ok(richest) => richest,
            Err(verdict) => return verdict,
        };
        let mut plain = None;
        for (holder, held) in richest {
            let Some(amount) = amount(held) else {
                // What the poorer ones hold is too little as well.
                return plain.unwrap_or(Verdict::Unknown(Doubt::TooFew { held }));
            };
            let cast = Cast::new(Holding { token, holder }, amount, block.hash);
            match self.try_cast(&cast, block).await {
                Verdict::Plain => plain = Some(Verdict::Plain),
                other => return other,
            }
        }
        plain.unwrap_or(Verdict::Refused(Fault::NoBalance))
    }

    async fn try_cast(&self, cast: &Cast, block: &Pinned) -> Verdict {
        match self.seen(cast, block).await {
            Ok((ours, theirs, seen)) => match difference(cast, &ours, &theirs) {
                Some(doubt) => Verdict::Unknown(doubt),
                None => judge(&seen),
            },
            Err(error) => Verdict::Unknown(Doubt::Unread(error.to_string())),
        }
    }

    /// What our EVM and the endpoint make of the common calls, and the story in our EVM.
    async fn seen(
        &self,
        cast: &Cast,
        block: &Pinned,
    ) -> Result<(Vec<Outcome>, Vec<Outcome>, Seen), EvmError> {
        let calls = cast.common().map(|(_, call)| call);
        let told = self.told(&calls, block.hash).await;
        let part = || format!("the views of {}", cast.token);
        let theirs = told.map_err(|why| EvmError::Read { part: part(), why })?;
        let mut fork = Fork::new(self, block.clone());
        for nobody in [cast.buyer, cast.bystander, cast.router] {
            fork.pretend(nobody, U256::from(COIN_WEI));
        }
        let (ours, seen) = fork.run(|machine: &mut Machine<'_>| play(machine, cast)).await?;
        Ok((ours, theirs, seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Address = Address::with_last_byte(1);
    const POOL: Address = Address::with_last_byte(2);
    const OTHER: Address = Address::with_last_byte(3);

    fn word(n: u64) -> Outcome {
        Outcome::Returned(U256::from(n).to_be_bytes::<32>().into())
    }

    fn failed() -> Outcome {
        Outcome::Failed("no".to_owned())
    }

    #[test]
    fn what_is_sent_shows_a_fee_and_leaves_the_pool_most_of_its_own() {
        let sent = |held: u64| amount(U256::from(held)).map(|amount| amount.to::<u64>());
        assert_eq!((sent(0), sent(159_999)), (None, None));
        assert_eq!(sent(160_000), Some(10_000));
        assert_eq!(sent(100_000_000), Some(100_000));
        assert!(amount(U256::MAX).is_some());
    }

    #[test]
    fn true_and_nothing_are_yes() {
        assert_eq!(said(Outcome::Returned(Bytes::new())), Said::Yes);
        assert_eq!((said(word(1)), said(word(0))), (Said::Yes, Said::No));
        assert_eq!(said(word(2)), Said::Nonsense { n_bytes: 32 });
        assert_eq!(said(Outcome::Returned(vec![1].into())), Said::Nonsense { n_bytes: 1 });
        assert_eq!(said(failed()), Said::Failed("no".to_owned()));
    }

    #[test]
    fn a_token_is_tried_where_most_of_it_is_held() {
        let balances = [(POOL, word(5)), (OTHER, word(9)), (TOKEN, failed())];
        let most = richest(&balances).map(|richest| richest[0]);
        assert_eq!(most, Ok((OTHER, U256::from(9))));
        let unread = Doubt::Unread("balanceOf(): no".to_owned());
        assert_eq!(richest(&[(POOL, failed())]), Err(Verdict::Unknown(unread)));
        let nothing = [(POOL, Outcome::Returned(Bytes::new()))];
        assert_eq!(richest(&nothing), Err(Verdict::Refused(Fault::NoBalance)));
    }

    #[test]
    fn the_native_coin_is_no_token_and_nobody_is_known_beforehand() {
        let both = Holding::both([Address::ZERO, TOKEN], Some(POOL));
        assert_eq!(both, [Holding { token: TOKEN, holder: POOL }]);
        assert!(Holding::both([TOKEN, OTHER], None).is_empty());
        let cast = |block| Cast::new(both[0], U256::from(10_000), block);
        let (one, two) = (cast(B256::ZERO), cast(B256::repeat_byte(1)));
        let mut all: Vec<Address> =
            [one, two].iter().flat_map(|c| [c.buyer, c.bystander, c.router]).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn answers_must_be_the_endpoints_own() {
        let holding = Holding { token: TOKEN, holder: POOL };
        let cast = Cast::new(holding, U256::from(10_000), B256::ZERO);
        let ours = [word(6), word(100), word(1)];
        assert_eq!(difference(&cast, &ours, &ours), None);
        // A token without decimals fails in both, each in its own words.
        let none = |why: &str| [Outcome::Failed(why.to_owned()), word(100), word(1)];
        assert_eq!(difference(&cast, &none("a"), &none("b")), None);
        for theirs in [[word(6), word(101), word(1)], [word(6), word(100), failed()]] {
            let doubt = difference(&cast, &ours, &theirs);
            assert!(matches!(doubt, Some(Doubt::Disagrees { .. })), "{doubt:?}");
        }
    }
}
