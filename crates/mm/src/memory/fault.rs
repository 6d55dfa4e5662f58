//! A fault, and the entries that it makes (`struct vm_fault`, 7.3).

use crate::tables::PageTables;
use crate::vm_area::Vma;
use ptelab_pgtable::{Access, Arch, Pfn, Pte, TableMemory, VirtAddr, VmFlags};

/// The faulting address and access, and the entry that was met.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) addr: VirtAddr,
    pub(crate) access: Access,
    /// A marker was met that says that the page is to be write-protected for userfaultfd.
    pub(crate) uffd_wp: bool,
}

/// A new entry, write-protected where the marker in its place said so.
pub(crate) fn marked<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, fault: Fault, entry: Pte) -> Pte {
    if fault.uffd_wp { pt.arch.pte_mkuffd_wp(entry) } else { entry }
}

/// The entry of a page that is about to be written: dirty, and writable where the VMA is.
pub(crate) fn new_anon_entry<A: Arch, H: TableMemory>(pt: &PageTables<A, H>, vma: &Vma, pfn: Pfn) -> Pte {
    let entry = pt.arch.pte_mkdirty(pt.arch.pfn_pte(pfn, vma.page_prot));
    if vma.flags.contains(VmFlags::WRITE) { pt.arch.pte_mkwrite(entry) } else { entry }
}
