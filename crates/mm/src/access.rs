//! Loads and stores by user code: the hardware's walk, faults, and what is written.

use crate::cause;
use crate::errno::FaultError;
use crate::kernel::Kernel;
use crate::memory::{allows, handle_mm_fault};
use crate::mm_types::{Mm, Pkeys};
use crate::pkeys::arch_vma_access_permitted;
use crate::tables::PageTables;
use crate::tables::walk::PmdState;
use ptelab_pgtable::{Access, Arch, Event, FaultKind, Level, Pfn, Pte, Ptep, TableMemory, VirtAddr};
use ptelab_uapi::{SigCode, SigInfo, Signal};

/// Faults that one access may take before it counts as endless: order by order, a copy, and flags come to fewer.
const MAX_FAULTS: u32 = 16;

/// Makes one access to each page that starts at `addr + i * PAGE_SIZE` below `addr + len`; a write stores the byte 1
/// there.
///
/// # Errors
/// The signal of the first access that does not go through; those before it have.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn touch<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    addr: VirtAddr,
    len: u64,
    access: Access,
) -> Result<(), FaultError> {
    let segv = FaultError::Signal(Signal::SEGV);
    let mut offset = 0;
    while offset < len {
        let at = addr.checked_add(offset).ok_or(segv)?;
        let pfn = user_access(k, mm, at, access)?;
        if access == Access::Write {
            k.pt.pages.write(pfn, (at.get() % A::PAGE_SIZE) as usize, 1, 1);
        }
        offset = offset.saturating_add(A::PAGE_SIZE);
    }
    Ok(())
}

/// Writes `byte` to `len` bytes, page by page upwards.
///
/// # Errors
/// The signal of the first access that does not go through; the bytes before it are written.
#[tracing::instrument(level = "trace", skip(k, mm))]
pub fn memset<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    addr: VirtAddr,
    byte: u8,
    len: u64,
) -> Result<(), FaultError> {
    let mut at = A::untagged_addr(addr);
    let end = at.get().saturating_add(len);
    while at.get() < end {
        let offset = at.get() % A::PAGE_SIZE;
        if offset == 0 && end - at.get() >= A::PAGE_SIZE {
            let written = write_run(k, mm, at, end, byte)?;
            at = VirtAddr::new(at.get() + written);
            continue;
        }
        let here = (A::PAGE_SIZE - offset).min(end - at.get());
        let pfn = user_access(k, mm, at, Access::Write)?;
        k.pt.pages.write(pfn, offset as usize, here as usize, byte);
        at = VirtAddr::new(at.get() + here);
    }
    Ok(())
}

/// The byte at an address.
///
/// # Errors
/// The signal that reading it ends in.
pub fn read_byte<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    addr: VirtAddr,
) -> Result<u8, FaultError> {
    let pfn = user_access(k, mm, addr, Access::Read)?;
    Ok(k.pt.pages.read(pfn, (addr.get() % A::PAGE_SIZE) as usize))
}

/// Writes whole pages from the aligned address `at` on, under one table or huge leaf; returns the bytes written, at
/// least a page's.
fn write_run<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    at: VirtAddr,
    end: u64,
    byte: u8,
) -> Result<u64, FaultError> {
    let pfn = user_access(k, mm, at, Access::Write)?;
    let whole = VirtAddr::new(end).align_down(A::PAGE_SIZE);
    let pages = A::entry_end(at, whole, Level::Pmd).since(at) >> A::PAGE_SHIFT;
    match k.pt.pmd_at(mm, at) {
        PmdState::Table(table) => {
            let p = table.add(A::index(at, Level::Pte));
            let n = write_entries(&mut k.pt, &mm.pkeys, p, pages as usize, byte);
            Ok((n as u64).max(1) << A::PAGE_SHIFT)
        }
        PmdState::None | PmdState::Huge(_) | PmdState::Soft(_) => {
            k.pt.pages.fill(pfn, pages as usize, byte);
            Ok(pages << A::PAGE_SHIFT)
        }
    }
}

/// Writes the pages of up to `max` entries as long as hardware lets each write through; returns how many.
fn write_entries<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    keys: &Pkeys,
    p: Ptep,
    max: usize,
    byte: u8,
) -> usize {
    let mut done = 0;
    while done < max {
        let p = p.add(done);
        let pte = pt.hw.peek(p);
        let Some(new) = hardware_access(pt, keys, pte, Level::Pte, Access::Write) else { break };
        let mut n = 1;
        if new == pte {
            // What hardware leaves as it is, it leaves so wherever entries go on alike.
            n = pt.hw.peek_run(p, pte, pt.arch.pfn_step(pte), max - done);
        } else {
            pt.hw.because(&cause::hardware, |hw| hw.hardware_store(p, new));
        }
        pt.pages.fill(pt.arch.pte_pfn(pte), n, byte);
        done += n;
    }
    done
}

