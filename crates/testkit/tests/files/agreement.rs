//! Every scenario, also those of golden files, on every port and kernel: they agree in the neutral view, but for what differs by
//! right (`fixtures/agreement.toml`). Raw words are held by snapshots and golden files.

use libtest_mimic::{Failed, Trial};
use ptelab::compare::{Comparison, compare_pair};
use ptelab::{Golden, HwKind, RunReport};
use ptelab_testkit::agreement::{ByRight, DifferingWords, Reason, differing};
use ptelab_testkit::{Case, fixtures, stem};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// It runs at 1 GiB, and dumps nothing.
const TOO_LARGE: &str = "seed";

pub(crate) fn trials() -> Vec<Trial> {
    let by_right = Arc::new(ByRight::read());
    let cases = cases();
    let named: BTreeSet<&String> = by_right.causes.iter().flat_map(|cause| &cause.scenarios).collect();
    let unknown: Vec<_> = named.into_iter().filter(|name| !cases.contains_key(*name)).collect();
    assert!(unknown.is_empty(), "fixtures/agreement.toml names scenarios that there are not: {unknown:?}");
    let trials = cases.into_values().map(|case| {
        let by_right = Arc::clone(&by_right);
        Trial::test(format!("agreement::{}", case.name), move || agree(&case, &by_right))
    });
    trials.collect()
}

/// All scenarios, each once: a golden file's is the same for all ports and kernels.
fn cases() -> BTreeMap<String, Case> {
    let mut cases: BTreeMap<String, Case> =
        fixtures("scenarios", "scn").iter().map(|path| (stem(path), Case::read(path))).collect();
    cases.remove(TOO_LARGE);
    for path in fixtures("golden", "json") {
        let bytes = std::fs::read(&path).expect("a golden file");
        let golden = Golden::parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let text = golden.scenario.join("\n");
        let scenario = ptelab::scenario::parse(&text).expect("golden files are verified by another test");
        let memory_mib = Some(golden.memory() >> 20);
        let case = Case { name: golden.name.clone(), text, scenario, memory_mib };
        let known = cases.entry(golden.name).or_insert_with(|| case.clone());
        assert_eq!(known.text, case.text, "{} is another scenario under this name", path.display());
    }
    cases
}

/// Each port with the first under the same kernel, each kernel with the one before it on the same port.
fn pairs(reports: &[RunReport]) -> Vec<(&RunReport, &RunReport)> {
    let mut pairs = Vec::new();
    for (i, right) in reports.iter().enumerate() {
        let earlier = &reports[..i];
        let first_port = earlier.iter().find(|left| left.kernel == right.kernel);
        let last_kernel = earlier.iter().rfind(|left| left.arch == right.arch);
        pairs.extend(first_port.into_iter().chain(last_kernel).map(|left| (left, right)));
    }
    pairs
}

fn agree(case: &Case, by_right: &ByRight) -> Result<(), Failed> {
    let reports = case.run(ptelab::DEFAULT_PORTS, "all", HwKind::Plain);
    let causes: Vec<(&Reason, DifferingWords)> =
        by_right.causes.iter().map(|cause| (cause, cause.words(&case.name))).collect();
    let mut wrong = Vec::new();
    let mut found = vec![DifferingWords::new(); causes.len()];
    for (left, right) in pairs(&reports) {
        let machines = format!("{} and {}", left.machine(), right.machine());
        let shown = compare_pair(&case.scenario, left, right, Comparison::Neutral)
            .map(|shown| shown.differences.join("\n"));
        let differ = differing(&case.scenario, left, right);
        if shown.is_some() == differ.is_empty() {
            return Err(format!("{machines}: {differ:?} are not the words for {shown:?}").into());
        }
        let mut unknown = differ.clone();
        let parting: Vec<usize> = (0..causes.len())
            .filter(|&i| !causes[i].1.is_empty() && causes[i].0.parts(left, right))
            .collect();
        for &i in &parting {
            let (cause, words) = &causes[i];
            // Two that are of the same may cancel out.
            let is_alone = parting.iter().all(|&other| other == i || causes[other].1.is_disjoint(words));
            if is_alone && words.is_disjoint(&differ) {
                wrong.push(format!("{machines} do not differ, though {:?}", cause.reason));
            }
            found[i].extend(words & &differ);
            unknown = &unknown - words;
        }
        if !unknown.is_empty() {
            wrong.push(format!(
                "{machines} differ in {unknown:?} for no known cause:\n{}",
                shown.unwrap_or_default()
            ));
        }
    }
    for ((cause, words), found) in causes.iter().zip(&found) {
        wrong.extend(
            (words - found).iter().map(|word| format!("no {word:?} differs, though {:?}", cause.reason)),
        );
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}
