//! Curves over time as a picture: panels below each other with one axis of time.

use std::fmt::Write;

use crate::Result;

/// A curve.
#[derive(Debug)]
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) color: &'static str,
    /// From left to right.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Curves of one unit.
#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) curves: Vec<Curve>,
    /// What the first curve has to stay below.
    pub(crate) bar: Option<f64>,
}

const LEFT: f64 = 70.0;
const WIDTH: f64 = 700.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 50.0;
const PANEL: f64 = 150.0;
const GAP: f64 = 50.0;
const BOTTOM: f64 = 30.0;
const TICKS: usize = 4;

/// Draws panels.
pub(crate) fn curves(title: &str, time: &str, panels: &[Panel]) -> Result<String> {
    let (width, height) =
        (LEFT + WIDTH + RIGHT, TOP + panels.len() as f64 * (PANEL + GAP) + BOTTOM);
    let all = panels.iter().flat_map(|panel| &panel.curves).flat_map(|curve| &curve.points);
    let end = all.map(|point| point.0).fold(0.0, f64::max);
    let mut svg = String::new();
    writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">
<rect width="{width}" height="{height}" fill="#ffffff"/>
<text x="12" y="24" font-size="16" font-weight="bold">{title}</text>
<text x="{}" y="{}" text-anchor="middle" fill="#555555">{time}</text>"##,
        LEFT + WIDTH / 2.0,
        height - 8.0,
    )?;
    for (index, panel) in panels.iter().enumerate() {
        let top = TOP + index as f64 * (PANEL + GAP) + GAP / 2.0;
        panel.draw(&mut svg, top, end)?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

impl Panel {
    fn draw(&self, svg: &mut String, top: f64, end: f64) -> Result<()> {
        let values = self.curves.iter().flat_map(|curve| &curve.points).map(|point| point.1);
        let step = round_step(values.chain(self.bar).fold(0.0, f64::max) / TICKS as f64);
        let high = step * TICKS as f64;
        let base = top + PANEL;
        let y = |value: f64| base - value / high * PANEL;
        let x = |time: f64| LEFT + time / end * WIDTH;
        writeln!(
            svg,
            r##"<text x="{LEFT}" y="{}" font-weight="bold">{}</text>"##,
            top - 8.0,
            self.title
        )?;
        for tick in 0..=TICKS {
            let value = step * tick as f64;
            writeln!(
                svg,
                r##"<line x1="{LEFT}" y1="{at:.1}" x2="{}" y2="{at:.1}" stroke="#dddddd"/>
<text x="{}" y="{:.1}" text-anchor="end" fill="#555555">{}</text>"##,
                LEFT + WIDTH,
                LEFT - 8.0,
                y(value) + 4.5,
                (value * 1e3).round() / 1e3,
                at = y(value),
            )?;
        }
        if let Some(bar) = self.bar {
            writeln!(
                svg,
                r##"<line x1="{LEFT}" y1="{at:.1}" x2="{}" y2="{at:.1}" stroke="#b5522b" stroke-dasharray="6 4"/>
<text x="{}" y="{:.1}" fill="#b5522b">bar: {bar}</text>"##,
                LEFT + WIDTH,
                LEFT + WIDTH + 10.0,
                y(bar) + 4.5,
                at = y(bar),
            )?;
        }
        for (index, curve) in self.curves.iter().enumerate() {
            let points: Vec<String> = curve
                .points
                .iter()
                .map(|&(time, value)| format!("{:.1},{:.1}", x(time), y(value)))
                .collect();
            writeln!(
                svg,
                r##"<polyline fill="none" stroke="{color}" stroke-width="2" points="{}"/>
<text x="{}" y="{:.1}" fill="{color}">{}</text>"##,
                points.join(" "),
                LEFT + WIDTH + 10.0,
                base - 10.0 - 18.0 * index as f64,
                curve.name,
                color = curve.color,
            )?;
        }
        for tick in 0..=TICKS {
            let time = end * tick as f64 / TICKS as f64;
            writeln!(
                svg,
                r##"<text x="{:.1}" y="{}" text-anchor="middle" fill="#555555">{time:.0}</text>"##,
                x(time),
                base + 16.0,
            )?;
        }
        Ok(())
    }
}

/// 1, 2 or 5 times a power of ten, not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.max(f64::MIN_POSITIVE).log10().floor());
    let round = [1.0, 2.0, 5.0].into_iter().map(|factor| factor * power);
    round.into_iter().find(|&round| round >= step).unwrap_or(10.0 * power)
}
