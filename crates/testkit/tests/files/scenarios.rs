//! Every scenario on every port and kernel: results as expected, the same on every kind of machine, states as in the
//! snapshots.

use libtest_mimic::{Failed, Trial};
use ptelab::mm::Rules;
use ptelab::pgtable::SoftleafRules;
use ptelab::{Change, DEFAULT_PORTS, HwKind, KernelRules, RunReport, default_port_names, kernel_names};
use ptelab_testkit::{Case, fixtures, root};
use std::fmt::Write as _;
use std::sync::Arc;

/// It runs at 1 GiB and has a driver of its own.
const TOO_LARGE: &str = "seed";

/// Scenarios that expect what not every kernel does, and the change that it takes, or that must not be. On other kernels their
/// results are what the snapshots have.
const EXPECTING: [(&str, &Change, bool); 7] = [
    ("device-exclusive", SoftleafRules::softleaf_without_devices, false),
    ("device-exclusive-split", SoftleafRules::softleaf_without_devices, false),
    ("device-private", SoftleafRules::softleaf_without_devices, false),
    ("exclusive-mid-folio", Rules::exclusive_from_folio_head, false),
    ("guard", Rules::guard_regions, true),
    ("lazyfree-reclaim", Rules::reclaim_batches_lazyfree, true),
    ("markers", Rules::guard_regions, true),
];

pub(crate) fn trials() -> Vec<Trial> {
    let cases = fixtures("scenarios", "scn").into_iter().map(|path| Arc::new(Case::read(&path)));
    let mut trials = Vec::new();
    for case in cases {
        trials.push(trial("prints", &case, prints));
        if case.name == TOO_LARGE {
            continue;
        }
        trials.push(trial("side_by_side", &case, side_by_side));
        for port in default_port_names() {
            for kernel in kernel_names() {
                trials.push(trial(&format!("{port}::{kernel}"), &case, move |case| runs(case, port, kernel)));
            }
            trials.push(trial(&format!("{port}::snapshot"), &case, move |case| {
                snapshot(case, port);
                Ok(())
            }));
        }
    }
    trials
}

fn trial(name: &str, case: &Arc<Case>, test: impl Fn(&Case) -> Result<(), Failed> + Send + 'static) -> Trial {
    let case = Arc::clone(case);
    Trial::test(format!("scenarios::{}::{name}", case.name), move || test(&case))
}

/// Parsing what was printed gives the same scenario.
fn prints(case: &Case) -> Result<(), Failed> {
    let again = ptelab::scenario::parse(&case.scenario.to_string())?;
    if again == case.scenario { Ok(()) } else { Err("it prints as another scenario".into()) }
}

/// On one machine: every result is the expected one, whatever the machine's primitives, and nothing leaks.
fn runs(case: &Case, port: &str, kernel: &str) -> Result<(), Failed> {
    let run = |hw| case.run(port, kernel, hw).remove(0);
    let plain = run(HwKind::Plain);
    if let Some(wrong) = plain.unexpected.first().filter(|_| does_as_expected(case, kernel)) {
        return Err(format!("line {}: {}: got {}", wrong.line, wrong.text, wrong.outcome).into());
    }
    let (counting, recording) = (run(HwKind::Counting), run(HwKind::Recording));
    for (hw, other) in [("counting", &counting), ("recording", &recording)] {
        if (&other.results, &other.dumps) != (&plain.results, &plain.dumps) {
            return Err(format!("another result on the {hw} machine").into());
        }
    }
    if counting.line_costs != recording.line_costs {
        return Err("the counting machine's sums are not those of what the recording machine recorded".into());
    }
    Ok(())
}

/// Whether a kernel has, or has not, the change that decides what a scenario expects.
fn does_as_expected(case: &Case, kernel: &str) -> bool {
    let rules = KernelRules::by_name(kernel).expect("a known kernel");
    EXPECTING.iter().all(|(name, change, holds)| *name != case.name || rules.has(change) == *holds)
}

/// All machines at once give what each gives alone, however many threads they share.
fn side_by_side(case: &Case) -> Result<(), Failed> {
    let alone: Vec<RunReport> = default_port_names()
        .into_iter()
        .flat_map(|port| kernel_names().into_iter().map(move |kernel| (port, kernel)))
        .map(|(port, kernel)| case.run(port, kernel, HwKind::Counting).remove(0))
        .collect();
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        let together = pool.install(|| case.run(DEFAULT_PORTS, "all", HwKind::Counting));
        if let Some((one, _)) = together.iter().zip(&alone).find(|(one, alone)| one != alone) {
            return Err(format!("another result on {} with {threads} threads", one.machine()).into());
        }
    }
    Ok(())
}

/// One snapshot a port. Kernels that agree share a section.
fn snapshot(case: &Case, port: &str) {
    let mut sections: Vec<(Vec<&str>, String)> = Vec::new();
    let reports: Vec<RunReport> = case.run(port, "all", HwKind::Plain);
    for report in &reports {
        let text = case.transcript(report);
        match sections.iter_mut().find(|(_, known)| *known == text) {
            Some((kernels, _)) => kernels.push(report.kernel),
            None => sections.push((vec![report.kernel], text)),
        }
    }
    let text = sections.iter().fold(String::new(), |mut all, (kernels, text)| {
        let _ = writeln!(all, "== {}\n{text}", kernels.join(", "));
        all
    });
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root().join("fixtures/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("{}@{port}", case.name), text));
}
