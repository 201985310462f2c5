//! Figures as text.

use crate::cells::{Cell, Command, Row};
use crate::figures::{Sample, median, spread, thousands};

/// One line while it runs.
pub(crate) fn progress(row: &Row) -> String {
    format!("{:<44} {}", row.cell.to_string(), ratio(row))
}

pub(crate) fn ratio(row: &Row) -> String {
    row.ratio().map_or_else(String::new, spread)
}

pub(crate) fn title(command: Command) -> String {
    match command {
        Command::Transfer => "transfer".into(),
        Command::Mset => "MSET (10)".into(),
        _ => command.name().to_uppercase(),
    }
}

pub(crate) fn bytes(cell: &Cell) -> String {
    match cell.payload() {
        0 => "–".into(),
        bytes => thousands(bytes as f64),
    }
}

/// The medians of both servers.
pub(crate) fn pair(row: &Row, figure: impl Fn(&Sample) -> f64) -> String {
    let (aft, redis) = (median(&row.aft, &figure), median(&row.redis, &figure));
    format!("{aft:.2}, {redis:.2}")
}