/// What an entry holds after an access that hardware lets through: its key's rights come before its bits.
#[inline]
fn hardware_access<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    keys: &Pkeys,
    pte: Pte,
    level: Level,
    access: Access,
) -> Option<Pte> {
    if !keys.permit(pt.arch.pte_pkey(pte), access) {
        return None;
    }
    match pt.arch.walk(pte, level, access) {
        ptelab_pgtable::Walk::Allowed(new) => Some(new),
        ptelab_pgtable::Walk::Fault => None,
    }
}

/// One access: the hardware's walk, and faults until it goes through. Returns the frame it reached.
fn user_access<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &mut Mm,
    addr: VirtAddr,
    access: Access,
) -> Result<Pfn, FaultError> {
    let segv = FaultError::Signal(Signal::SEGV);
    let addr = A::untagged_addr(addr);
    if !A::is_canonical(addr) {
        return Err(signalled(k, mm, addr, access, FaultError::Signal(Signal::BUS)));
    }
    if addr.get() >= mm.task_size {
        return Err(signalled(k, mm, addr, access, segv));
    }
    for _ in 0..MAX_FAULTS {
        if let Some(pfn) = hardware_walk(&mut k.pt, mm, addr, access) {
            return Ok(pfn);
        }
        if let Err(error) = handle_mm_fault(k, mm, addr, access) {
            return Err(signalled(k, mm, addr, access, error));
        }
    }
    Err(signalled(k, mm, addr, access, segv))
}

/// What an access that failed so ends in: a signal is sent, anything else is for the caller.
fn signalled<A: Arch, H: TableMemory>(
    k: &mut Kernel<A, H>,
    mm: &Mm,
    addr: VirtAddr,
    access: Access,
    error: FaultError,
) -> FaultError {
    let (signal, code) = match error {
        FaultError::Signal(Signal::SEGV) => (Signal::SEGV, segv_code(&k.pt, mm, addr, access)),
        FaultError::Signal(signal) => (signal, SigCode::ADRERR),
        // Ports whose memory may fail say that it did.
        FaultError::Hwpoison if A::MEMORY_FAILURE => (Signal::BUS, SigCode::MCEERR_AR),
        FaultError::Hwpoison => (Signal::BUS, SigCode::ADRERR),
        FaultError::OutOfMemory | FaultError::Migrating | FaultError::InDevice(_) => return error,
    };
    k.pt.hw.event(Event::Fault(FaultKind::Signal));
    k.last_signal = Some(SigInfo { signal, code, addr: addr.get() });
    FaultError::Signal(signal)
}

/// `si_code` of the `SIGSEGV` that an access got (`arch/*/mm/fault.c`, 6.18).
fn segv_code<A: Arch, H: TableMemory>(
    pt: &PageTables<A, H>,
    mm: &Mm,
    addr: VirtAddr,
    access: Access,
) -> SigCode {
    let Some(vma) = mm.vmas.find(addr) else { return SigCode::MAPERR };
    if !allows(pt, vma.flags, access) {
        SigCode::ACCERR
    } else if !arch_vma_access_permitted(mm, vma, access) {
        SigCode::PKUERR
    } else {
        SigCode::MAPERR
    }
}

/// What the walker of this CPU finds at `addr`, with accessed and dirty set as the CPU does.
fn hardware_walk<A: Arch, H: TableMemory>(
    pt: &mut PageTables<A, H>,
    mm: &Mm,
    addr: VirtAddr,
    access: Access,
) -> Option<Pfn> {
    let pmdp = pt.pmd_offset(mm, addr).ok()?;
    let (p, level) = match pt.pmd_state(pmdp) {
        PmdState::None | PmdState::Soft(_) => return None,
        PmdState::Huge(_) => (pmdp, Level::Pmd),
        PmdState::Table(table) => (table.add(A::index(addr, Level::Pte)), Level::Pte),
    };
    let pte = pt.hw.peek(p);
    let new = hardware_access(pt, &mm.pkeys, pte, level, access)?;
    if new != pte {
        pt.hw.because(&cause::hardware, |hw| hw.hardware_store(p, new));
    }
    let within = (addr.get() % A::entry_size(level)) >> A::PAGE_SHIFT;
    let pfn = if level == Level::Pmd { pt.arch.pmd_pfn(pte) } else { pt.arch.pte_pfn(pte) };
    Some(pfn.add(within))
}
