//! Which folios get NUMA hints (`mm/mempolicy.c`, `folio_can_map_prot_numa`, 7.3).

use crate::pages::CPU_NODE;
use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{Arch, FolioSpan, TableMemory, VmFlags};

/// Whether a hint fault could do anything for this folio: not where another process shares it, nor for dirty memory that reclaim takes
/// for a file's (`folio_is_file_lru`: what `MADV_FREE` gave up), nor where private memory is on the CPU's node already (processes here
/// have one thread).
pub(crate) fn folio_can_map_prot_numa<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    vma: &Vma,
    folio: FolioSpan,
) -> bool {
    let shared_cow = vma.flags.is_cow() && pt.maybe_mapped_shared(folio);
    let dirty_file = pt.pages.is_lazyfree(folio) && pt.pages.is_dirty(folio);
    let in_place = !vma.flags.contains(VmFlags::SHARED) && pt.pages.node(folio) == CPU_NODE;
    !shared_cow && !dirty_file && !in_place
}
