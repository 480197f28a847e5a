//! Liquidity as a picture: blocks on a terminal, or a file that needs nothing else.

use std::fmt::Write as _;

use alloy::primitives::U256;
use rust_decimal::Decimal;

use crate::cli::pool::curve::Profile;

/// Lines of a picture on a terminal.
const ROWS: u32 = 8;
/// A character by how many eighths of it are full.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Digits of a price on an axis.
const MARK_DIGITS: u32 = 6;
/// Digits of a liquidity that people can take in.
const PLAIN_DIGITS: usize = 6;

/// Width and height of the file's picture and of its plot, and where that begins; pixels.
const SIZE: (u32, u32) = (800, 420);
const PLOT: (u32, u32) = (720, 280);
const CORNER: (u32, u32) = (60, 60);
/// Bars of the file's picture; the width of its plot is a multiple.
const BARS: u32 = 180;
/// Stretches between two prices on its axis.
const STEPS: u32 = 4;

/// What is written around the bars.
#[derive(Clone, Debug)]
pub(super) struct Caption {
    /// The pool.
    pub(super) title: String,
    /// Of prices.
    pub(super) unit: String,
    /// The chain and the block it was read at.
    pub(super) source: String,
    /// The price of then.
    pub(super) price: Option<Decimal>,
}

