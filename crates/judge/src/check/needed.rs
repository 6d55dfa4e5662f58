//! No check is dead weight: with each switched off in turn, a bug goes unfound.

use super::bugs::{BUGS, Bug, on_port};
use crate::faulty::Fault;
use crate::fuzz::{Check, Checks};
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bugs that no kernel had, for checks that no historical one needs.
const MADE_UP: &[Bug] = &[
    on_port("guard-forgotten", "guards are written as other markers", "x86_64", Fault::GuardForgotten),
    on_port(
        "head-of-block",
        "a block's first page is taken for each of its pages",
        "arm64",
        Fault::HeadOfBlock,
    ),
    on_port("swap-exclusive", "pages in swap stay exclusive", "x86_64", Fault::SwapStaysExclusive),
    on_port("markers-stay", "pte_clear leaves markers", "x86_64", Fault::MarkersStay),
    on_port("soft-dirty-lost", "software entries lose soft-dirty", "x86_64", Fault::SoftLeafLosesSoftDirty),
    on_port("uffd-wp-lost", "software entries lose uffd-wp", "arm64", Fault::SoftLeafLosesUffd),
    on_port("no-exec", "no page may be executed", "x86_64", Fault::NoExec),
];

/// A bug that shows what each check is needed for.
const fn shown_by(check: Check) -> &'static str {
    match check {
        Check::Results => "guard-forgotten",
        Check::Contents => "past-the-end",
        Check::Mapcount => "head-of-block",
        Check::Exclusive => "swap-exclusive",
        Check::Writable | Check::Batched => "head-page",
        Check::Vma => "uffd-wp-remapped",
        Check::Outside => "markers-stay",
        Check::Blocks => "cont-on-invalid",
        Check::Dirty => "wrprotect-loses-dirty",
        Check::SoftDirty => "soft-dirty-lost",
        Check::Protected => "uffd-wp-lost",
        Check::Stale => "no-flush-for-write",
        Check::Ports => "no-exec",
        Check::Leaks => "nr-not-reset",
        // Emulated machines have none of these.
        Check::Console | Check::Lives | Check::Beside => "",
    }
}

/// Seeds that are tried, and programs of each.
const SEEDS: u64 = 12;
const CASES: u64 = 1500;

/// What a check is needed for.
#[derive(Clone, Debug, Serialize)]
pub struct NeededRow {
    /// The check.
    pub check: &'static str,
    /// A bug that it shows.
    pub bug: &'static str,
    /// The seed of random programs of which it shows the bug in one, and nothing else shows it in any up to that; nothing where there
    /// is none.
    pub seed: Option<u64>,
    /// Programs up to that one.
    pub cases: u64,
}

/// For each check a bug that goes unfound without it, in as many random programs as it takes to be found with it.
///
/// Machines are held against one another only where that is the check: a bug of a port or a kernel is in both, as a rule.
pub fn needed(stop: &AtomicBool) -> Vec<NeededRow> {
    Check::ALL
        .into_iter()
        .take_while(|_| !stop.load(Ordering::Relaxed))
        .map(|check| row(check, stop))
        .collect()
}

fn row(check: Check, stop: &AtomicBool) -> NeededRow {
    let name = shown_by(check);
    let bug = BUGS.iter().chain(MADE_UP).find(|bug| bug.name == name).expect("the bugs above are listed");
    let apart = [Check::Batched, Check::Ports].into_iter().filter(|other| *other != check);
    let checks = apart.fold(Checks::ALL.without_panics(), Checks::without);
    let alone = |seed| {
        let found = bug.fuzz(seed, CASES, checks, stop).filter(|found| found.violation.check == check)?;
        let cases = found.case + 1;
        bug.fuzz(seed, cases, checks.without(check), stop).is_none().then_some((seed, cases))
    };
    let found = (1..=SEEDS).find_map(alone);
    NeededRow {
        check: check.name(),
        bug: name,
        seed: found.map(|it| it.0),
        cases: found.map_or(CASES, |it| it.1),
    }
}
