//! The transaction in which a protection changes: hardware must not lose an access or a write in between.

use crate::{Hw, Pte, PteOps, Ptep, VirtAddr};

/// `ptep_modify_prot_start` and `_commit`, single and batched (`include/linux/pgtable.h`, `mm/util.c`, 7.3).
///
/// Between start and commit the entries are empty, so that hardware can neither use them nor set bits in them. Start
/// returns the first entry, accessed and dirty if any entry of the batch was. Commit writes a run of consecutive frames;
/// it may be called several times for one start, on adjoining parts.
pub trait ModifyProt: PteOps {
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
    /// Linux's fallback is a loop of single starts; this is the same run for ports whose single start is
    /// [`ptep_get_and_clear`](PteOps::ptep_get_and_clear).
    #[inline]
    fn modify_prot_start_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) -> Pte {
        self.get_and_clear_ptes(hw, addr, p, nr)
    }

    /// Closes it for `nr` entries. `old` and `new` are those of the first.
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
        let _ = old;
        self.set_ptes(hw, addr, p, new, nr);
    }
}
