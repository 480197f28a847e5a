//! A recording as a sequence of facts, and the player that repeats it for ever.
//!
//! Format of the text: see `tools/trim-tapes.py`. The tape knows nothing of our orders.

use std::sync::Arc;

use thiserror::Error;

use crate::model::order::Side;
use crate::sim::fixed::parse;

/// Steps handed out by one `Player::advance` are bounded by time: a longer pause of the caller is
/// skipped, not replayed.
pub const ADVANCE_MAX_MS: i64 = 2_000;

/// The recorded size of one price level; 0 removes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GhostLevel {
    /// Buy for bids, sell for asks.
    pub side: Side,
    /// 1e-8 quote per base.
    pub price: i64,
    /// 1e-8 base.
    pub quantity: i64,
}

/// One recorded fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Absolute sizes of the levels that changed.
    Depth(Vec<GhostLevel>),
    /// A trade that took `quantity` resting on `level.side` at `level.price`.
    Trade(GhostLevel),
}

/// A whole recording.
#[derive(Debug)]
pub struct Tape {
    /// The book at the first instant.
    pub anchor: Vec<GhostLevel>,
    /// Facts by milliseconds from the start, in order.
    pub facts: Vec<(i64, Fact)>,
    /// Milliseconds from the start to the last fact.
    pub span_ms: i64,
}

/// A tape that cannot be read.
#[derive(Debug, Error)]
#[error("line {line} of the tape is malformed")]
pub struct TapeError {
    /// Counted from 1.
    pub line: usize,
}

impl Tape {
    /// Reads the text form; refuses disorder, an empty book or an empty tape.
    pub fn parse(text: &str) -> Result<Self, TapeError> {
        let mut anchor = Vec::new();
        let mut facts: Vec<(i64, Fact)> = Vec::new();
        let mut lines = 0;
        for (index, line) in text.lines().enumerate() {
            lines = index + 1;
            let wrong = || TapeError { line: index + 1 };
            let mut words = line.split(' ');
            match words.next() {
                Some("#") => {}
                Some("A") => anchor.push(level(&mut words).ok_or_else(wrong)?),
                Some(kind) => {
                    let (ms, fact) = fact(kind, &mut words).ok_or_else(wrong)?;
                    if facts.last().is_some_and(|last| last.0 > ms) || ms < 0 {
                        return Err(wrong());
                    }
                    facts.push((ms, fact));
                }
                None => return Err(wrong()),
            }
        }
        let span_ms = facts.last().map(|f| f.0).filter(|ms| *ms > 0);
        match span_ms {
            Some(span_ms) if !anchor.is_empty() => Ok(Self { anchor, facts, span_ms }),
            _ => Err(TapeError { line: lines }),
        }
    }
}

fn fact<'a>(kind: &str, words: &mut impl Iterator<Item = &'a str>) -> Option<(i64, Fact)> {
    let ms: i64 = words.next()?.parse().ok()?;
    let mut words = words.peekable();
    if kind == "T" {
        return Some((ms, Fact::Trade(level(&mut words)?)));
    }
    if kind != "D" {
        return None;
    }
    let mut levels = Vec::new();
    while words.peek().is_some() {
        levels.push(level(&mut words)?);
    }
    Some((ms, Fact::Depth(levels)))
}

fn level<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<GhostLevel> {
    let side = match words.next()? {
        "b" => Side::Buy,
        "a" => Side::Sell,
        _ => return None,
    };
    let price = parse(words.next()?).ok().filter(|p| *p > 0)?;
    let quantity = parse(words.next()?).ok().filter(|q| *q >= 0)?;
    Some(GhostLevel { side, price, quantity })
}

/// What the player says next.
#[derive(Debug)]
pub enum Step {
    /// A recorded fact is due.
    Fact(Fact),
    /// The tape begins again: the book must be brought to this state.
    Anchor(Vec<GhostLevel>),
}

/// Plays a tape over and over.
#[derive(Debug)]
pub struct Player {
    tape: Arc<Tape>,
    position_ms: i64,
    fact_index: usize,
    loops: u64,
}

impl Player {
    /// At the first instant; the caller applies `tape.anchor` itself.
    pub fn new(tape: Arc<Tape>) -> Self {
        Self { tape, position_ms: 0, fact_index: 0, loops: 0 }
    }

    /// Moves the tape's clock; spans beyond `ADVANCE_MAX_MS` are cut.
    pub fn advance(&mut self, by_ms: i64) {
        self.position_ms += by_ms.clamp(0, ADVANCE_MAX_MS);
    }

    /// The next fact that is due, if any.
    pub fn due(&mut self) -> Option<Step> {
        match self.tape.facts.get(self.fact_index) {
            Some((ms, fact)) if *ms <= self.position_ms => {
                self.fact_index += 1;
                Some(Step::Fact(fact.clone()))
            }
            Some(_) => None,
            None if self.position_ms > self.tape.span_ms => {
                self.position_ms -= self.tape.span_ms + 1;
                self.fact_index = 0;
                self.loops += 1;
                Some(Step::Anchor(self.tape.anchor.clone()))
            }
            None => None,
        }
    }

    /// How often the tape has begun again.
    pub fn loops(&self) -> u64 {
        self.loops
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Fact, Player, Step, Tape};

    const TEXT: &str = "# t\nA b 99 1\nA a 101 1\nD 0 b 99 2\nT 10 a 101 0.5\n";

    #[test]
    fn a_tape_begins_again_after_its_last_fact() {
        let mut player = Player::new(Arc::new(Tape::parse(TEXT).unwrap()));
        assert!(matches!(player.due(), Some(Step::Fact(Fact::Depth(_)))));
        assert!(player.due().is_none());
        player.advance(10);
        assert!(matches!(player.due(), Some(Step::Fact(Fact::Trade(_)))));
        assert!(player.due().is_none());
        player.advance(1);
        assert!(matches!(player.due(), Some(Step::Anchor(levels)) if levels.len() == 2));
        assert_eq!(player.loops(), 1);
        assert!(matches!(player.due(), Some(Step::Fact(Fact::Depth(_)))));
    }

    #[test]
    fn disorder_and_rubbish_name_their_line() {
        for (text, line) in [
            ("A b 1 1\nD 5 b 1 1\nD 4 b 1 1\n", 3),
            ("A x 1 1\n", 1),
            ("A b 1 1\nD 1 b 1\n", 2),
            ("A b 1 1\n", 1),
        ] {
            assert_eq!(Tape::parse(text).unwrap_err().line, line, "{text}");
        }
    }
}
