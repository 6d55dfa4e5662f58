//! Verdicts as text.

use crate::output::{Failed, Out};
use ptelab::Verdict;

/// A line about a file, and one for everything that is to be said of it; notes that are not `new` were said of another.
pub(crate) fn print(
    verdict: &Verdict,
    quiet: bool,
    new: impl FnMut(&&String) -> bool,
    out: &mut Out,
) -> Result<(), Failed> {
    let Verdict { file, dumps, dumps_equal, calls, calls_equal, .. } = verdict;
    let line = format!("{file}: {dumps_equal} of {dumps} dumps equal, {calls_equal} of {calls} calls equal");
    if let Some(reason) = &verdict.skipped {
        out.line(format!("{file}: skipped: {reason}"))?;
    } else if !verdict.is_equal() {
        out.differing(line)?;
        for text in &verdict.differences {
            out.line(format!("  {text}"))?;
        }
    } else if !quiet {
        out.line(line)?;
    }
    if !quiet || verdict.skipped.is_some() || !verdict.is_equal() {
        verdict.notes.iter().filter(new).try_for_each(|note| out.line(format!("  {note}")))?;
    }
    Ok(())
}
