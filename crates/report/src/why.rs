//! The rules behind changes of entries, each with the Linux file that it follows.

use crate::rules::{self, Situation};
use ptelab::{Backend, FaultKind, Level, Pte, VirtAddr};

/// Who had a hand in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The CPU's walker changed these bits.
    Hardware(u64),
    /// A fault of this kind.
    Fault(FaultKind),
    /// A batch: first address, entries, and which of them it is.
    Batch(VirtAddr, u64, u64),
    /// Entries written one after the other: first address, entries, and which of them it is.
    Write(VirtAddr, u64, u64),
    /// Its contiguous block was made.
    Fold(VirtAddr),
    /// Its contiguous block was taken apart.
    Unfold(VirtAddr),
    /// The huge leaf that mapped it was split.
    Split,
    /// It is mapped by a huge leaf from now on.
    Huge,
}

impl Cause {
    pub(crate) fn text(&self, vm: &dyn Backend, level: Level) -> String {
        match *self {
            Self::Hardware(bits) => {
                let names = vm.words().fields(Pte(bits), level);
                let changed: Vec<_> =
                    names.iter().filter(|field| field.mask & bits != 0).map(|field| field.name).collect();
                format!("the CPU's walker, at an access: {}", changed.join(" "))
            }
            Self::Fault(kind) => format!("a fault: {}", fault_text(kind)),
            Self::Batch(addr, n, i) => format!("a batch of {n} from {addr}: entry {i} of it"),
            Self::Write(_, 1, _) => "a write of this entry alone".to_owned(),
            Self::Write(addr, n, i) => format!("a write of {n} entries from {addr}: entry {i} of them"),
            Self::Fold(addr) => format!("fold: the block at {addr} was made of single entries"),
            Self::Unfold(addr) => format!("unfold: the block at {addr} was taken apart into single entries"),
            Self::Split => "a split of the huge leaf that mapped it".to_owned(),
            Self::Huge => "a huge leaf that maps it with its neighbours".to_owned(),
        }
    }
}

const fn fault_text(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Anon => "new anonymous memory",
        FaultKind::Zero => "the zero page, for a read",
        FaultKind::Shared => "a page of a file or of shared memory",
        FaultKind::Reuse => "copy-on-write of a page that is exclusive, which is used as it is",
        FaultKind::Copy => "copy-on-write, which copied the page",
        FaultKind::AccessFlags => "accessed or dirty set by software",
        FaultKind::Numa => "a NUMA hint",
        FaultKind::Soft => "the page that a software entry stood for",
        FaultKind::Signal => "answered with a signal",
    }
}

/// The rules that apply to a call and what had a hand in an entry: each a sentence, and its source.
pub(crate) fn why(
    name: &str,
    text: &str,
    causes: &[Cause],
    (arch, kernel): (&str, &str),
    situation: Situation,
) -> Vec<(&'static str, String)> {
    let linux = |file: &str| format!("{file}, Linux {kernel}");
    let mut reasons: Vec<(&'static str, String)> = Vec::new();
    let mut note = |rule: &'static str, source: String| {
        if !reasons.iter().any(|(known, _)| *known == rule) {
            reasons.push((rule, source));
        }
    };
    for cause in causes {
        match cause {
            Cause::Hardware(_) => note(
                "Hardware notes accesses in the entry that it walked, and writes where the entry is writable.",
                format!("the {arch} architecture's manual, translation table walks"),
            ),
            Cause::Fault(kind) => {
                let (rule, file) = fault_rule(*kind);
                note(rule, linux(file));
            }
            Cause::Fold(_) => note(
                "A block of entries of one folio becomes one where they differ in frame, accessed and dirty only.",
                linux(&format!("arch/{arch}/mm/contpte.c:__contpte_try_fold")),
            ),
            Cause::Unfold(_) => note(
                "A block is taken apart before a part of it changes, break-before-make.",
                linux(&format!("arch/{arch}/mm/contpte.c:__contpte_try_unfold")),
            ),
            Cause::Split => note(
                "A huge leaf of which a part changes is split into a table first.",
                linux("mm/huge_memory.c:__split_huge_pmd"),
            ),
            Cause::Huge | Cause::Batch(..) | Cause::Write(..) => {}
        }
    }
    if !causes.iter().any(|cause| matches!(cause, Cause::Fault(_)))
        && let Some((rule, file)) = rules::of_call(name, text, situation)
    {
        note(rule, linux(file));
    }
    reasons
}

const fn fault_rule(kind: FaultKind) -> (&'static str, &'static str) {
    match kind {
        FaultKind::Anon => (
            "The first write maps a new folio, of the largest order that is allowed and fits, whole.",
            "mm/memory.c:do_anonymous_page",
        ),
        FaultKind::Zero => (
            "A read of memory that was never written maps the zero page, read-only.",
            "mm/memory.c:do_anonymous_page",
        ),
        FaultKind::Shared => ("The page comes from the mapping's page cache.", "mm/memory.c:do_fault"),
        FaultKind::Reuse => {
            ("A page that nobody else maps becomes writable without a copy.", "mm/memory.c:wp_page_reuse")
        }
        FaultKind::Copy => (
            "A write to a page that may be shared gets a copy of its own: one page, exclusive.",
            "mm/memory.c:wp_page_copy",
        ),
        FaultKind::AccessFlags => (
            "Software sets accessed, and dirty for a write, where hardware did not.",
            "mm/memory.c:handle_pte_fault",
        ),
        FaultKind::Numa => {
            ("A hinted entry gets its protection back, on this node or another.", "mm/memory.c:do_numa_page")
        }
        FaultKind::Soft => (
            "A swapped page is read back, as a page of its own; a device's page comes home.",
            "mm/memory.c:do_swap_page",
        ),
        FaultKind::Signal => ("The VMA does not allow the access.", "mm/memory.c:handle_mm_fault"),
    }
}
