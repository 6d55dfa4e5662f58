//! Primitives of a kind that is known only when the machine runs.

use crate::hw_kind::HwKind;
use ptelab_pgtable::{
    Barrier, Cause, Counters, CountingHw, Event, FolioSpan, Hw, Pfn, PlainHw, Pte, Ptep, Record, RecordingHw,
    TableMemory, Tlbi,
};

/// A machine of any kind. Where speed matters less than what a compiler has to do, mm is compiled once for a port, not once for
/// each kind.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a machine has one")]
pub(crate) enum AnyHw {
    Plain(PlainHw),
    Counting(CountingHw),
    Recording(RecordingHw),
}

impl AnyHw {
    /// Keeps this account from now on, where it has kept none.
    pub(crate) fn keep(&mut self, kind: HwKind) {
        if let Self::Plain(plain) = self {
            let plain = std::mem::replace(plain, PlainHw::with_tables_of(1));
            *self = match kind {
                HwKind::Plain => Self::Plain(plain),
                HwKind::Counting => Self::Counting(plain.into()),
                HwKind::Recording => Self::Recording(plain.into()),
            };
        }
    }
}

/// Methods that do what the kind does.
macro_rules! as_kind {
    ($(fn $name:ident(&$($of:ident)+ $(, $arg:ident: $ty:ty)*) $(-> $out:ty)?;)*) => { $(
        #[inline]
        fn $name(&$($of)+ $(, $arg: $ty)*) $(-> $out)? {
            as_kind!(@in $($of)+, hw => hw.$name($($arg),*))
        }
    )* };
    (@in mut $this:ident, $hw:ident => $does:expr) => { as_kind!(@in $this, $hw => $does) };
    (@in $this:ident, $hw:ident => $does:expr) => {
        match $this {
            Self::Plain($hw) => $does,
            Self::Counting($hw) => $does,
            Self::Recording($hw) => $does,
        }
    };
}

impl Hw for AnyHw {
    as_kind! {
        fn load(&mut self, p: Ptep) -> Pte;
        fn store(&mut self, p: Ptep, new: Pte);
        fn swap(&mut self, p: Ptep, new: Pte) -> Pte;
        fn compare_swap(&mut self, p: Ptep, old: Pte, new: Pte) -> Result<(), Pte>;
        fn barrier(&mut self, kind: Barrier);
        fn tlbi(&mut self, op: Tlbi);
        fn page_folio(&mut self, pfn: Pfn) -> FolioSpan;
        fn event(&mut self, event: Event);
        fn begin_cause(&mut self, cause: &'static Cause);
        fn end_cause(&mut self);
        fn keeps(&mut self, p: Ptep, n: usize, cause: &'static Cause);
        fn load_run(&mut self, p: Ptep, n: usize, each: impl FnMut(Pte));
        fn store_run(&mut self, p: Ptep, first: Pte, step: u64, n: usize);
        fn swap_run(&mut self, p: Ptep, new: Pte, n: usize, each: impl FnMut(Pte));
        fn take_run(&mut self, p: Ptep, new: Pte, n: usize, each: impl FnMut(Pte));
        fn match_run(&mut self, p: Ptep, expected: Pte, step: u64, ignore: u64, max: usize) -> usize;
    }
}

impl TableMemory for AnyHw {
    fn with_tables_of(entries: usize) -> Self {
        Self::Plain(PlainHw::with_tables_of(entries))
    }

    as_kind! {
        fn keeps_order(&self) -> bool;
        fn alloc_table(&mut self, entries: usize, empty: Pte) -> Ptep;
        fn free_table(&mut self, table: Ptep, entries: usize);
        fn peek(&self, p: Ptep) -> Pte;
        fn peek_table(&self, table: Ptep, n: usize) -> &[u64];
        fn peek_folio(&self, pfn: Pfn) -> FolioSpan;
        fn set_folio(&mut self, span: FolioSpan);
        fn peek_run(&self, p: Ptep, first: Pte, step: u64, max: usize) -> usize;
        fn peek_orders(&self, pfn: Pfn, stride: usize, order: u32, max: usize) -> usize;
        fn poke_run(&mut self, p: Ptep, first: Pte, step: u64, n: usize);
        fn repeat(&mut self, work: &Counters, times: u64);
        fn hardware_store(&mut self, p: Ptep, new: Pte);
        fn counters(&self) -> Option<&Counters>;
        fn take_records(&mut self) -> Vec<Record>;
    }
}
