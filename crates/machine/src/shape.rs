//! How tables and pages are laid out.

use ptelab_pgtable::{EntryFormat, Level};

/// How tables and pages are laid out on an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Log2 of the bytes that one entry maps, by level from the last up.
    pub entry_shift: [u32; Level::ALL.len()],
    /// Log2 of the entries in a table, by level from the last up.
    pub index_bits: [u32; Level::ALL.len()],
    /// Level of the root table of a new address space; of a port, the highest there is.
    pub root: Level,
    /// Entries in a contiguous block of pages, 1 where there are none.
    pub cont_ptes: usize,
    /// Where the addresses of a process end.
    pub task_size: u64,
}

impl Shape {
    /// That of a port.
    pub const fn of<A: EntryFormat>() -> Self {
        let (entry_shift, index_bits) = (A::ENTRY_SHIFT, A::INDEX_BITS);
        Self { entry_shift, index_bits, root: A::TOP, cont_ptes: A::CONT_PTES, task_size: A::TASK_SIZE }
    }

    /// Log2 of the bytes in a page.
    pub const fn page_shift(&self) -> u32 {
        self.entry_shift[0]
    }

    /// Bytes in a page.
    pub const fn page_size(&self) -> u64 {
        1 << self.page_shift()
    }

    /// Bytes that one entry of `level` maps.
    pub const fn entry_size(&self, level: Level) -> u64 {
        1 << self.entry_shift[level as usize]
    }

    /// Bytes in a page, and in a huge page that an entry of a PMD maps.
    pub fn page_sizes(&self) -> [u64; 2] {
        [Level::Pte, Level::Pmd].map(|level| self.entry_size(level))
    }

    /// Pages that one entry of `level` maps.
    pub const fn pages_per_entry(&self, level: Level) -> u64 {
        self.entry_size(level) >> self.page_shift()
    }

    /// Entries in a table of `level`.
    pub const fn entries(&self, level: Level) -> usize {
        1 << self.index_bits[level as usize]
    }
}
