//! Whether a token can be traded in pools: by what it did when it was bought, sold and kept.
//!
//! Knows what was seen and asks nobody. Pools count on a token that moves what it is told to move,
//! between those it is told and nobody else, and leaves balances alone otherwise. Invariant: a
//! token is plain only after all of it was seen.

use std::fmt;

use alloy::primitives::U256;
use thiserror::Error;

/// What is known of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It moves what it is told to move, and nothing else.
    Plain,
    /// Pools of it cannot be used.
    Refused(Fault),
    /// It could not be tried.
    Unknown(Doubt),
}

/// Something a token does that pools do not count on. Amounts are raw units.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// It has no `balanceOf` that answers with a number.
    #[error("it does not tell balances: no token of ERC-20 is there")]
    NoBalance,
    /// It does not move at all.
    #[error("{amount} units {act} are refused: {why}{}", trap(.act))]
    Refuses {
        /// What was tried.
        act: Act,
        /// How much.
        amount: U256,
        /// Its own words.
        why: String,
    },
    /// It answers that it did not move, without reverting.
    #[error("asked for {amount} units {act} it answers false")]
    SaysNo {
        /// What was tried.
        act: Act,
        /// How much.
        amount: U256,
    },
    /// Its answer is neither nothing nor a truth value.
    #[error(
        "asked for {amount} units {act} it answers with {n_bytes} bytes that say neither yes \
             nor no"
    )]
    SaysNonsense {
        /// What was tried.
        act: Act,
        /// How much.
        amount: U256,
        /// Length of its answer.
        n_bytes: usize,
    },
    /// Less arrives than was sent.
    #[error("of {amount} units {act} {got} arrive: it takes a fee on transfers")]
    Fee {
        /// What was tried.
        act: Act,
        /// What was sent.
        amount: U256,
        /// What arrived.
        got: U256,
    },
    /// More arrives than was sent.
    #[error("of {amount} units {act} {got} arrive: it gives more than is sent")]
    Bonus {
        /// What was tried.
        act: Act,
        /// What was sent.
        amount: U256,
        /// What arrived.
        got: U256,
    },
    /// The sender loses something else than was sent.
    #[error("{lost} units leave for {amount} units {act}")]
    Lost {
        /// What was tried.
        act: Act,
        /// What was sent.
        amount: U256,
        /// What the sender lost.
        lost: U256,
    },
    /// A transfer changes what somebody else holds.
    #[error("{amount} units {act} change the balance of a third party from {before} to {after}")]
    Others {
        /// What was tried.
        act: Act,
        /// What was sent.
        amount: U256,
        /// What the third party held.
        before: U256,
        /// What it held then.
        after: U256,
    },
    /// Balances change by themselves.
    #[error("a balance of {before} is {after} {days} day(s) later, without a transfer: it rebases")]
    Rebases {
        /// What was held.
        before: U256,
        /// What was held then.
        after: U256,
        /// Days between.
        days: u64,
    },
    /// Its decimals are not always the same.
    #[error("its decimals change from {} to {}", told(.before), told(.after))]
    Decimals {
        /// Before the transfers; `None` where it told none.
        before: Option<u8>,
        /// After the transfers; `None` where it told none.
        after: Option<u8>,
    },
}

/// Why a token could not be tried.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Doubt {
    /// No pool of it was looked at.
    #[error("it was tried in no pool")]
    NotTried,
    /// A fee could not be told from rounding.
    #[error("its pools hold {held} raw units of it, too few to try it")]
    TooFew {
        /// What the one that holds most of it has.
        held: U256,
    },
    /// The endpoint did not tell what was needed.
    #[error("it could not be tried: {0}")]
    Unread(String),
    /// The chain does something that our EVM does not.
    #[error(
        "the endpoint answers {what} with {theirs}, our own EVM with {ours}: the chain has \
             rules that are not simulated here"
    )]
    Disagrees {
        /// What was asked.
        what: &'static str,
        /// What the endpoint makes of it.
        theirs: String,
        /// What our EVM makes of it.
        ours: String,
    },
}

