//! What a check of the predictions says.

use super::check::{CostCheck, CostRow, Errors, MEDIAN_BAR, WORST_BAR};
use super::{LIMITS, SERIES_TABLE};
use serde_json::{Value, json};
use std::fmt::Write as _;

impl CostCheck {
    /// As text: a line a measurement, then the errors, then the findings of the series.
    pub fn to_text(&self) -> String {
        let mut text = format!("{:>10} {:>10} {:>7} {:>9}\n", "measured", "predicted", "error", "left out");
        for row in &self.rows {
            let _ = writeln!(text, "{}", row_text(row));
        }
        for (what, errors) in [("error", self.errors), ("error where left out", self.left_out)] {
            let _ = writeln!(text, "{}", errors_text(what, errors));
        }
        if self.findings.is_empty() {
            text.push_str("The findings of the series need all the files that were calibrated with.\n");
        } else {
            text.push_str("The findings of the series, by a calibration that saw none of T1, T2 and T3:\n");
        }
        for f in &self.findings {
            let _ = writeln!(
                text,
                "  {}: {:.1} predicted, {:.1} measured, at least {:.1} wanted",
                f.text, f.predicted, f.measured, f.at_least
            );
        }
        let _ = writeln!(text, "{SERIES_TABLE}\n{LIMITS}");
        text
    }

    /// As JSON: everything that the text says.
    pub fn to_json(&self) -> Value {
        json!({
            "files": self.rows,
            "errors": self.errors,
            "left_out": self.left_out,
            "bars": {"median": MEDIAN_BAR, "worst": WORST_BAR},
            "findings": self.findings,
            "passed": self.passed(),
            "limits": LIMITS,
        })
    }
}

fn row_text(row: &CostRow) -> String {
    let percent =
        |error: Option<f64>| error.map_or("-".to_owned(), |error| format!("{:+.1}%", 100.0 * error));
    format!(
        "{:>10} {:>10} {:>7} {:>9}  {}.{}.{}  {}",
        row.measured,
        row.predicted.map_or("-".to_owned(), |predicted| format!("{predicted:.0}")),
        percent(row.error(row.predicted)),
        percent(row.error(row.left_out)),
        row.workload,
        row.arch,
        row.kernel,
        row.call
    )
}

fn errors_text(what: &str, errors: Option<Errors>) -> String {
    let Some(errors) = errors else { return format!("{what}: none known") };
    let verdict = if errors.within() { "within" } else { "BEYOND" };
    format!(
        "{what}, {} measurements: median {:.1}%, worst {:.1}%: {verdict} {:.0}% and {:.0}%",
        errors.measurements,
        100.0 * errors.median,
        100.0 * errors.worst,
        100.0 * MEDIAN_BAR,
        100.0 * WORST_BAR
    )
}
