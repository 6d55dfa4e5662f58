//! The transaction in which a protection changes: hardware must not lose an access or a write in between.

use crate::{Hw, Pte, PteOps, Ptep, VirtAddr};

/// `ptep_modify_prot_start` and `_commit`, single and batched (`include/linux/pgtable.h`, `mm/util.c`, 7.3).
///
/// Between start and commit hardware can neither use the entries nor set bits in them: they are empty, or marked as invalid
/// where a port starts in its own way. Start returns the first entry, accessed and dirty if any entry of the batch was. Commit writes a run of consecutive frames;
/// it may be called several times for one start, on adjoining parts.
pub trait ModifyProt: PteOps {
    /// Whether a start leaves an entry empty, as Linux's fallback does.
    const START_CLEARS: bool = true;

    /// Opens the transaction on one entry.
    #[inline]
    fn ptep_modify_prot_start<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep) -> Pte {
        self.ptep_get_and_clear(hw, addr, p)
    }

    /// Closes it. `old` is what start returned.
    #[inline]
    fn ptep_modify_prot_commit<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, old: Pte, new: Pte) {
        let _ = old;
        self.set_pte_at(hw, addr, p, new);
    }

    /// Opens the transaction on `nr` entries of one batch.
    ///
    /// Linux's fallback is a loop of single starts. Where these are
    /// [`ptep_get_and_clear`](PteOps::ptep_get_and_clear), that is one run.
    #[inline]
    fn modify_prot_start_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) -> Pte {
        if Self::START_CLEARS {
            return self.get_and_clear_ptes(hw, addr, p, nr);
        }
        let first = self.ptep_modify_prot_start(hw, addr, p);
        let mut recorded = 0;
        for i in 1..nr {
            let addr = addr.add(i as u64 * Self::PAGE_SIZE);
            recorded |= self.recorded(self.ptep_modify_prot_start(hw, addr, p.add(i)));
        }
        self.pte_mkrecorded(first, recorded)
    }

    /// Closes it for `nr` entries. `old` and `new` are those of the first. Linux's fallback is a loop of single commits.
    #[inline]
    fn modify_prot_commit_ptes<H: Hw>(
        &self,
        hw: &mut H,
        addr: VirtAddr,
        p: Ptep,
        old: Pte,
        new: Pte,
        nr: usize,
    ) {
        if Self::START_CLEARS {
            return self.set_ptes(hw, addr, p, new, nr);
        }
        for i in 0..nr {
            let (old, new) = (self.pte_advance_pfn(old, i), self.pte_advance_pfn(new, i));
            self.ptep_modify_prot_commit(hw, addr.add(i as u64 * Self::PAGE_SIZE), p.add(i), old, new);
        }
    }
}