/// A way in which a token goes from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The pool sends to a buyer.
    Buy,
    /// The pool sends to another buyer.
    BuyAside,
    /// The buyer sends to the pool.
    Sell,
    /// A router that the buyer allowed to brings it to the pool.
    SellByRouter,
}

impl Act {
    pub(super) fn is_sale(self) -> bool {
        matches!(self, Self::Sell | Self::SellByRouter)
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Buy | Self::BuyAside => "sent by its pool",
            Self::Sell => "sent to its pool",
            Self::SellByRouter => "brought to its pool by a router",
        })
    }
}

/// What a refused sale means: the purchase before it went through.
fn trap(act: &Act) -> &'static str {
    if act.is_sale() { "; it can be bought and not sold" } else { "" }
}

fn told(decimals: &Option<u8>) -> String {
    decimals.map_or_else(|| "none".to_owned(), |decimals| decimals.to_string())
}

/// What the token answered when it was asked to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// True, or nothing as USDT does.
    Yes,
    /// False.
    No,
    /// Something else of this length.
    Nonsense { n_bytes: usize },
    /// It failed, with these words.
    Failed(String),
}

/// What the three hold that take part: whoever gives, whoever gets, and whoever does neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) giver: U256,
    pub(super) taker: U256,
    pub(super) other: U256,
}

/// One thing that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// A transfer was asked for.
    Move { act: Act, amount: U256, said: Said, before: Held, after: Held },
    /// Time went by: each balance before and after.
    Wait { days: u64, balances: [(U256, U256); 3] },
    /// A balance was asked for, and nothing was told.
    NoBalance,
}

/// All that was seen of a token, in order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Seen {
    pub(super) scenes: Vec<Scene>,
    /// Before and after all of them.
    pub(super) decimals: [Option<u8>; 2],
}

/// The first thing that pools do not count on.
pub(super) fn judge(seen: &Seen) -> Verdict {
    let [before, after] = seen.decimals;
    let last = || (before != after).then_some(Fault::Decimals { before, after });
    match seen.scenes.iter().find_map(fault).or_else(last) {
        Some(fault) => Verdict::Refused(fault),
        None => Verdict::Plain,
    }
}

fn fault(scene: &Scene) -> Option<Fault> {
    match scene {
        Scene::NoBalance => Some(Fault::NoBalance),
        Scene::Wait { days, balances } => {
            let changed = balances.iter().find(|(before, after)| before != after);
            changed.map(|&(before, after)| Fault::Rebases { before, after, days: *days })
        }
        Scene::Move { act, amount, said, before, after } => {
            let (act, amount) = (*act, *amount);
            match said {
                Said::Yes => moved(act, amount, before, after),
                Said::No => Some(Fault::SaysNo { act, amount }),
                Said::Nonsense { n_bytes } => {
                    Some(Fault::SaysNonsense { act, amount, n_bytes: *n_bytes })
                }
                Said::Failed(why) => Some(Fault::Refuses { act, amount, why: why.clone() }),
            }
        }
    }
}

