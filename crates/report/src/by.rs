//! Who had a hand in an entry.

use ptelab::{Backend, FaultKind, Level, Pte, VirtAddr};

/// One who had a hand in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
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

impl By {
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
