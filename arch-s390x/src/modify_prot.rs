//! The transaction in which a protection changes (`arch/s390/mm/pgtable.c`, 7.2).

use crate::bits::PteBits;
use crate::{S390x, cause};
use ptelab_pgtable::{EntryFormat, Hw, Level, ModifyProt, Pte, Ptep, VirtAddr};

/// A start leaves the entry as it was, but invalid; a commit is a store. In a batch Linux does so for each entry.
///
/// With `batch` on, which is an experiment and nothing that Linux does, a batch of several entries is started with the cheapest that
/// the architecture has: IPTE with a range (facility 13) makes up to 256 entries of one page table invalid and flushes their
/// translations, in one instruction. The stores that would mark them go, and with them the flush of the whole address space at the
/// end, so that other translations stay. It counts as an exchange of each valid entry and one flush.
impl ModifyProt for S390x {
    const START_CLEARS: bool = false;

    #[inline]
    fn ptep_modify_prot_start<H: Hw>(&self, hw: &mut H, _: VirtAddr, p: Ptep) -> Pte {
        self.flush_lazy(hw, p, Level::Pte)
    }

    #[inline]
    fn modify_prot_start_ptes<H: Hw>(&self, hw: &mut H, addr: VirtAddr, p: Ptep, nr: usize) -> Pte {
        let in_one = self.cpu.batch && nr > 1;
        let start =
            |hw: &mut H, p| if in_one { invalidate(hw, p) } else { self.flush_lazy(hw, p, Level::Pte) };
        let first = start(hw, p);
        let (mut recorded, mut valid) = (0, !first.has(PteBits::INVALID));
        for i in 1..nr {
            let old = start(hw, p.add(i));
            recorded |= self.recorded(old);
            valid |= !old.has(PteBits::INVALID);
        }
        if in_one && valid {
            hw.because(&cause::ipte_range, |hw| self.flush(hw, addr, (Level::Pte, Level::Pte), nr));
        }
        self.pte_mkrecorded(first, recorded)
    }
}

/// One entry of those that IPTE makes invalid.
fn invalidate<H: Hw>(hw: &mut H, p: Ptep) -> Pte {
    let old = hw.load(p);
    if !old.has(PteBits::INVALID) {
        hw.swap(p, old.with(PteBits::INVALID));
    }
    old
}
