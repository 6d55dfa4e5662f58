//! On a terminal.

use super::letter;
use super::report::{OfArch, Report, SHOWN};
use crate::cost_real::LIMITS;
use crate::output::{Failed, Out};
use ptelab::real::series::Group;
use std::time::Duration;

pub(super) fn print(report: &Report, out: &mut Out) -> Result<(), Failed> {
    for of_arch in &report.architectures {
        print_arch(of_arch, out)?;
    }
    let rows = letter::rows(report);
    if !rows.is_empty() {
        out.line("")?;
        out.heading("Instructions for 16M, least of each call:")?;
        rows.iter().try_for_each(|row| out.line(format!("  {row}")))?;
        out.line(letter::workloads())?;
        out.line(LIMITS)?;
    }
    if !report.finished {
        out.text(letter::stopped(&report.architectures))?;
    }
    Ok(out.line(format!("{:.0} s", report.seconds))?)
}

fn print_arch(report: &OfArch, out: &mut Out) -> Result<(), Failed> {
    let OfArch { arch, base, patched, words, .. } = report;
    out.line("")?;
    out.heading(format!(
        "{arch}: {patched} against {base}: {} scenarios and programs on both, {} a second",
        words.played, words.per_second
    ))?;
    if words.played == 0 {
        return Ok(out.line("Nothing was compared: the run was stopped first.")?);
    }
    groups("Changed", "nothing differs between the two", &words.changed, out)?;
    groups("Wrong", "nothing found (tables, console warnings, crashes)", &words.wrong, out)?;
    if !words.wrong_in_both.is_empty() {
        groups("Wrong in both kernels", "", &words.wrong_in_both, out)?;
    }
    let unlike = "nothing; wherever the base matches the emulator, so does the patched kernel";
    groups("Unlike the rules of its release", unlike, &words.unlike_rules, out)?;
    if words.both_unlike_rules > 0 {
        out.line(format!(
            "  ({} programs say nothing here: both kernels differ from the emulator)",
            words.both_unlike_rules
        ))?;
    }
    Ok(())
}

fn groups(title: &str, none: &str, groups: &[Group], out: &mut Out) -> Result<(), Failed> {
    if groups.is_empty() {
        return Ok(out.line(format!("{title}: {none}."))?);
    }
    out.differing(format!("{title}:"))?;
    for group in groups.iter().take(SHOWN) {
        let Group { cause, count, after, millis, .. } = group;
        let of = group.file.as_ref().map_or_else(String::new, |file| format!(", as in {file}"));
        let seconds = Duration::from_millis(*millis).as_secs_f64();
        out.line(format!("  {count} x {cause}{of} (first: {seconds:.1} s, program {after})"))?;
        group.example.lines().try_for_each(|line| out.line(format!("      {line}")))?;
        let lines = group.lines.iter().filter(|_| group.file.is_none());
        lines.into_iter().try_for_each(|line| out.line(format!("        {line}")))?;
    }
    if groups.len() > SHOWN {
        out.line(format!("  and {} other kinds", groups.len() - SHOWN))?;
    }
    Ok(())
}
