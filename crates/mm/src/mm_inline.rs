//! userfaultfd's markers where entries go (`include/linux/mm_inline.h`, 7.3).

use crate::cause;
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, Ptep, SoftLeaf, TableMemory, VirtAddr};

/// Leaves markers where entries of shared memory were taken away that were protected, as the first of them says
///.
pub(crate) fn zap_install_uffd_wp_if_needed<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    vma: &Vma,
    addr: VirtAddr,
    p: Ptep,
    first_is: bool,
    nr: usize,
) {
    if vma.is_anonymous() || !vma.uffd_wp() || !first_is {
        return;
    }
    let protected = pt.soft_word(SoftLeaf::UFFD_WP);
    pt.because(&cause::uffd_mark_zapped, |pt| {
        for i in 0..nr {
            let addr = addr.add(i as u64 * A::PAGE_SIZE);
            pt.set_pte_at(addr, p.add(i), protected);
        }
    });
}
