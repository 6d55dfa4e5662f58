//! Which changes of an entry's state the calls of random programs have made.

use super::state::{EntryKind, Seen, state_of};
use std::collections::BTreeMap;
use std::fmt;

const KINDS: usize = EntryKind::ALL.len();

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
            matrix[state_of(old) as usize][state_of(new) as usize] += 1;
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
            EntryKind::ALL.iter().try_for_each(|kind| write!(f, " {:>9}", kind.short()))?;
            writeln!(f)?;
            for (kind, row) in EntryKind::ALL.iter().zip(matrix).filter(|(_, row)| row.iter().any(|&n| n > 0))
            {
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
