//! What is true of the tables of every sound kernel, whatever its release: so a bug that two kernels have is found too.

use crate::golden::{Golden, GoldenDump, GoldenEntry, GoldenVma};
use ptelab_machine::{Backend, Level, Pte, PteAttrs, PteView};

/// Bytes in a page.
const PAGE: u64 = 4096;

/// What is wrong with a kernel's tables, if anything: a law, and the entry that breaks it.
pub(super) fn wrong(golden: &Golden, port: &dyn Backend) -> Option<(String, String)> {
    golden.dumps.iter().find_map(|dump| {
        let (law, entry) = wrong_entry(dump, port)?;
        let text = format!("dump {:?} of process {}: {}: {}", dump.name, dump.pid, entry.va, entry.bits);
        Some((law.to_owned(), text))
    })
}

fn wrong_entry(dump: &GoldenDump, port: &dyn Backend) -> Option<(&'static str, GoldenEntry)> {
    let entries: Vec<GoldenEntry> = dump.entries.iter().flat_map(singles).collect();
    for (n, entry) in entries.iter().enumerate() {
        let bits = u64::from_str_radix(entry.bits.trim_start_matches("0x"), 16).unwrap_or(0);
        let PteView::Present(mapping) = port.words().decode(Pte(bits), level(entry)) else { continue };
        let Some(vma) = dump.vmas.iter().find(|vma| lies_in(entry, vma)) else {
            return Some(("a page is mapped outside of every VMA", entry.clone()));
        };
        let (writes, private) = (mapping.attrs.contains(PteAttrs::WRITE), vma.perms.ends_with('p'));
        if writes && !vma.perms.contains('w') {
            return Some(("an entry allows writes, its VMA does not", entry.clone()));
        }
        if writes && private && entry.mapcount.is_some_and(|count| count > 1) {
            return Some(("a private page that others map too is writable", entry.clone()));
        }
        let marked = vma.vmflags.split(' ').any(|flag| flag == "uw");
        if mapping.attrs.contains(PteAttrs::UFFD) && !marked {
            return Some(("userfaultfd protects an entry of a VMA that it does not", entry.clone()));
        }
        if mapping.attrs.contains(PteAttrs::CONT) && !is_whole(&entries, n, port) {
            return Some(("a contiguous block is not whole, alike and of one folio", entry.clone()));
        }
    }
    None
}

fn address(entry: &GoldenEntry) -> u64 {
    u64::from_str_radix(entry.va.trim_start_matches("0x"), 16).unwrap_or(0)
}

fn lies_in(entry: &GoldenEntry, vma: &GoldenVma) -> bool {
    let edge = |hex: &str| u64::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap_or(0);
    (edge(&vma.start)..edge(&vma.end)).contains(&address(entry))
}

/// Whether the block of a page's entry, as far as the dump has it, maps consecutive pages of one folio, alike but for accessed and
/// dirty, and begins where blocks do.
fn is_whole(entries: &[GoldenEntry], n: usize, port: &dyn Backend) -> bool {
    let entry = &entries[n];
    let block = port.about().shape.cont_ptes as u64;
    if level(entry) != Level::Pte || block < 2 {
        return true;
    }
    let at = address(entry) / PAGE % block;
    let attrs = |entry: &GoldenEntry| {
        let bits = u64::from_str_radix(entry.bits.trim_start_matches("0x"), 16).unwrap_or(0);
        match port.words().decode(Pte(bits), Level::Pte) {
            PteView::Present(mapping) => Some(mapping.attrs - PteAttrs::YOUNG - PteAttrs::DIRTY),
            _ => None,
        }
    };
    // The next entry of the block, where there is one in the dump.
    let next = entries.get(n + 1).filter(|next| address(next) == address(entry) + PAGE);
    let follows = next.is_none_or(|next| {
        let same_folio = (next.folio, next.offset) == (entry.folio, entry.offset.map(|offset| offset + 1));
        at + 1 == block || attrs(next) == attrs(entry) && (entry.folio.is_none() || same_folio)
    });
    let begins = entry.offset.is_none_or(|offset| u64::from(offset) % block == at);
    follows && begins
}

pub(super) fn level(entry: &GoldenEntry) -> Level {
    [Level::Pte, Level::Pmd, Level::Pud, Level::Pgd][usize::from(entry.level.min(3))]
}

/// The entries of a run, one by one.
pub(super) fn singles(run: &GoldenEntry) -> impl Iterator<Item = GoldenEntry> + '_ {
    let first = u64::from_str_radix(run.va.trim_start_matches("0x"), 16).unwrap_or(0);
    let step = 1_u64 << (9 * u32::from(run.level));
    (0..run.n).map(move |i| GoldenEntry {
        va: format!("{:#x}", first + ((i * step) << 12)),
        n: 1,
        offset: run.offset.map(|offset| offset + (i * step) as u32),
        ..run.clone()
    })
}
