//! `fork`: a copy of an address space that shares its pages until they are written to (`kernel/fork.c`, `mm/memory.c`, 7.3).

use crate::cause;
use crate::kernel::Kernel;
use crate::memory::copy::{CopySrc, copy_page_range};
use crate::mm_types::Mm;
use crate::mmap::exit_mmap;
use crate::prctl::inherit;
use crate::userfaultfd::userfaultfd_reset;
use crate::util::charge;
use crate::vm_area::{LOCKED_MASK, Userfaultfd, Vma};
use ptelab_pgtable::{Arch, TableMemory, VmFlags};
use ptelab_uapi::Errno;

/// A copy of an address space for a child (`dup_mmap`).
///
/// # Errors
/// `ENOMEM`; what was copied until then is given back.
#[tracing::instrument(level = "trace", skip_all)]
pub fn fork<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm) -> Result<Mm, Errno> {
    let mut child = k.mm_alloc(mm.root)?;
    inherit(&mut child, mm);
    let copied = dup_mmap(k, mm, &mut child);
    k.because(&cause::fork_flush, |k| k.pt.flush_tlb_mm());
    match copied {
        Ok(()) => Ok(child),
        Err(errno) => {
            exit_mmap(k, child);
            Err(errno)
        }
    }
}

fn dup_mmap<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, mm: &mut Mm, child: &mut Mm) -> Result<(), Errno> {
    for vma in mm.vmas.iter().filter(|vma| !vma.flags.contains(VmFlags::DONTCOPY)) {
        if vma.flags.contains(VmFlags::ACCOUNT) {
            charge(k, vma.len() >> A::PAGE_SHIFT)?;
        }
        let mut copy = Vma { flags: vma.flags - LOCKED_MASK, ..vma.clone() };
        k.objects.get(copy.object);
        let wipes = vma.flags.contains(VmFlags::WIPEONFORK);
        if wipes {
            copy.anon_vma = None;
            copy.chain = [].into();
        } else {
            k.rmap.anon_vma_fork(&mut copy);
        }
        let at = copy.start;
        let keeps_uffd = dup_userfaultfd(k, child, copy);
        if !wipes && needs_copy(vma, child.vmas.at(at)) {
            copy_page_range(k, child, &CopySrc { src_mm: mm, vma, keeps_uffd })?;
        }
    }
    Ok(())
}

/// Puts a VMA into the child's tree, registered with a userfaultfd of the child's own where the parent's follows forks.
/// Says whether it is.
fn dup_userfaultfd<A: Arch, H: TableMemory>(k: &mut Kernel<A, H>, child: &mut Mm, vma: Vma) -> bool {
    let (at, registered) = (vma.start, vma.uffd);
    let inherited = registered.and_then(Userfaultfd::forked);
    child.vmas.insert(vma);
    match inherited {
        Some(uffd) => child.vmas.at_mut(at).uffd = Some(uffd),
        None if registered.is_some() => userfaultfd_reset(k, child, at),
        None => {}
    }
    inherited.is_some()
}

/// Whether a child's page tables cannot be filled by faults alone (`vma_needs_copy`).
const fn needs_copy(parents: &Vma, childs: &Vma) -> bool {
    let special = VmFlags::PFNMAP.union(VmFlags::MIXEDMAP).union(VmFlags::MAYBE_GUARD);
    parents.flags.intersects(special) || parents.anon_vma.is_some() || childs.uffd_wp()
}
