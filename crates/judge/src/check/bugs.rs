//! Historical bugs, each put back the smallest way, and what finds it.

use crate::faulty::Fault;
use crate::fuzz::{Check, Checks, Found, Fuzz, Plan, Planned, Size, scenario_text, shrink};
use crate::ports::checked;
use ptelab_machine::KernelRules;
use ptelab_machine::mm::MREMAP_KEEPS_UFFD_WP;
use serde::Serialize;
use std::sync::atomic::AtomicBool;

/// How a bug is put back.
#[derive(Clone, Copy, Debug)]
pub enum Planted {
    /// A kernel's rules that have it.
    Rules(&'static KernelRules),
    /// A port that overrides one method.
    Port(Fault),
}

/// A bug that the checks must find.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    /// Its name.
    pub name: &'static str,
    /// What it was, and the commit that mended it, if there was one.
    pub what: &'static str,
    /// Port that it is on.
    pub port: &'static str,
    /// How it is put back.
    pub planted: Planted,
}

/// The series as first merged: a bug that a kernel had.
const FIRST_MERGED: &KernelRules = KernelRules::listed("6.17-rc1").expect("it is listed");

/// The default kernel as it would be if it still made blocks of entries that are not valid.
static CONT_ON_INVALID: KernelRules = KernelRules::DEFAULT.planted("cont_on_invalid", true);

/// The default kernel as it would be without the mend of reclaim.
static RECLAIM_IGNORES_WRITE: KernelRules = KernelRules::DEFAULT.planted("reclaim_respects_write", false);

/// The default kernel as it would be if mremap kept write protection that nobody can lift any more.
static KEEPS_UFFD_WP: KernelRules = KernelRules::DEFAULT.planted(MREMAP_KEEPS_UFFD_WP, true);

const fn rules(
    name: &'static str,
    what: &'static str,
    port: &'static str,
    rules: &'static KernelRules,
) -> Bug {
    Bug { name, what, port, planted: Planted::Rules(rules) }
}

pub(super) const fn on_port(name: &'static str, what: &'static str, port: &'static str, fault: Fault) -> Bug {
    Bug { name, what, port, planted: Planted::Port(fault) }
}

/// Every bug.
pub const BUGS: &[Bug] = &[
    rules(
        "head-page",
        "AnonExclusive read from the folio's head where a batch starts further on (cf1b80dc31a1)",
        "x86_64",
        FIRST_MERGED,
    ),
    on_port(
        "mremap-write-bit",
        "batches that do not respect the write bit (04d1c9d60c6e)",
        "arm64",
        Fault::BatchIgnoresWrite,
    ),
    on_port(
        "past-the-end",
        "a batch that runs past what it was found in (ddd05742b45b)",
        "arm64",
        Fault::HintPastBlock,
    ),
    on_port(
        "nr-not-reset",
        "the length of one batch stays for the next in an unmap loop (3f8968e9cbf9)",
        "x86_64",
        Fault::StaleBatchLength,
    ),
    on_port(
        "smmu-endless-fault",
        "access flags compared with the gathered view of a block (97c5550b7631)",
        "arm64",
        Fault::AccessFlagsFromGathered,
    ),
    on_port(
        "modify-hw-clean",
        "pte_modify leaves a software-dirty entry clean to hardware (3c0696076aad)",
        "arm64",
        Fault::ModifyLeavesHardwareClean,
    ),
    on_port(
        "wrprotect-loses-dirty",
        "write protection loses the hardware's dirty bit (018e9828eb52)",
        "arm64",
        Fault::WrprotectLosesDirty,
    ),
    rules(
        "cont-on-invalid",
        "contiguous bit on entries that are not valid, as 6.17 has it, in 7.3",
        "arm64",
        &CONT_ON_INVALID,
    ),
    on_port(
        "no-flush-after-copy",
        "the flush after copy-on-write is forgotten",
        "x86_64",
        Fault::NoFlushAfterCopy,
    ),
    on_port("short-range", "TLB invalidation with a range that ends too early", "arm64", Fault::ShortRange),
    on_port(
        "no-break",
        "a block is taken apart without break-before-make",
        "arm64",
        Fault::NoBreakBeforeMake,
    ),
    on_port(
        "fold-loses-recorded",
        "accessed and dirty are not gathered when a block is joined",
        "arm64",
        Fault::FoldLosesRecorded,
    ),
    rules(
        "lazyfree-writable",
        "a lazyfree folio put back writable where it was read-only (29f40594a281)",
        "x86_64",
        &RECLAIM_IGNORES_WRITE,
    ),
    rules("uffd-wp-remapped", "uffd-wp kept across mremap (0cef0bb836e3)", "x86_64", &KEEPS_UFFD_WP),
    on_port(
        "scan-outside",
        "an entry is read before the transaction that changes it, as a scan did (c70dce4982ce)",
        "x86_64",
        Fault::StartReadsBefore,
    ),
    on_port("no-flush-for-write", "losing write permission is not flushed", "x86_64", Fault::NoFlushForWrite),
];

