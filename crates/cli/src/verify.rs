//! `ptelab verify`

use crate::args;
use crate::exit::{DIFFERS, FINE, STOPPED};
use crate::output::{Failed, Out};
use crate::{input, machines, progress, verdict, verify_real};
use ptelab::verdict::VerdictTotals;
use ptelab::{Golden, Verdict, kernels, parallel};
use std::path::{Path, PathBuf};

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
    progress::stop_on_ctrl_c();
    let verdict = |path: &PathBuf| (!progress::stopped()).then(|| verify_file(path));
    let done: Vec<Option<Result<Verdict, String>>> = parallel::map(&args.files, verdict);
    let finished = done.iter().all(Option::is_some);
    let (mut verdicts, mut errors) = (Vec::new(), Vec::new());
    for result in done.into_iter().flatten() {
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
    if tally.files.is_empty() && !finished {
        return Err(Failed::Stopped);
    }
    if tally.files.is_empty() {
        return Err(Failed::all(&errors));
    }
    if args.json {
        out.json(&tally)?;
    } else {
        out.line(format!("{tally}{}", if finished { "" } else { ", stopped" }))?;
    }
    if !errors.is_empty() {
        out.flush()?;
        return Err(Failed::all(&errors));
    }
    Ok(match (finished, tally.files.iter().all(Verdict::is_equal)) {
        (false, _) => STOPPED,
        (true, true) => FINE,
        (true, false) => DIFFERS,
    })
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
