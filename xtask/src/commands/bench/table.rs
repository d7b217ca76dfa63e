//! Results for people.

use std::fmt::Write as _;

use super::measure::Measured;
use super::updates::Row;
use crate::summary::size;

/// A table with ratios to the first row, which is Gangway's.
pub(super) fn render(title: &str, rows: &[Measured]) -> String {
    let mut text = format!("\n{title}\n");
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
    for row in rows {
        let product = row.size.map(|bytes| format!("{:>11}", size(bytes))).unwrap_or_default();
        let ratio = match rows.first() {
            Some(first) if rows.len() > 1 => format!("{:>7.2}x", row.wall / first.wall),
            _ => String::new(),
        };
        writeln!(
            text,
            "  {:<width$} {:>9.3} s {:>9.2} s CPU {ratio}{product}",
            row.name, row.wall, row.cpu
        )
        .expect("strings grow");
    }
    text
}

/// A table of bytes, with their shares of a full download.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn updates(title: &str, rows: &[Row]) -> String {
    let mut text = format!("\n{title}\n");
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
    for row in rows {
        writeln!(text, "  {:<width$} {:>30} {:>11}", row.name, "whole archive", size(row.full))
            .expect("strings grow");
        for (way, bytes) in &row.ways {
            match bytes {
                Some(bytes) => {
                    let share = *bytes as f64 * 100.0 / row.full as f64;
                    writeln!(text, "  {:<width$} {way:>30} {:>11} {share:>7.3} %", "", size(*bytes))
                }
                None => writeln!(text, "  {:<width$} {way:>30}  not installed", ""),
            }
            .expect("strings grow");
        }
    }
    text
}
