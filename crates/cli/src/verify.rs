//! `ptelab verify`

use crate::args;
use crate::output::{Failed, Out};
use crate::{DIFFERS, FINE, input, verify_real};
use ptelab::verdict::VerdictTotals;
use ptelab::{Golden, Verdict, parallel};
use std::path::Path;

pub(crate) fn verify(args: &args::Verify, out: &mut Out) -> Result<u8, Failed> {
    if args.host {
        return verify_real::host(args, out);
    }
    if let Some(image) = &args.qemu {
        return verify_real::qemu(args, image, out);
    }
    let done: Vec<Result<Verdict, String>> = parallel::map(&args.files, |path| verify_file(path));
    let (mut verdicts, mut errors) = (Vec::new(), Vec::new());
    for result in done {
        match result {
            Ok(verdict) => {
                if !args.json {
                    print(&verdict, args.quiet, out)?;
                }
                verdicts.push(verdict);
            }
            Err(text) => errors.push(text),
        }
    }
    let tally = VerdictTotals::new(verdicts);
    if args.json {
        out.json(&tally)?;
    } else {
        out.line(&tally)?;
    }
    if !errors.is_empty() {
        out.flush()?;
        return Err(Failed::Unusable(errors.join("\nptelab: ")));
    }
    Ok(if tally.files.iter().all(Verdict::is_equal) { FINE } else { DIFFERS })
}

fn verify_file(path: &Path) -> Result<Verdict, String> {
    let name = path.display().to_string();
    let bytes = input::read(path).map_err(Failed::text)?;
    let golden = Golden::parse(&bytes).map_err(|error| format!("{name}: {error}"))?;
    golden.verify(&name).map_err(|error| format!("{name}: {error}"))
}

/// A line about a file, and one for everything that is to be said of it.
pub(crate) fn print(verdict: &Verdict, quiet: bool, out: &mut Out) -> Result<(), Failed> {
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
        verdict.notes.iter().try_for_each(|note| out.line(format!("  {note}")))?;
    }
    Ok(())
}
