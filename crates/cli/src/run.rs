//! `ptelab run`

use crate::args;
use crate::defaults::{Defaults, RUN};
use crate::exit::{DIFFERS, FINE, STOPPED};
use crate::output::{Failed, Out};
use crate::progress;
use crate::{beside, input, machines, verify_real};
use ptelab::exec::{self, Watch};
use ptelab::scenario::Scenario;
use ptelab::{Matrix, RunReport, golden, port_named, show, table};

pub(crate) fn run(args: &args::Scenario, out: &mut Out) -> Result<u8, Failed> {
    let (scenario, matrix, reports) = all_reports(args, &RUN)?;
    if args.json {
        let runs: Vec<_> = reports.iter().map(|report| golden::report_json(&scenario, report)).collect();
        out.json(&serde_json::json!({ "runs": runs }))?;
    } else {
        machines::print_switches(matrix.switches(), out)?;
        for report in &reports {
            print(report, args.per_call, out)?;
        }
    }
    Ok(status(&reports))
}

/// The scenario, the machines that the options choose, and what it came to on them and on the kernel images; `defaults` are where
/// the options say nothing. Beside images, machines show what images show.
pub(crate) fn all_reports(
    args: &args::Scenario,
    defaults: &Defaults,
) -> Result<(Scenario, Matrix, Vec<RunReport>), Failed> {
    let images = args.images();
    let scenario = input::scenario(&args.file)?;
    let matrix = args.matrix(defaults.ports, &defaults.kernels())?;
    beside::check_switches(&args.machines, &matrix)?;
    let matrix = machines::for_pages_of(matrix, &scenario)?;
    let mut all = if args.images_only() { Vec::new() } else { reports(&matrix, &scenario)? };
    if !images.is_empty() {
        let guest = args.machines.guest();
        // A list is of the machines beside the images.
        let port = guest.port.filter(|port| args.machines.images_only() && port_named(port).is_some());
        let guest = args::Guest { port, program: args.guest.clone(), ..guest };
        progress::stop_on_ctrl_c();
        all = all.into_iter().map(verify_real::as_seen).collect::<Result<_, _>>()?;
        all.extend(verify_real::reports(&images, &guest, &scenario)?);
    }
    Ok((scenario, matrix, all))
}

/// Runs the scenario on all machines, with a bar where that takes long.
pub(crate) fn reports(matrix: &Matrix, scenario: &Scenario) -> Result<Vec<RunReport>, Failed> {
    progress::stop_on_ctrl_c();
    let bar = progress::bar(exec::steps(scenario).saturating_mul(matrix.machines() as u128), "steps");
    let reports = matrix.run(scenario, Watch { stop: &progress::STOP, tick: &|n| bar.inc(n) });
    bar.finish_and_clear();
    Ok(reports?)
}

pub(crate) fn status(reports: &[RunReport]) -> u8 {
    if progress::stopped() || reports.iter().any(|report| !report.finished) {
        STOPPED
    } else if reports.iter().any(|report| report.unexpected_count > 0) {
        DIFFERS
    } else {
        FINE
    }
}

fn print(report: &RunReport, per_call: bool, out: &mut Out) -> Result<(), Failed> {
    for dump in &report.dumps {
        let text = show::dump_text(report, dump);
        let (heading, rest) = text.split_once('\n').unwrap_or((&text, ""));
        out.heading(heading)?;
        out.line(rest)?;
    }
    if per_call {
        out.heading(format!("{}: what each line took", report.machine()))?;
        out.line(table::lines_text(report))?;
    } else if let Some(table) = table::calls_table(report) {
        out.line(table.trim_fmt())?;
        out.line("")?;
    }
    let text = show::summary(report);
    if report.unexpected_count > 0 {
        out.differing(text.trim_end())?;
    } else {
        out.text(text)?;
    }
    Ok(())
}
