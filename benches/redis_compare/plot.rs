//! The ratios as a picture: a dot for the median, a line from the smallest to the largest
//! round, on a logarithmic axis, so that twice as fast is as far from 1 as half as fast.

use std::fmt::Write;

use crate::Result;
use crate::bars::bar;
use crate::cells::Row;

const LABELS_WIDTH: f64 = 330.0;
const AXIS_WIDTH: f64 = 420.0;
const FIGURES_WIDTH: f64 = 150.0;
const ROW_HEIGHT: f64 = 22.0;
const TOP: f64 = 54.0;
const BOTTOM: f64 = 40.0;

/// Draws rows.
pub(crate) fn ratios(title: &str, rows: &[&Row]) -> Result<String> {
    let (low, high) = range(rows);
    let x = |ratio: f64| {
        let part = (ratio.clamp(low, high) / low).ln() / (high / low).ln();
        LABELS_WIDTH + part * AXIS_WIDTH
    };
    let width = LABELS_WIDTH + AXIS_WIDTH + FIGURES_WIDTH;
    let base = TOP + rows.len() as f64 * ROW_HEIGHT;
    let height = base + BOTTOM;
    let mut svg = String::new();
    writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">
<rect width="{width}" height="{height}" fill="#ffffff"/>
<text x="12" y="24" font-size="16" font-weight="bold">{title}</text>
<text x="{}" y="{}" text-anchor="middle" fill="#555555">aft ÷ redis-server, right of 1: aft is ahead; red: below the bar</text>"##,
        LABELS_WIDTH + AXIS_WIDTH / 2.0,
        height - 6.0,
    )?;
    for tick in ticks(low, high) {
        let (color, at) = (if tick == 1.0 { "#222222" } else { "#dddddd" }, x(tick));
        writeln!(
            svg,
            r##"<line x1="{at:.1}" y1="{}" x2="{at:.1}" y2="{base}" stroke="{color}"/>
<text x="{at:.1}" y="{}" text-anchor="middle" fill="#555555">{tick}</text>"##,
            TOP - 8.0,
            base + 16.0,
        )?;
    }
    for (index, row) in rows.iter().enumerate() {
        let Some(ratio) = row.ratio() else { continue };
        let y = TOP + (index as f64 + 0.5) * ROW_HEIGHT;
        let text = y + 4.5;
        let at_least = bar(&row.cell).map_or(1.0, |bar| bar.at_least);
        let color = if ratio.median >= at_least { "#1a7f5a" } else { "#b5522b" };
        writeln!(
            svg,
            r##"<text x="12" y="{text}">{}</text>
<line x1="{:.1}" y1="{y}" x2="{:.1}" y2="{y}" stroke="{color}" stroke-width="2"/>
<circle cx="{:.1}" cy="{y}" r="4.5" fill="{color}"/>
<text x="{}" y="{text}">{:.2} ({:.2}–{:.2})</text>"##,
            row.cell,
            x(ratio.min),
            x(ratio.max),
            x(ratio.median),
            LABELS_WIDTH + AXIS_WIDTH + 14.0,
            ratio.median,
            ratio.min,
            ratio.max,
        )?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// A power of two on either side of all ratios; at least from a half to two.
fn range(rows: &[&Row]) -> (f64, f64) {
    let (mut low, mut high) = (0.5, 2.0);
    for ratio in rows.iter().filter_map(|row| row.ratio()) {
        // A run that stood still is no reason for an endless axis.
        while ratio.min < low && low > 1.0 / 1024.0 {
            low /= 2.0;
        }
        while ratio.max > high && high < 1024.0 {
            high *= 2.0;
        }
    }
    (low, high)
}

/// The powers of two of the axis.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    std::iter::successors(Some(low), |tick| Some(tick * 2.0))
        .take_while(|&tick| tick <= high)
        .collect()
}