/// Whether what was asked for moved, and nothing else.
fn moved(act: Act, amount: U256, before: &Held, after: &Held) -> Option<Fault> {
    let lost = before.giver.saturating_sub(after.giver);
    let got = after.taker.saturating_sub(before.taker);
    if got < amount {
        return Some(Fault::Fee { act, amount, got });
    }
    if got > amount {
        return Some(Fault::Bonus { act, amount, got });
    }
    if lost != amount {
        return Some(Fault::Lost { act, amount, lost });
    }
    let (before, after) = (before.other, after.other);
    (before != after).then_some(Fault::Others { act, amount, before, after })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(giver: u64, taker: u64, other: u64) -> Held {
        let [giver, taker, other] = [giver, taker, other].map(U256::from);
        Held { giver, taker, other }
    }

    /// A hundred units moved as they should.
    fn fair(act: Act) -> Scene {
        let (before, after) = (held(1_000, 0, 7), held(900, 100, 7));
        Scene::Move { act, amount: U256::from(100), said: Said::Yes, before, after }
    }

    fn becomes(act: Act, now: Held) -> Scene {
        let before = held(1_000, 0, 7);
        Scene::Move { act, amount: U256::from(100), said: Said::Yes, before, after: now }
    }

    fn says(act: Act, said: Said) -> Scene {
        let before = held(1_000, 0, 7);
        Scene::Move { act, amount: U256::from(100), said, before, after: before }
    }

    fn wait(days: u64, balances: [(u64, u64); 3]) -> Scene {
        let balances = balances.map(|(before, after)| (U256::from(before), U256::from(after)));
        Scene::Wait { days, balances }
    }

    fn judged(scenes: &[Scene]) -> Verdict {
        judge(&Seen { scenes: scenes.to_vec(), decimals: [Some(6), Some(6)] })
    }

    /// The reason in words.
    fn reason(scenes: &[Scene]) -> String {
        match judged(scenes) {
            Verdict::Refused(fault) => fault.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_token_that_moves_what_it_is_told_is_plain() {
        let scenes = [
            fair(Act::Buy),
            fair(Act::BuyAside),
            fair(Act::Sell),
            fair(Act::SellByRouter),
            wait(30, [(5, 5), (0, 0), (9, 9)]),
        ];
        assert_eq!(judged(&scenes), Verdict::Plain);
        assert_eq!(judge(&Seen::default()), Verdict::Plain);
    }

    #[test]
    fn each_oddity_has_its_reason() {
        let check = |scene: Scene, want: &str| assert_eq!(reason(&[fair(Act::Buy), scene]), want);
        check(
            becomes(Act::Buy, held(900, 99, 7)),
            "of 100 units sent by its pool 99 arrive: it takes a fee on transfers",
        );
        check(
            becomes(Act::Sell, held(900, 101, 7)),
            "of 100 units sent to its pool 101 arrive: it gives more than is sent",
        );
        check(
            becomes(Act::SellByRouter, held(899, 100, 7)),
            "101 units leave for 100 units brought to its pool by a router",
        );
        check(
            becomes(Act::Buy, held(900, 100, 8)),
            "100 units sent by its pool change the balance of a third party from 7 to 8",
        );
        check(says(Act::Buy, Said::No), "asked for 100 units sent by its pool it answers false");
        check(
            says(Act::Sell, Said::Nonsense { n_bytes: 64 }),
            "asked for 100 units sent to its pool it answers with 64 bytes that say neither yes \
             nor no",
        );
        check(
            says(Act::Buy, Said::Failed("paused".into())),
            "100 units sent by its pool are refused: paused",
        );
        check(
            says(Act::Sell, Said::Failed("no".into())),
            "100 units sent to its pool are refused: no; it can be bought and not sold",
        );
        check(
            wait(1, [(5, 5), (1_000, 1_001), (9, 9)]),
            "a balance of 1000 is 1001 1 day(s) later, without a transfer: it rebases",
        );
        check(Scene::NoBalance, "it does not tell balances: no token of ERC-20 is there");
    }

    #[test]
    fn nothing_moved_is_a_fee_and_a_balance_the_wrong_way_counts_as_nothing() {
        let amount = U256::from(100);
        let stays = Fault::Fee { act: Act::Buy, amount, got: U256::ZERO };
        assert_eq!(judged(&[says(Act::Buy, Said::Yes)]), Verdict::Refused(stays.clone()));
        let shrinks = Scene::Move {
            act: Act::Buy,
            amount,
            said: Said::Yes,
            before: held(1_000, 50, 7),
            after: held(900, 20, 7),
        };
        assert_eq!(judged(&[shrinks]), Verdict::Refused(stays));
    }

    #[test]
    fn the_first_oddity_is_told_and_decimals_come_last() {
        let scenes = [wait(1, [(5, 6), (0, 0), (0, 0)]), says(Act::Sell, Said::No)];
        assert!(reason(&scenes).ends_with("it rebases"));
        let decimals = |before, after| {
            judge(&Seen { scenes: vec![fair(Act::Buy)], decimals: [before, after] })
        };
        let (before, after) = (Some(18), None);
        let changed = Verdict::Refused(Fault::Decimals { before, after });
        assert_eq!(decimals(before, after), changed);
        assert_eq!(decimals(None, None), Verdict::Plain);
        let told = Fault::Decimals { before, after }.to_string();
        assert_eq!(told, "its decimals change from 18 to none");
    }
}
