//! What a scenario came to on a real kernel, as reports of emulated machines have it.

use super::recording::Recording;
use crate::golden::{Golden, GoldenDump, GoldenError, GoldenVma};
use ptelab_machine::mm::Backing;
use ptelab_machine::{Backend, Call, Outcome, Pte, Runs, Snapshot, VirtAddr, VmFlags, VmaFacts};
use ptelab_run::{Dump, RunReport, Unexpected, exec};
use ptelab_scenario::{Line, Scenario};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

/// A report of a kernel of this name. `beside` is what the emulated machine beside it came to, of which `words` reads words: it
/// lends the shape of tables.
pub(super) fn report(
    kernel: &'static str,
    scenario: &Scenario,
    recording: &Recording,
    golden: &Golden,
    (beside, words): (&RunReport, &dyn Backend),
) -> Result<RunReport, GoldenError> {
    let mut report = RunReport {
        arch: beside.arch,
        kernel,
        rules: beside.rules,
        lines: 0,
        finished: true,
        failures: BTreeMap::new(),
        unexpected: Vec::new(),
        unexpected_count: 0,
        results: Vec::new(),
        rest_digest: DefaultHasher::new().finish(),
        dumps: Vec::new(),
        costs: BTreeMap::new(),
        line_costs: BTreeMap::new(),
    };
    let mut calls = recording.calls.iter();
    for step in scenario.steps() {
        let played = !matches!(
            step.line.call,
            Call::Numa { .. } | Call::Page { .. } | Call::Time { .. } | Call::Dump { .. }
        );
        let reply = if played { calls.next().map(|call| call.reply) } else { None };
        add(&mut report, step.line, reply.unwrap_or(Outcome::Value(0)));
    }
    for (dump, like) in golden.dumps.iter().zip(&beside.dumps) {
        let snapshot = snapshot(kernel, dump, &like.snapshot, words)?;
        let vmas = snapshot.vmas.clone();
        report.dumps.push(Dump { name: dump.name.clone(), pid: dump.pid, snapshot, vmas });
    }
    Ok(report)
}

/// The result of the next line.
fn add(report: &mut RunReport, line: &Line, outcome: Outcome) {
    let outcome = match (&line.call, outcome) {
        // A real kernel says what stands there, whatever was expected.
        (Call::Check { byte, .. }, Outcome::Value(is)) if is != u64::from(*byte) => {
            Outcome::Mismatch(is as u8)
        }
        _ => outcome,
    };
    report.lines += 1;
    report.results.push(outcome);
    if let Outcome::Failed(error) = outcome {
        *report.failures.entry(error.to_string()).or_default() += 1;
    }
    if !exec::meets(outcome, line) {
        report.unexpected_count += 1;
        report.unexpected.push(Unexpected { line: line.line, text: line.to_string(), outcome });
    }
}

fn snapshot(
    kernel: &'static str,
    dump: &GoldenDump,
    like: &Snapshot,
    words: &dyn Backend,
) -> Result<Snapshot, GoldenError> {
    let runs = read_views(&dump.runs(like, words.words())?, like.end, words);
    let vmas = dump.vmas.iter().map(vma_facts).filter(|vma| vma.start < like.end && like.start < vma.end);
    Ok(Snapshot { kernel, vmas: vmas.collect(), runs, ..like.clone() })
}

/// An emulated machine's report in the terms of those of real kernels: who is exclusive is not seen there, nor what entries that are
/// not present stand for.
pub fn as_seen(report: RunReport, words: &dyn Backend) -> RunReport {
    let mut report = report;
    for Dump { snapshot, .. } in &mut report.dumps {
        let runs = snapshot.runs.as_golden(true);
        snapshot.runs = read_views(&runs, snapshot.end, words);
        snapshot.vmas.iter_mut().for_each(|vma| {
            *vma = vma_facts(&GoldenVma::new(vma));
        });
    }
    report
}

fn read_views(runs: &Runs, end: VirtAddr, words: &dyn Backend) -> Runs {
    let mut read = runs.emptied();
    for run in runs {
        let view = (!run.is_none()).then(|| words.words().decode(Pte(run.bits), run.level));
        read.push(ptelab_machine::Run { view, ..*run }, end);
    }
    read
}

fn vma_facts(vma: &GoldenVma) -> VmaFacts {
    let addr = |hex: &str| VirtAddr::new(u64::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap_or(0));
    let names: BTreeMap<String, VmFlags> = VmFlags::all().iter().map(|flag| (flag.smaps(), flag)).collect();
    let flags = vma.vmflags.split_ascii_whitespace().filter_map(|name| names.get(name)).copied().collect();
    let shared = vma.perms.ends_with('s');
    VmaFacts {
        start: addr(&vma.start),
        end: addr(&vma.end),
        flags,
        rss: vma.rss_kb << 10,
        anon_huge: vma.anon_huge_kb << 10,
        swap: 0,
        backing: if shared { Backing::Shared } else { Backing::Anonymous },
        pgoff: 0,
    }
}
