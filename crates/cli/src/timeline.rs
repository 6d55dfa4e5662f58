//! `ptelab timeline`

use crate::args;
use crate::defaults::TIMELINE;
use crate::exit::{FINE, STOPPED};
use crate::output::{self, Failed, Out};
use crate::traced::{self, Run};
use std::io::Write;

pub(crate) fn timeline(args: &args::Timeline, out: &mut Out) -> Result<u8, Failed> {
    let run = Run::new(&args.traced, &TIMELINE)?;
    for path in [&args.output, &args.csv].into_iter().flatten() {
        output::check(path)?;
    }
    let trace = run.trace(&args.traced)?;
    let (calls, counted) = (trace.calls().len(), traced::counted(&trace));
    if let Some(path) = &args.output {
        let mut file = output::create(path)?;
        ptelab_report::write_timeline(&trace, &mut file)?;
        file.flush()?;
    }
    if let Some(path) = args.output.as_ref().filter(|path| !output::is_stdout(path)) {
        out.line(format!("{}: {counted}; one microsecond in it is one of these", path.display()))?;
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
        ptelab_report::write_csv(&trace, output::create(path)?)?;
        if !output::is_stdout(path) {
            out.line(format!("{}: {counted}", path.display()))?;
        }
    }
    Ok(if trace.finished { FINE } else { STOPPED })
}
