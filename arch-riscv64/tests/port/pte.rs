//! Words as kernels of 6.12 and 7.2 showed them, frames apart.

use crate::arch;
use ptelab_pgtable::{EntryFormat, Level, Pfn, PhysAddr, Pte, PteView, VmFlags};

const PRIVATE: [(VmFlags, u64); 6] = [
    (VmFlags::empty(), 0x22),
    (VmFlags::READ, 0x53),
    (VmFlags::READ.union(VmFlags::WRITE), 0x53),
    (VmFlags::EXEC, 0x59),
    (VmFlags::READ.union(VmFlags::EXEC), 0x5b),
    (VmFlags::READ.union(VmFlags::WRITE).union(VmFlags::EXEC), 0x5b),
];

#[test]
fn protections() {
    let arch = arch("7.2");
    for (flags, word) in PRIVATE {
        assert_eq!(arch.vm_get_page_prot(flags).0, word, "{flags:?}");
    }
    let shared = VmFlags::READ | VmFlags::WRITE | VmFlags::SHARED;
    assert_eq!(arch.vm_get_page_prot(shared).0, 0x57);
}

/// Written private memory, then under other protections: an accessible one makes it young, none leaves it as it was.
#[test]
fn changes_of_protection() {
    let arch = arch("7.2");
    let to = |word, flags| arch.pte_modify(Pte(word), arch.vm_get_page_prot(flags)).0;
    let (read, exec) = (VmFlags::READ, VmFlags::EXEC);
    assert_eq!(
        [read, VmFlags::empty(), read | exec, exec].map(|flags| to(0xd7, flags)),
        [0xd3, 0xe2, 0xdb, 0xd9]
    );
    assert_eq!((to(0x97, read), to(0x97, VmFlags::empty())), (0xd3, 0xa2));
}

#[test]
fn a_frame_stands_at_bit_ten() {
    let arch = arch("7.2");
    let pte = arch.pfn_pte(Pfn::new(5), arch.vm_get_page_prot(VmFlags::READ));
    assert_eq!((pte.0, arch.pte_advance_pfn(pte, 1).0 - pte.0), (0x1453, 0x400));
    assert_eq!(arch.decode(Pte(0x1401), Level::Pmd), PteView::Table(PhysAddr::new(0x5000)));
}
