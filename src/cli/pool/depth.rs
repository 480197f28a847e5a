//! `pool depth`: how much stands around the price, and what moves it how far.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{Answer, OneArguments};
use crate::cli::columns::table;
use crate::cli::pool::curve::{self, Move, Profile, Way};
use crate::cli::pool::figures::{exact, joined, money, money_json, shown};
use crate::cli::pool::picture::{self, Caption};
use crate::cli::pool::place::{Coin, Reading, Site};

/// Characters of a line where there is no terminal.
const WIDTH: u32 = 80;
/// Fewest and most characters of a picture.
const WIDTH_MIN: u32 = 40;
const WIDTH_MAX: u32 = 160;

#[derive(Debug, Args)]
pub(super) struct DepthArguments {
    #[command(flatten)]
    pub(super) one: OneArguments,
    /// How far from the price the picture reaches, either way; percent of the price
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = percent)]
    within: Decimal,
    /// Write the picture into this file too, as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn percent(text: &str) -> Result<Decimal, String> {
    let percent = Decimal::from_str_exact(text).map_err(|error| error.to_string())?;
    if percent > Decimal::ZERO && percent < Decimal::ONE_HUNDRED {
        return Ok(percent);
    }
    Err("write more than 0 and less than 100".to_owned())
}

/// Draws the liquidity around the price, and says what moves it.
pub(super) fn depth(read: &Reading<'_>, arguments: &DepthArguments) -> Result<Answer> {
    let Reading { site, state, .. } = read;
    let price = site.price(state);
    let price = price.with_context(|| format!("{} has no price yet", site.name))?;
    let part = arguments.within / Decimal::ONE_HUNDRED;
    let profile = Profile::around(state, site.frame, price, part).with_context(|| {
        format!("prices {} % away are beyond the pool's: give a smaller --within", arguments.within)
    })?;
    let caption = Caption {
        title: site.name.clone(),
        unit: site.unit(),
        source: format!("{}; pool {}", read.place.told(), site.setup.address),
        price: Some(price),
    };
    if let Some(path) = &arguments.svg {
        write(path, &picture::svg(&profile, &caption))?;
    }
    let refusal = read.no_quote();
    let moves = if refusal.is_some() { Vec::new() } else { curve::moves(state, site.frame) };
    let picture = picture::terminal(&profile, &caption, width());
    let mut text = format!("{}\n{picture}\n", read.told());
    text.push_str(&match &refusal {
        Some(why) => format!("what moves the price cannot be told: {why}\n"),
        None => format!("to move the price, fee included\n{}", told(site, price, &moves)),
    });
    if let Some(path) = &arguments.svg {
        text.push_str(&format!("\nthe picture is in {}\n", path.display()));
    }
    let json = json!({
        "price": exact(Some(price)),
        "within_percent": exact(Some(arguments.within)),
        "no_quote": refusal,
        "moves": moves.iter().map(|of| move_json(site, price, of)).collect::<Vec<_>>(),
        "liquidity": stretches_json(&profile),
        "svg": arguments.svg.as_ref().map(|path| path.display().to_string()),
    });
    Ok(Answer { text, json: joined(read.json(), json), failure: None })
}

fn write(path: &Path, svg: &str) -> Result<()> {
    std::fs::write(path, svg)
        .with_context(|| format!("writing {}: give --svg another file", path.display()))
}

/// Characters of a line of the terminal.
fn width() -> u32 {
    let size = terminal_size::terminal_size_of(std::io::stdout());
    size.map_or(WIDTH, |(width, _)| width.0.into()).clamp(WIDTH_MIN, WIDTH_MAX)
}

/// What is given and what is taken where the price goes a way.
fn sides<'c>(site: &Site<'c>, way: Way) -> [Coin<'c>; 2] {
    match way {
        Way::Up => [site.quote, site.base],
        Way::Down => [site.base, site.quote],
    }
}

/// Percent of the price, with its sign.
fn step(of: &Move) -> Decimal {
    let percent = Decimal::new(of.bps.into(), 2).normalize();
    match of.way {
        Way::Up => percent,
        Way::Down => -percent,
    }
}

fn price_after(price: Decimal, of: &Move) -> Option<Decimal> {
    let part = Decimal::ONE.checked_add(step(of) / Decimal::ONE_HUNDRED)?;
    price.checked_mul(part)
}

fn told(site: &Site<'_>, price: Decimal, moves: &[Move]) -> String {
    let to = format!("to {}", site.unit());
    let head = ["move", to.as_str(), "give", "take"].map(str::to_owned);
    let row = |of: &Move| {
        let [given, taken] = sides(site, of.way);
        let beyond = || "beyond the pool".to_owned();
        [
            format!("{:+} %", step(of)),
            shown(price_after(price, of)),
            of.trade.map_or_else(beyond, |trade| money(trade.given, given)),
            of.trade.map_or_else(beyond, |trade| money(trade.taken, taken)),
        ]
    };
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(moves.iter().map(row)).collect();
    table(&rows)
}

fn move_json(site: &Site<'_>, price: Decimal, of: &Move) -> Value {
    let [given, taken] = sides(site, of.way);
    json!({
        "percent": step(of).to_string(),
        "price_after": exact(price_after(price, of)),
        "give": of.trade.map(|trade| money_json(trade.given, given)),
        "take": of.trade.map(|trade| money_json(trade.taken, taken)),
    })
}

/// Ticks count token1 per token0, whichever of them is the base.
fn stretches_json(profile: &Profile) -> Vec<Value> {
    let stretch = |of: &curve::Stretch| {
        json!({
            "tick_lower": of.lower,
            "tick_upper": of.upper,
            "liquidity": of.liquidity.to_string(),
        })
    };
    profile.stretches.iter().map(stretch).collect()
}

#[cfg(test)]
mod tests {
    use rust_decimal::dec;

    use super::*;

    #[test]
    fn a_part_of_the_price_is_between_nothing_and_all_of_it() {
        assert_eq!(percent("2.5"), Ok(dec!(2.5)));
        for wrong in ["0", "-1", "100", "five", ""] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_move_is_told_with_its_sign_and_its_price() {
        let of = |way, bps| Move { way, bps, trade: None };
        assert_eq!(format!("{:+} %", step(&of(Way::Up, 10))), "+0.1 %");
        assert_eq!(format!("{:+} %", step(&of(Way::Down, 200))), "-2 %");
        assert_eq!(price_after(dec!(2000), &of(Way::Up, 50)), Some(dec!(2010)));
        assert_eq!(price_after(dec!(2000), &of(Way::Down, 100)), Some(dec!(1980)));
    }
}
