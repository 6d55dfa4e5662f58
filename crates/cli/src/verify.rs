//! `ptelab verify`

use crate::args;
use crate::exit::{DIFFERS, FINE};
use crate::output::{Failed, Out};
use crate::{input, machines, verdict, verify_real};
use ptelab::verdict::VerdictTotals;
use ptelab::{Golden, Verdict, kernels, parallel};
use std::path::Path;

pub(crate) fn verify(args: &args::Verify, out: &mut Out) -> Result<u8, Failed> {
    let kernel = args.kernel.as_deref();
    if args.qemu.is_none() && kernel.and_then(kernels::image).is_none() {
        machines::refuse_without_image(&[("--write", args.write.is_some()), ("--fresh", args.fresh)])?;
        args.guest.refuse()?;
    }
    if args.host {
        return verify_real::host(args, kernel, out);
    }
    if let Some(image) = &args.qemu {
        return verify_real::qemu(args, image, kernel, out);
    }
    match kernel {
        Some("host") => return verify_real::host(args, None, out),
        Some(name) => {
            let Some(image) = kernels::image(name) else {
                let why =
                    "golden files say their kernel; --kernel names an image or `host` to play scenarios on";
                return Err(Failed::Unusable(why.to_owned()));
            };
            return verify_real::qemu(args, image, None, out);
        }
        None => {}
    }
    let done: Vec<Result<Verdict, String>> = parallel::map(&args.files, |path| verify_file(path));
    let (mut verdicts, mut errors) = (Vec::new(), Vec::new());
    for result in done {
        match result {
            Ok(verdict) => {
                if !args.json {
                    verdict::print(&verdict, args.quiet, |_| true, out)?;
                }
                verdicts.push(verdict);
            }
            Err(text) => errors.push(text),
        }
    }
    let tally = VerdictTotals::new(verdicts);
    if tally.files.is_empty() {
        return Err(Failed::Unusable(errors.join("\nptelab: ")));
    }
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
    let golden = Golden::parse(&bytes).map_err(|error| match path.extension() {
        Some(extension) if extension == "json" => format!("{name}: {error}"),
        _ => format!(
            "{name}: not a golden file; a scenario is played on a kernel, with --host or --kernel IMAGE"
        ),
    })?;
    golden.verify(&name).map_err(|error| format!("{name}: {error}"))
}
