//! What is held true of random programs.

use std::fmt;

/// One thing that is held true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// A call returns what the model says.
    Results,
    /// Memory holds what was written.
    Contents,
    /// A page is mapped as often as its map count says, a slot of swap is named so, and sizes add up.
    Mapcount,
    /// A page is `AnonExclusive` only where one entry maps it.
    Exclusive,
    /// A private page is writable only where it is its process's own.
    Writable,
    /// VMAs are as the model says, and entries allow no more than their VMA.
    Vma,
    /// Entries lie in VMAs.
    Outside,
    /// Contiguous blocks are whole.
    Blocks,
    /// What was written is dirty.
    Dirty,
    /// What was written is soft-dirty, and nothing is when that was cleared.
    SoftDirty,
    /// What userfaultfd write-protects says so, and nothing else does.
    Protected,
    /// No translation that may be cached allows what its entry does not.
    Stale,
    /// Batches give the same words as single entries.
    Batched,
    /// Ports agree in what every architecture has.
    Ports,
    /// All memory is free in the end.
    Leaks,
    /// Of a real kernel: it complains of nothing.
    Console,
    /// Of a real kernel: it lives on.
    Lives,
    /// Of a real kernel: it does what the emulator beside it does.
    Beside,
}

impl Check {
    /// Every check of emulated machines.
    pub const ALL: [Self; 15] = [
        Self::Results,
        Self::Contents,
        Self::Mapcount,
        Self::Exclusive,
        Self::Writable,
        Self::Vma,
        Self::Outside,
        Self::Blocks,
        Self::Dirty,
        Self::SoftDirty,
        Self::Protected,
        Self::Stale,
        Self::Batched,
        Self::Ports,
        Self::Leaks,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Results => "results",
            Self::Contents => "contents",
            Self::Mapcount => "map-counts",
            Self::Exclusive => "exclusive",
            Self::Writable => "writable",
            Self::Vma => "vma",
            Self::Outside => "outside",
            Self::Blocks => "blocks",
            Self::Dirty => "dirty",
            Self::SoftDirty => "soft-dirty",
            Self::Protected => "uffd-wp",
            Self::Stale => "stale-translation",
            Self::Batched => "single-batched",
            Self::Ports => "ports",
            Self::Leaks => "leaks",
            Self::Console => "console",
            Self::Lives => "lives",
            Self::Beside => "beside",
        }
    }

    /// What it holds true, in a sentence.
    pub const fn law(self) -> &'static str {
        match self {
            Self::Results => "a call returns what the page-by-page model says",
            Self::Contents => "memory holds what was written to it",
            Self::Mapcount => "map counts, slot counts and resident sizes are those of the entries",
            Self::Exclusive => "AnonExclusive is never set on a page that two entries map",
            Self::Writable => "a private page is writable only where it is its process's own",
            Self::Vma => "VMAs are as the calls made them, and entries allow no more",
            Self::Outside => "no entry lies outside a VMA",
            Self::Blocks => "contiguous blocks are whole, aligned, valid and within a folio",
            Self::Dirty => "a page that was written is dirty, in its entry or folio",
            Self::SoftDirty => {
                "a page that was written since clear_refs(4) is soft-dirty, and none is right after it"
            }
            Self::Protected => {
                "what userfaultfd write-protects says so and is not writable, and nothing else says so"
            }
            Self::Stale => "after a call no cached translation allows what its entry forbids",
            Self::Batched => "batched and single changes give the same words",
            Self::Ports => "all ports agree in what every architecture has",
            Self::Leaks => "no folio, table or slot of swap is left when all processes have ended",
            Self::Console => "a kernel complains of nothing",
            Self::Lives => "a kernel lives on",
            Self::Beside => "a kernel does what the emulator beside it does",
        }
    }
}

/// Checks that are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks(u32);

impl Checks {
    /// All of them.
    pub const ALL: Self = Self(u32::MAX);

    const PANICS: u32 = 1 << 31;

    /// All but one.
    #[must_use]
    pub const fn without(self, check: Check) -> Self {
        Self(self.0 & !(1 << check as u32))
    }

    /// With panics passed over: they are assertions of a build, which not every build has.
    #[must_use]
    pub const fn without_panics(self) -> Self {
        Self(self.0 & !Self::PANICS)
    }

    /// Whether a program that panics is one that broke a check.
    pub(crate) const fn minds_panics(self) -> bool {
        self.0 & Self::PANICS != 0
    }

    /// Whether one is made.
    pub const fn has(self, check: Check) -> bool {
        self.0 & 1 << check as u32 != 0
    }
}

/// A check that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub check: Check,
    /// What shows it.
    pub text: String,
}

impl Violation {
    pub(crate) const fn new(check: Check, text: String) -> Self {
        Self { check, text }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check.law(), self.text)
    }
}
