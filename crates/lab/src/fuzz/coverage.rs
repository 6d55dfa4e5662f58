//! Which changes of an entry's state the calls of random programs have made.

use super::judge::{Seen, kind_of};
use ptelab_machine::pgtable::{SoftLeaf, marker, swp_type};
use std::collections::BTreeMap;
use std::fmt;

/// The state of an entry, as far as it decides what a call does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Nothing.
    Empty,
    /// A guard, or a write-protected page that is not there.
    Marker,
    /// In swap.
    Swap,
    /// On its way.
    Migration,
    /// In a device's memory, or lent to it.
    Device,
    /// Failed, or poisoned.
    Poison,
    /// The zero page.
    Zero,
    /// No access is allowed.
    NoAccess,
    /// Read-only, of a page that others may have.
    ReadShared,
    /// The same, one of a contiguous block.
    ReadSharedCont,
    /// Read-only, of a page of its own.
    ReadOwn,
    /// The same, one of a contiguous block.
    ReadOwnCont,
    /// Writable.
    Writable,
    /// Writable, one of a contiguous block.
    WritableCont,
    /// A huge leaf.
    Huge,
}

impl Kind {
    const ALL: [Self; 15] = [
        Self::Empty,
        Self::Marker,
        Self::Swap,
        Self::Migration,
        Self::Device,
        Self::Poison,
        Self::Zero,
        Self::NoAccess,
        Self::ReadShared,
        Self::ReadSharedCont,
        Self::ReadOwn,
        Self::ReadOwnCont,
        Self::Writable,
        Self::WritableCont,
        Self::Huge,
    ];

    /// That of a software entry.
    pub(super) const fn of_software(leaf: SoftLeaf) -> Self {
        match leaf.ty {
            swp_type::MARKER if leaf.is_marker(marker::POISONED) => Self::Poison,
            swp_type::MARKER => Self::Marker,
            swp_type::HWPOISON => Self::Poison,
            _ if leaf.is_swap() => Self::Swap,
            _ if leaf.is_migration() => Self::Migration,
            _ => Self::Device,
        }
    }

    /// A short name for a column.
    const fn short(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Marker => "marker",
            Self::Swap => "swap",
            Self::Migration => "migrates",
            Self::Device => "device",
            Self::Poison => "failed",
            Self::Zero => "zero",
            Self::NoAccess => "none",
            Self::ReadShared => "r",
            Self::ReadSharedCont => "r cont",
            Self::ReadOwn => "r own",
            Self::ReadOwnCont => "r own c",
            Self::Writable => "rw",
            Self::WritableCont => "rw cont",
            Self::Huge => "huge",
        }
    }
}

const KINDS: usize = Kind::ALL.len();

/// Transitions of entries, by the call that made them: how many from each state to each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    by_call: BTreeMap<&'static str, [[u64; KINDS]; KINDS]>,
}

impl Coverage {
    /// Notes what became of each entry. Both lists are in the order of their places.
    pub(super) fn note(&mut self, call: &'static str, before: &[Seen], now: &[Seen]) {
        let matrix = self.by_call.entry(call).or_default();
        let place = |seen: &Seen| (seen.pid, seen.entry.addr);
        let (mut i, mut j) = (0, 0);
        while i < before.len() || j < now.len() {
            let (old, new) = (before.get(i), now.get(j));
            let at = old.into_iter().chain(new).map(place).min();
            let old = old.filter(|seen| Some(place(seen)) == at);
            let new = new.filter(|seen| Some(place(seen)) == at);
            matrix[kind_of(old) as usize][kind_of(new) as usize] += 1;
            i += usize::from(old.is_some());
            j += usize::from(new.is_some());
        }
    }

    /// Adds what others noted.
    pub fn add(&mut self, other: &Self) {
        for (call, matrix) in &other.by_call {
            let mine = self.by_call.entry(call).or_default();
            for (row, theirs) in mine.iter_mut().zip(matrix) {
                row.iter_mut().zip(theirs).for_each(|(n, more)| *n += more);
            }
        }
    }

    /// How many different changes of state were made, over all calls.
    pub fn transitions(&self) -> usize {
        let changed = |matrix: &[[u64; KINDS]; KINDS]| {
            (0..KINDS * KINDS)
                .filter(|at| at / KINDS != at % KINDS && matrix[at / KINDS][at % KINDS] > 0)
                .count()
        };
        self.by_call.values().map(changed).sum()
    }
}

impl fmt::Display for Coverage {
    /// A table a call: a row for the state before, a column for the state after.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (call, matrix) in &self.by_call {
            write!(f, "{call:>12}")?;
            Kind::ALL.iter().try_for_each(|kind| write!(f, " {:>9}", kind.short()))?;
            writeln!(f)?;
            for (kind, row) in Kind::ALL.iter().zip(matrix).filter(|(_, row)| row.iter().any(|&n| n > 0)) {
                write!(f, "{:>12}", kind.short())?;
                for n in row {
                    if *n == 0 { write!(f, " {:>9}", "-")? } else { write!(f, " {n:>9}")? }
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}
