//! Walking page tables as the hardware does, in physical memory that somebody reads.

use crate::real::TableWord;
use crate::shape::{ENTRIES, PAGE_SHIFT, TABLE_SHIFT};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;

/// The topmost level, where pages are level 0.
const TOP: u8 = 3;

/// What tables of an architecture look like: four levels of 4K.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    /// The bits of a word that hold a frame number.
    pub(super) pfn_mask: u64,
    /// A word above the last level points to a table where these bits...
    pub(super) table_mask: u64,
    /// ... have this value.
    pub(super) table_value: u64,
}

/// The words that map a range, in order. `read` gives the words of the table at a physical address.
pub(super) fn walk(
    format: Format,
    root: u64,
    (start, end): (u64, u64),
    mut read: impl FnMut(u64) -> io::Result<Vec<u64>>,
) -> io::Result<Vec<TableWord>> {
    let mut tables: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut words = Vec::new();
    let mut addr = start;
    while addr < end {
        let (mut level, mut table) = (TOP, root);
        let word = loop {
            let entries = match tables.entry(table) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(read(table)?),
            };
            let shift = PAGE_SHIFT + TABLE_SHIFT * u32::from(level);
            let index = (addr >> shift) % ENTRIES;
            let word = entries.get(index as usize).copied().ok_or(io::ErrorKind::UnexpectedEof)?;
            if level == 0 || word & format.table_mask != format.table_value {
                break word;
            }
            (level, table) = (level - 1, word & format.pfn_mask);
        };
        let size = 1 << (PAGE_SHIFT + TABLE_SHIFT * u32::from(level));
        let first = addr - addr % size;
        words.push(TableWord { addr: first, level, word });
        addr = first + size;
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_found_at_every_level() {
        let format = Format { pfn_mask: 0xf_f000, table_mask: 0b11, table_value: 0b11 };
        let tables = |at: u64| {
            let mut table = vec![0; ENTRIES as usize];
            match at {
                0x1000 => table[0] = 0x2003,
                0x2000 => table[1] = 0x3003,
                0x3000 => (table[0], table[1]) = (0x4003, 0x8_0001),
                0x4000 => (table[0], table[511]) = (0x5003, 0x6003),
                _ => return Err(io::ErrorKind::NotFound.into()),
            }
            Ok(table)
        };
        let base = 1 << 30;
        let words =
            walk(format, 0x1000, (base + (511 << 12), base + (6 << 20)), tables).expect("all are there");
        let word = |addr, level, word| TableWord { addr, level, word };
        assert_eq!(
            words,
            [
                word(base + (511 << 12), 0, 0x6003),
                word(base + (2 << 20), 1, 0x8_0001),
                word(base + (4 << 20), 1, 0),
            ]
        );
    }
}
