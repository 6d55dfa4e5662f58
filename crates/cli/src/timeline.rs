//! `ptelab timeline`

use crate::args;
use crate::defaults::TIMELINE;
use crate::exit::{FINE, STOPPED};
use crate::output::{self, Failed, Out};
use crate::traced::Run;
use std::path::Path;

pub(crate) fn timeline(args: &args::Timeline, out: &mut Out) -> Result<u8, Failed> {
    let run = Run::new(&args.traced, &TIMELINE)?;
    for path in [&args.output, &args.csv].into_iter().flatten() {
        output::check(path)?;
    }
    if let (Some(path), true) = (&args.output, args.output == args.csv) {
        return Err(Failed::Unusable(format!("{}: -o and --csv name one file", path.display())));
    }
    let trace = run.trace(&args.traced)?;
    let (calls, counted) = (trace.calls().len(), trace.counted());
    if let Some(path) = &args.output {
        let cannot = |error| cannot_write(path, error);
        let mut file = output::create(path)?;
        ptelab_report::write_timeline(&trace, &mut file).map_err(cannot)?;
        std::io::Write::flush(&mut file).map_err(cannot)?;
    }
    if let Some(path) = args.output.as_ref().filter(|path| !output::is_stdout(path)) {
        out.line(format!("{}: {counted}; a microsecond stands for one of", path.display()))?;
        if trace.detailed() < calls {
            out.line(format!(
                "  a large run: what happened in them is there up to call {}",
                trace.detailed()
            ))?;
        }
        for lane in &trace.lanes {
            out.line(format!("  {}: {}", lane.machine(), lane.clock))?;
        }
    }
    if let Some(path) = &args.csv {
        let file = output::create(path)?;
        ptelab_report::write_csv(&trace, file).map_err(|error| cannot_write(path, error.into()))?;
        if !output::is_stdout(path) {
            out.line(format!("{}: {counted}", path.display()))?;
        }
    }
    Ok(if trace.finished { FINE } else { STOPPED })
}

/// Whoever reads standard output may have read enough.
fn cannot_write(path: &Path, error: std::io::Error) -> Failed {
    if output::is_stdout(path) {
        return Failed::Output(error);
    }
    Failed::Unusable(format!("{}: {error}", path.display()))
}
