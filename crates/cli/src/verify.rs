//! `ptelab verify`

use crate::args;
use crate::exit::{DIFFERS, FINE};
use crate::output::{Failed, Out};
use crate::{input, verdict, verify_real};
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
                    verdict::print(&verdict, args.quiet, out)?;
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
