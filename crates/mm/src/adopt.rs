//! Mappings that were there before anybody looked: what a log of calls does not show being made.

use crate::address_space::ObjectKind;
use crate::kernel::Kernel;
use crate::mm_types::Mm;
use crate::stack::{check_free, setup_stack};
use crate::util::charge;
use crate::vm_area::{DATA_DEFAULT, FileId, Vma};
use crate::vma::vma_set_page_prot;
use ptelab_pgtable::{Arch, TableMemory, VirtAddr, VmFlags};
use ptelab_uapi::{Errno, FileMode, Prot};
use std::sync::Arc;

/// The last letter of the permissions in /proc/PID/maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// `p`.
    Private,
    /// `s`.
    Shared,
}

/// What an adopted mapping is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdoptedAs {
    /// Memory of no file: private, or shared with a new object behind it.
    Anonymous,
    /// The first stack: private, readable and writable, and it grows down.
    Stack,
    /// A file, from this offset in bytes on.
    File(FileId, u64),
    /// Memory of the kernel's own, by the name that maps has: `[vdso]`, `[vvar]`.
    Special(Arc<str>),
}

/// One mapping to adopt, as a line of maps says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// First address.
    pub start: VirtAddr,
    /// End, exclusive.
    pub end: VirtAddr,
    /// `PROT_READ`, `PROT_WRITE`, `PROT_EXEC`.
    pub prot: Prot,
    /// Private or shared.
    pub sharing: Sharing,
    /// What it is of.
    pub of: AdoptedAs,
}

/// Puts in a mapping that was made before, with no pages yet and as a VMA of its own: it merges with no neighbour by being
/// adopted. It has the flags of a new one; private memory that is writable is accounted.
///
/// # Errors
/// `EINVAL` for a range or an offset that is not one of whole pages of user addresses, `EEXIST` where something is
/// mapped, `EBADF` for no open file, `ENOMEM`.
#[tracing::instrument(level = "trace", skip_all)]
pub fn adopt<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    adopted: &Adopted,
) -> Result<(), Errno> {
    let (start, end) = (adopted.start, adopted.end);
    check_free::<A>(mm, start, end)?;
    if let AdoptedAs::Stack = adopted.of {
        return setup_stack(k, mm, end, end.since(start));
    }
    k.pt.check_asce_limit(mm, end)?;
    let mut flags = adopted_flags(k, adopted)?;
    let pages = end.since(start) >> A::PAGE_SHIFT;
    if flags & (VmFlags::WRITE | VmFlags::SHARED | VmFlags::NORESERVE) == VmFlags::WRITE {
        charge(k, pages)?;
        flags |= VmFlags::ACCOUNT;
    }
    if k.pt.arch.has_soft_dirty() {
        flags |= VmFlags::SOFTDIRTY;
    }
    let prot = k.pt.arch.vm_get_page_prot(flags);
    let mut vma = Vma::anonymous(start, end, flags, prot, A::PAGE_SHIFT);
    match &adopted.of {
        AdoptedAs::File(file, offset) => {
            vma.object = Some(k.objects.fget(*file)?.object);
            vma.file = Some(*file);
            vma.pgoff = offset >> A::PAGE_SHIFT;
            k.objects.get(vma.object);
        }
        AdoptedAs::Special(name) => {
            vma.object = Some(k.objects.new_object(ObjectKind::Special(name.clone()), Some(pages)));
            vma.pgoff = 0;
        }
        AdoptedAs::Anonymous if adopted.sharing == Sharing::Shared => {
            vma.object = Some(k.objects.new_object(ObjectKind::Anonymous, Some(pages)));
            vma.pgoff = 0;
        }
        AdoptedAs::Anonymous | AdoptedAs::Stack => {}
    }
    mm.vmas.insert(vma);
    vma_set_page_prot(k, mm, start);
    Ok(())
}

fn adopted_flags<A: Arch, H: TableMemory>(k: &Kernel<A, H>, adopted: &Adopted) -> Result<VmFlags, Errno> {
    let access = (adopted.prot & (Prot::READ | Prot::WRITE | Prot::EXEC)).bits();
    let mut flags = VmFlags::from_bits_retain(access) | (DATA_DEFAULT - VmFlags::ACCESS);
    if adopted.sharing == Sharing::Shared {
        flags |= VmFlags::SHARED | VmFlags::MAYSHARE;
    }
    match &adopted.of {
        AdoptedAs::File(file, offset) => {
            let mode = k.objects.fget(*file)?.mode;
            if !offset.is_multiple_of(A::PAGE_SIZE) {
                return Err(Errno::EINVAL);
            }
            if adopted.sharing == Sharing::Shared && !mode.contains(FileMode::WRITE) {
                flags -= VmFlags::SHARED | VmFlags::MAYWRITE;
            }
        }
        AdoptedAs::Special(name) if name.starts_with("[vvar") => {
            flags = flags - VmFlags::MAYWRITE - VmFlags::MAYEXEC;
            flags |= VmFlags::IO | VmFlags::DONTEXPAND | VmFlags::DONTDUMP | VmFlags::PFNMAP;
        }
        AdoptedAs::Special(_) => flags |= VmFlags::DONTEXPAND,
        AdoptedAs::Anonymous | AdoptedAs::Stack => {}
    }
    Ok(flags)
}
