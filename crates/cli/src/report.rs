//! `ptelab report`

use crate::args;
use crate::defaults::REPORT;
use crate::exit::{FINE, STOPPED};
use crate::output::{self, Failed, Out};
use crate::traced::Run;
use ptelab::show;

pub(crate) fn report(args: &args::Report, out: &mut Out) -> Result<u8, Failed> {
    let run = Run::new(&args.traced, &REPORT)?;
    output::check(&args.output)?;
    let name = run.name.clone();
    let trace = run.trace()?;
    if !trace.finished && trace.calls().is_empty() {
        out.line(format!("{name}: stopped before the first call ended, no page is written"))?;
        return Ok(STOPPED);
    }
    let page = ptelab_report::html(&trace).map_err(|error| Failed::Unusable(format!("{name}: {error}")))?;
    output::write_file(&args.output, page.as_bytes())?;
    let (calls, machines) = (trace.counted(), trace.lanes.len());
    let size = show::size((page.len() as u64).next_multiple_of(1024));
    if !output::is_stdout(&args.output) {
        out.line(format!("{}: {calls} on {machines} machines, {size}", args.output.display()))?;
    }
    Ok(if trace.finished { FINE } else { STOPPED })
}