/// Programs that are tried where neither a law nor hardware that interferes shows a bug.
const MORE: u64 = 40_000;

/// What found a bug.
#[derive(Clone, Debug, Serialize)]
pub struct BugRow {
    /// The bug.
    pub name: &'static str,
    /// What it was.
    pub what: &'static str,
    /// The first law that it breaks, or the check that a random program broke, or `race` where only hardware that interferes shows
    /// it; nothing if nothing did.
    pub found_by: Option<String>,
    /// Cases up to that: of the law, random programs, or schedules.
    pub cases: u64,
    /// What random programs found, whatever the laws say: check, cases, and the shortest program.
    pub fuzz: Option<FuzzFound>,
}

/// What random programs found.
#[derive(Clone, Debug, Serialize)]
pub struct FuzzFound {
    /// The check.
    pub check: &'static str,
    /// Programs up to the one that broke it.
    pub cases: u64,
    /// Lines of the shortest program.
    pub lines: usize,
    /// It, as a scenario.
    pub scenario: String,
}

impl Bug {
    const fn rules(&self) -> &'static KernelRules {
        match self.planted {
            Planted::Rules(rules) => rules,
            Planted::Port(_) => KernelRules::DEFAULT,
        }
    }

    const fn fault(&self) -> Fault {
        match self.planted {
            Planted::Rules(_) => Fault::None,
            Planted::Port(fault) => fault,
        }
    }

    /// The plan that runs random programs on machines with this bug.
    pub fn plan(&self, checks: Checks) -> Plan {
        let plan = Plan::new(vec![self.port], vec![self.rules()], Size::SMALL);
        plan.checks(checks).fault(self.fault())
    }

    /// The first law that the bug breaks, and the cases that took.
    pub fn broken_law(&self, stop: &AtomicBool) -> Option<(&'static str, u64)> {
        checked(self.port)?.broken_law(self.rules(), self.fault(), stop)
    }

    /// Schedules of hardware that were tried where one of them shows the bug.
    pub fn lost_race(&self, stop: &AtomicBool) -> Option<u64> {
        checked(self.port)?.lost_race(self.rules(), self.fault(), stop)
    }

    /// What random programs find from a seed, within so many of them.
    pub fn fuzz(&self, seed: u64, cases: u64, checks: Checks, stop: &AtomicBool) -> Option<Found> {
        let plan = self.plan(checks);
        let fuzz = Fuzz { seed, cases, time: None, size: plan.size() };
        fuzz.run(&plan, stop, &|_, _| ()).found
    }

    /// What finds it.
    pub fn find(&self, seed: u64, cases: u64, stop: &AtomicBool) -> BugRow {
        let law = self.broken_law(stop);
        let race = if law.is_none() { self.lost_race(stop) } else { None };
        let plan = self.plan(Checks::ALL);
        // What nothing else finds is worth more programs.
        let cases = if law.is_none() && race.is_none() { cases.max(MORE) } else { cases };
        let found = self.fuzz(seed, cases, Checks::ALL, stop);
        let fuzz = found.map(|found| {
            let cases = found.case + 1;
            let short = shrink(&plan as &dyn Planned, found);
            FuzzFound {
                check: Check::name(short.violation.check),
                cases,
                lines: short.lines.len(),
                scenario: scenario_text(&short, Some(self.name)),
            }
        });
        let (found_by, cases) = match (law, &fuzz) {
            (Some((id, cases)), _) => (Some(id.to_owned()), cases),
            (None, Some(found)) => (Some(found.check.to_owned()), found.cases),
            (None, None) => race.map_or((None, cases), |schedules| (Some("race".to_owned()), schedules)),
        };
        BugRow { name: self.name, what: self.what, found_by, cases, fuzz }
    }
}
