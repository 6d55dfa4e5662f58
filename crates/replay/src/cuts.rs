//! What cut memory that hung together: huge pages and contiguous blocks.

use ptelab_machine::{Advice, Counter, Counters, Prot};
use ptelab_scenario::strace::Syscall;
use serde::Serialize;
use std::collections::BTreeMap;

/// What makes memory accessible.
const ACCESS: Prot = Prot::READ.union(Prot::WRITE).union(Prot::EXEC);

/// What cut memory that hung together: a call of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Cutter {
    /// `mprotect` to `PROT_NONE`, or `MADV_GUARD_INSTALL`.
    Guard,
    /// `MADV_DONTNEED` and `MADV_FREE`.
    Dontneed,
    /// Any other `mprotect`.
    Mprotect,
    /// `munmap`, or a mapping over something.
    Munmap,
    /// Anything else.
    Other,
}

impl Cutter {
    /// What a call is.
    pub(crate) const fn of(call: &Syscall) -> Self {
        match *call {
            Syscall::Mprotect { prot, .. } if !prot.intersects(ACCESS) => Self::Guard,
            Syscall::Madvise { advice: Advice::GUARD_INSTALL, .. } => Self::Guard,
            Syscall::Madvise { advice: Advice::DONTNEED | Advice::FREE, .. } => Self::Dontneed,
            Syscall::Mprotect { .. } => Self::Mprotect,
            Syscall::Munmap { .. } | Syscall::Mmap { .. } => Self::Munmap,
            _ => Self::Other,
        }
    }
}

/// How often, how much, and the first line and call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cuts {
    /// Calls.
    pub calls: u64,
    /// Huge pages that they took apart.
    pub huge_pages: u64,
    /// Contiguous blocks that they took apart.
    pub blocks: u64,
    /// The line of the first.
    pub line: u64,
    /// The first, as the log has it.
    pub call: String,
}

/// What calls cut, by their kind.
pub type CutsByKind = BTreeMap<Cutter, Cuts>;

/// Takes in what a call took.
pub(crate) fn note(cuts: &mut CutsByKind, (line, text): (u64, &str), call: &Syscall, counters: &Counters) {
    let (huge_pages, blocks) = (counters.get(Counter::HugeSplits), counters.get(Counter::Unfolds));
    if huge_pages + blocks == 0 {
        return;
    }
    let first = || Cuts { line, call: text.to_owned(), ..Cuts::default() };
    let cuts = cuts.entry(Cutter::of(call)).or_insert_with(first);
    cuts.calls += 1;
    cuts.huge_pages += huge_pages;
    cuts.blocks += blocks;
}
