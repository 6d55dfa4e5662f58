//! `ptelab report`

use crate::args;
use crate::defaults::REPORT;
use crate::exit::{FINE, STOPPED};
use crate::output::{self, Failed, Out};
use crate::traced::{self, Run};
use ptelab::show;
use ptelab_report::MAX_RULED;

pub(crate) fn report(args: &args::Report, out: &mut Out) -> Result<u8, Failed> {
    let run = Run::new(&args.traced, &REPORT)?;
    output::check(&args.output)?;
    let name = run.name.clone();
    let matrix = run.matrix.clone();
    let trace = run.trace(&args.traced)?;
    if !trace.finished && trace.calls().is_empty() {
        out.line(format!("{name}: stopped before the first call ended, no page is written"))?;
        return Ok(STOPPED);
    }
    let page = ptelab_report::html(&trace).map_err(|error| Failed::Unusable(format!("{name}: {error}")))?;
    output::write_file(&args.output, page.as_bytes())?;
    let (calls, machines) = (traced::counted(&trace), show::counted(trace.lanes.len() as u64, "machine"));
    let size = show::size((page.len() as u64).next_multiple_of(1024));
    if !output::is_stdout(&args.output) {
        out.line(format!("{}: {calls} on {machines}, {size}", args.output.display()))?;
        let several = trace.lanes.windows(2).any(|pair| pair[0].arch == pair[1].arch);
        if several && trace.finished && !trace.can_be_ruled(&matrix) {
            let why = if trace.recorded {
                format!("that is done for up to {MAX_RULED} calls")
            } else {
                "its calls name too much memory to record every step".to_owned()
            };
            out.line(format!("  the rules that make its kernels differ are not named: {why}"))?;
        }
    }
    Ok(if trace.finished { FINE } else { STOPPED })
}