/// Bars of so many characters, with the price marked below them.
pub(super) fn terminal(profile: &Profile, caption: &Caption, width: u32) -> String {
    let bars = profile.bars(width);
    let highest = bars.iter().copied().max().unwrap_or(0);
    let mut text = format!(
        "liquidity by price, lowest price left; the highest bar is {}, as sqrt(x y) of raw units\n",
        short(highest)
    );
    for row in (0..ROWS).rev() {
        let block = |bar: &u128| {
            let full = height(*bar, highest, ROWS * 8).saturating_sub(row * 8).min(8);
            usize::try_from(full).ok().and_then(|full| EIGHTHS.get(full)).copied().unwrap_or(' ')
        };
        let line: String = bars.iter().map(block).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let at = profile.bar_of_price(width);
    text.extend((0..width).map(|bar| if bar == at { '▲' } else { '─' }));
    let [low, high] = [0, 1].map(|part| mark(profile.price_at(part, 1)));
    let room = usize::try_from(width).unwrap_or(0).saturating_sub(low.len() + high.len()).max(1);
    let (now, unit) = (mark(caption.price), &caption.unit);
    let _ = write!(text, "\n{low}{:room$}{high}\n▲ the price, {now} {unit}\n", "");
    text
}

/// A whole SVG file.
pub(super) fn svg(profile: &Profile, caption: &Caption) -> String {
    let [title, unit, source] =
        [&caption.title, &caption.unit, &caption.source].map(|text| escaped(text));
    let (left, top) = CORNER;
    let (right, bottom) = (left + PLOT.0, top + PLOT.1);
    let (width, tall) = SIZE;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {tall}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <title>{title}</title>\n\
         <rect width=\"{width}\" height=\"{tall}\" fill=\"#fff\"/>\n\
         <text x=\"{left}\" y=\"24\" font-size=\"16\">{title}</text>\n\
         <text x=\"{left}\" y=\"44\">liquidity in range, sqrt(x y) of raw units</text>\n"
    );
    bars(&mut text, profile);
    let price = left + PLOT.0 / BARS * profile.bar_of_price(BARS) + PLOT.0 / BARS / 2;
    let now = mark(caption.price);
    let _ = write!(
        text,
        "<line x1=\"{left}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\" stroke=\"#222\"/>\n\
         <line x1=\"{left}\" y1=\"{top}\" x2=\"{left}\" y2=\"{bottom}\" stroke=\"#222\"/>\n\
         <line x1=\"{price}\" y1=\"{top}\" x2=\"{price}\" y2=\"{bottom}\" stroke=\"#c00\"/>\n\
         <text x=\"{price}\" y=\"{}\" text-anchor=\"middle\" fill=\"#c00\">{now}</text>\n",
        top - 4
    );
    for step in 0..=STEPS {
        let (x, price) = (left + PLOT.0 * step / STEPS, mark(profile.price_at(step, STEPS)));
        let y = bottom + 18;
        let _ = writeln!(text, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{price}</text>");
    }
    let middle = left + PLOT.0 / 2;
    let _ = write!(
        text,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">price, {unit} (logarithmic)</text>\n\
         <text x=\"{left}\" y=\"{}\" font-size=\"10\">{source}</text>\n</svg>\n",
        bottom + 38,
        tall - 12
    );
    text
}

/// The bars, and how high they are.
fn bars(text: &mut String, profile: &Profile) {
    let (bars, wide) = (profile.bars(BARS), PLOT.0 / BARS);
    let highest = bars.iter().copied().max().unwrap_or(0);
    let (left, top) = CORNER;
    let bottom = top + PLOT.1;
    let mut x = left;
    for bar in bars {
        let tall = height(bar, highest, PLOT.1);
        let y = bottom - tall;
        let _ = writeln!(
            text,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{tall}\" fill=\"#69c\"/>"
        );
        x += wide;
    }
    for (y, told) in [(top + 4, short(highest)), (bottom, "0".to_owned())] {
        let x = left - 4;
        let _ = writeln!(text, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{told}</text>");
    }
}

/// How much of `of` a bar takes beside the highest one; rounded up, so that a little is seen.
fn height(bar: u128, highest: u128, of: u32) -> u32 {
    if highest == 0 {
        return 0;
    }
    let scaled = (U256::from(bar) * U256::from(of)).div_ceil(U256::from(highest));
    u32::try_from(scaled).unwrap_or(of)
}

/// A price on an axis.
fn mark(price: Option<Decimal>) -> String {
    let first = |price: Decimal| price.round_sf(MARK_DIGITS).unwrap_or(price).normalize();
    price.map_or_else(|| "unknown".to_owned(), |price| first(price).to_string())
}

/// A large number in its first digits, cut.
fn short(number: u128) -> String {
    let digits = number.to_string();
    match (digits.get(..1), digits.get(1..3)) {
        (Some(first), Some(rest)) if digits.len() > PLAIN_DIGITS => {
            format!("{first}.{rest}e{}", digits.len() - 1)
        }
        _ => digits,
    }
}

/// A text as XML holds it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use rust_decimal::dec;

    use super::*;
    use crate::cli::pool::curve::tests::{frame, v3};
    use crate::math::amm::price::Base;

    fn sample() -> (Profile, Caption) {
        let frame = frame(Base::Token0);
        let profile = Profile::around(&v3(), frame, Decimal::ONE, dec!(0.1)).unwrap();
        let caption = Caption {
            title: "here/uniswap_v3/A<B/C&D/3000".to_owned(),
            unit: "C per A".to_owned(),
            source: "here block 7".to_owned(),
            price: Some(dec!(1.00000049)),
        };
        (profile, caption)
    }

    #[test]
    fn a_terminal_shows_the_bars_and_where_the_price_is() {
        let (profile, caption) = sample();
        let expected = "\
liquidity by price, lowest price left; the highest bar is 1.40e12, as sqrt(x y) of raw units
     ▁█████████████▄
     ███████████████
▆▆▆▆▆███████████████▆▆▆▆
████████████████████████
████████████████████████
████████████████████████
████████████████████████
████████████████████████
────────────▲───────────
0.899969         1.10009
▲ the price, 1 C per A
";
        assert_eq!(terminal(&profile, &caption, 24), expected);
    }

    #[test]
    fn a_file_has_its_axes_its_price_and_its_source() {
        let (profile, caption) = sample();
        let text = svg(&profile, &caption);
        assert!(text.starts_with("<svg xmlns=") && text.ends_with("</svg>\n"), "{text}");
        for part in [
            "<title>here/uniswap_v3/A&lt;B/C&amp;D/3000</title>",
            "price, C per A (logarithmic)",
            "here block 7",
            ">0.899969<",
            ">1.10009<",
            ">1.40e12<",
            "stroke=\"#c00\"",
        ] {
            assert!(text.contains(part), "no {part}: {text}");
        }
        assert_eq!(text.matches("fill=\"#69c\"").count(), 180);
        // The highest bars fill the plot, and none is taller.
        assert!(text.contains("y=\"60\" width=\"4\" height=\"280\""), "{text}");
    }

    #[test]
    fn no_bar_is_lost_and_nothing_is_no_bar() {
        assert_eq!(height(0, 0, 64), 0);
        assert_eq!(height(0, 9, 64), 0);
        assert_eq!(height(1, u128::MAX, 64), 1);
        assert_eq!(height(u128::MAX, u128::MAX, 64), 64);
        assert_eq!((short(999_999), short(1_234_567)), ("999999".into(), "1.23e6".into()));
    }
}
