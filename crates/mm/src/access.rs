//! Loads and stores by user code: the hardware's walk, faults, and what is written.

use crate::walk::PmdState;
use crate::{FaultError, Kernel, Mm, cause};
use ptelab_pgtable::{
    Access, Arch, Event, FaultKind, Level, Pfn, Pte, Ptep, TableMemory, VirtAddr, VmFlags, Walk,
};
use ptelab_uapi::{SigCode, SigInfo, Signal};

/// Faults that one access may take before it counts as endless: order by order, a copy, and flags come to fewer.
const MAX_FAULTS: u32 = 16;

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// Makes one access to each page that starts at `addr + i * PAGE_SIZE` below `addr + len`; a write stores the byte 1
    /// there.
    ///
    /// # Errors
    /// The signal of the first access that does not go through; those before it have.
    #[tracing::instrument(level = "trace", skip(self, mm))]
    pub fn touch(&mut self, mm: &mut Mm, addr: VirtAddr, len: u64, access: Access) -> Result<(), FaultError> {
        let segv = FaultError::Signal(Signal::SEGV);
        let mut offset = 0;
        while offset < len {
            let at = addr.checked_add(offset).ok_or(segv)?;
            let pfn = self.access(mm, at, access)?;
            if access == Access::Write {
                self.pages.write(pfn, (at.get() % A::PAGE_SIZE) as usize, 1, 1);
            }
            offset = offset.saturating_add(A::PAGE_SIZE);
        }
        Ok(())
    }

    /// Writes `byte` to `len` bytes, page by page upwards.
    ///
    /// # Errors
    /// The signal of the first access that does not go through; the bytes before it are written.
    #[tracing::instrument(level = "trace", skip(self, mm))]
    pub fn memset(&mut self, mm: &mut Mm, addr: VirtAddr, byte: u8, len: u64) -> Result<(), FaultError> {
        let end = addr.get().saturating_add(len);
        let mut at = addr;
        while at.get() < end {
            let offset = at.get() % A::PAGE_SIZE;
            if offset == 0 && end - at.get() >= A::PAGE_SIZE {
                let written = self.write_run(mm, at, end, byte)?;
                at = VirtAddr::new(at.get() + written);
                continue;
            }
            let here = (A::PAGE_SIZE - offset).min(end - at.get());
            let pfn = self.access(mm, at, Access::Write)?;
            self.pages.write(pfn, offset as usize, here as usize, byte);
            at = VirtAddr::new(at.get() + here);
        }
        Ok(())
    }

    /// The byte at an address.
    ///
    /// # Errors
    /// The signal that reading it ends in.
    pub fn read_byte(&mut self, mm: &mut Mm, addr: VirtAddr) -> Result<u8, FaultError> {
        let pfn = self.access(mm, addr, Access::Read)?;
        Ok(self.pages.read(pfn, (addr.get() % A::PAGE_SIZE) as usize))
    }

    /// Writes whole pages from the aligned address `at` on, under one table or huge leaf; returns the bytes written, at
    /// least a page's.
    fn write_run(&mut self, mm: &mut Mm, at: VirtAddr, end: u64, byte: u8) -> Result<u64, FaultError> {
        let pfn = self.access(mm, at, Access::Write)?;
        let whole = VirtAddr::new(end).align_down(A::PAGE_SIZE);
        let pages = Self::entry_end(at, whole, Level::Pmd).since(at) >> A::PAGE_SHIFT;
        match self.pmd_at(mm, at) {
            PmdState::Table(table) => {
                let p = table.add(Self::index(at, Level::Pte));
                let n = self.write_entries(p, pages as usize, byte);
                Ok((n as u64).max(1) << A::PAGE_SHIFT)
            }
            PmdState::None | PmdState::Huge(_) | PmdState::Soft(_) => {
                self.pages.fill(pfn, pages as usize, byte);
                Ok(pages << A::PAGE_SHIFT)
            }
        }
    }

    /// Writes the pages of up to `max` entries as long as hardware lets each write through; returns how many.
    fn write_entries(&mut self, p: Ptep, max: usize, byte: u8) -> usize {
        let mut done = 0;
        while done < max {
            let p = p.add(done);
            let pte = self.hw.peek(p);
            let Some(new) = self.hardware_access(pte, Level::Pte, Access::Write) else { break };
            let mut n = 1;
            if new == pte {
                // What hardware leaves as it is, it leaves so wherever entries go on alike.
                n = self.hw.peek_run(p, pte, self.arch.pfn_step(pte), max - done);
            } else {
                self.hw.because(&cause::hardware, |hw| hw.hardware_store(p, new));
            }
            self.pages.fill(self.arch.pte_pfn(pte), n, byte);
            done += n;
        }
        done
    }

    /// What an entry holds after an access that hardware lets through.
    #[inline]
    fn hardware_access(&self, pte: Pte, level: Level, access: Access) -> Option<Pte> {
        match self.arch.walk(pte, level, access) {
            Walk::Allowed(new) => Some(new),
            Walk::Fault => None,
        }
    }

    /// One access: the hardware's walk, and faults until it goes through. Returns the frame it reached.
    fn access(&mut self, mm: &mut Mm, addr: VirtAddr, access: Access) -> Result<Pfn, FaultError> {
        if addr.get() >= A::TASK_SIZE {
            return Err(self.signal(mm, addr, access, Signal::SEGV));
        }
        for _ in 0..MAX_FAULTS {
            if let Some(pfn) = self.hardware_walk(mm, addr, access) {
                return Ok(pfn);
            }
            if let Err(error) = self.handle_mm_fault(mm, addr, access) {
                return Err(match error {
                    FaultError::Signal(signal) => self.signal(mm, addr, access, signal),
                    _ => error,
                });
            }
        }
        Err(self.signal(mm, addr, access, Signal::SEGV))
    }

    fn signal(&mut self, mm: &Mm, addr: VirtAddr, access: Access, signal: Signal) -> FaultError {
        self.hw.event(Event::Fault(FaultKind::Signal));
        self.last_signal =
            Some(SigInfo { signal, code: self.si_code(mm, addr, access, signal), addr: addr.get() });
        FaultError::Signal(signal)
    }

    /// `si_code` of a signal that an access got (`arch/*/mm/fault.c`, 6.18).
    fn si_code(&self, mm: &Mm, addr: VirtAddr, access: Access, signal: Signal) -> SigCode {
        let Some(vma) = mm.vmas.find(addr).filter(|_| signal == Signal::SEGV) else {
            return if signal == Signal::BUS { SigCode::ADRERR } else { SigCode::MAPERR };
        };
        if !self.allows(vma.flags, access) {
            SigCode::ACCERR
        } else if vma.flags.pkey() != 0 {
            SigCode::PKUERR
        } else {
            SigCode::MAPERR
        }
    }

    /// Whether the flags of a VMA allow an access.
    pub(crate) fn allows(&self, flags: VmFlags, access: Access) -> bool {
        match access {
            Access::Write => flags.contains(VmFlags::WRITE),
            Access::Read => flags.intersects(self.arch.vm_read_flags()),
        }
    }

    /// What the walker of this CPU finds at `addr`, with accessed and dirty set as the CPU does.
    fn hardware_walk(&mut self, mm: &Mm, addr: VirtAddr, access: Access) -> Option<Pfn> {
        let pmdp = self.pmd_offset(mm, addr).ok()?;
        let (p, level) = match self.pmd_state(pmdp) {
            PmdState::None | PmdState::Soft(_) => return None,
            PmdState::Huge(_) => (pmdp, Level::Pmd),
            PmdState::Table(table) => (table.add(Self::index(addr, Level::Pte)), Level::Pte),
        };
        let pte = self.hw.peek(p);
        let new = self.hardware_access(pte, level, access)?;
        if new != pte {
            self.hw.because(&cause::hardware, |hw| hw.hardware_store(p, new));
        }
        let within = (addr.get() % A::entry_size(level)) >> A::PAGE_SHIFT;
        Some(self.arch.pte_pfn(pte).add(within))
    }
}
