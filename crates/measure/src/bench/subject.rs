//! What is measured: an emulated machine, or the running kernel.

use super::layout::{Calls, Inherit, PAGE};
use super::sample::Skip;
use ptelab_machine::{
    Access, Advice, Backend, Builder, Call, Config, MapFlags, Prot, Snapshot, ThpKey, ThpMode,
};
use ptelab_real as kernel;
use ptelab_real::shape::PMD_SIZE;

/// Where an emulated machine's memory is mapped.
const BASE: u64 = 1 << 30;
/// The process that is measured.
const PID: u32 = 1;

/// An emulated machine.
#[derive(Debug)]
pub(super) struct Emulated(Box<dyn Backend>);

impl Emulated {
    /// A machine with room for `len` bytes in any layout.
    pub(super) fn new(builder: Builder, len: u64) -> Result<Self, Skip> {
        let memory = len.saturating_mul(2).clamp(1 << 30, Config::MAX_MEMORY);
        Ok(Self(builder.memory(memory).build()?))
    }

    fn make(&mut self, call: &Call) -> Result<(), Skip> {
        self.0.call(PID, call).result()?;
        Ok(())
    }

    fn advise(&mut self, offset: u64, len: u64, advice: Advice) -> Result<(), Skip> {
        self.make(&Call::Madvise { addr: BASE + offset, len, advice })
    }

    /// The state of the first `len` bytes.
    pub(super) fn dump(&self, len: u64) -> Result<Snapshot, Skip> {
        Ok(self.0.snapshot(PID, BASE, len)?)
    }
}

impl Calls for Emulated {
    fn map(&mut self, len: u64, folio: u64) -> Result<(), Skip> {
        if folio > self.0.page_size() {
            self.make(&Call::Thp { size: ThpKey::Kb(folio >> 10), mode: ThpMode::Always })?;
        }
        let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED;
        let prot = Prot::READ | Prot::WRITE;
        self.make(&Call::Mmap { addr: BASE, len, prot, flags, fd: -1, offset: 0 })
    }

    fn write(&mut self, offset: u64, len: u64) -> Result<(), Skip> {
        self.make(&Call::Touch { addr: BASE + offset, len, access: Access::Write })
    }

    fn no_more_huge_pages(&mut self, len: u64) -> Result<(), Skip> {
        self.advise(0, len, Advice::NOHUGEPAGE)
    }

    fn inherit(&mut self, offset: u64, len: u64, inherit: Inherit) -> Result<(), Skip> {
        let advice = if inherit == Inherit::Copied { Advice::DOFORK } else { Advice::DONTFORK };
        self.advise(offset, len, advice)
    }

    fn fork(&mut self) -> Result<(), Skip> {
        self.make(&Call::Fork {})
    }

    fn toggle(&mut self, len: u64) -> Result<(), Skip> {
        self.make(&Call::Mprotect { addr: BASE, len, prot: Prot::READ })?;
        self.make(&Call::Mprotect { addr: BASE, len, prot: Prot::READ | Prot::WRITE })?;
        // On a machine that records, what was recorded would grow without end.
        self.0.take_records();
        Ok(())
    }
}

/// The running kernel.
#[derive(Debug, Default)]
pub(super) struct Host(Option<kernel::Region>);

impl Host {
    fn region(&mut self) -> Result<&mut kernel::Region, Skip> {
        self.0.as_mut().ok_or_else(|| Skip("nothing is mapped".to_owned()))
    }
}

/// Folios that may come out smaller than asked for, one in so many, before a layout counts as not had.
const FEW: u64 = 50;

/// Gives every huge page's worth of a region a table of page entries, so that no huge leaf goes there.
fn keep_out_huge_leaves(region: &mut kernel::Region, len: u64) -> Result<(), Skip> {
    for at in (0..len).step_by(PMD_SIZE as usize) {
        let one = PAGE.min(len - at);
        region.write_pages(at, one)?;
        region.madvise(at, one, Advice::DONTNEED)?;
    }
    Ok(())
}

impl Calls for Host {
    fn map(&mut self, len: u64, folio: u64) -> Result<(), Skip> {
        let enough = kernel::facts::available().is_none_or(|free| free > len + len / 8);
        if !enough {
            return Err(Skip("less memory than that is free".to_owned()));
        }
        let mut region = kernel::Region::map(len)?;
        region.madvise(0, len, Advice::NOHUGEPAGE)?;
        if folio > PAGE {
            kernel::thp::gives(folio).map_err(Skip)?;
            if folio < PMD_SIZE {
                keep_out_huge_leaves(&mut region, len)?;
            }
            region.madvise(0, len, Advice::HUGEPAGE)?;
        }
        self.0 = Some(region);
        Ok(())
    }

    fn write(&mut self, offset: u64, len: u64) -> Result<(), Skip> {
        Ok(self.region()?.write_pages(offset, len)?)
    }

    fn no_more_huge_pages(&mut self, len: u64) -> Result<(), Skip> {
        Ok(self.region()?.madvise(0, len, Advice::NOHUGEPAGE)?)
    }

    fn inherit(&mut self, offset: u64, len: u64, inherit: Inherit) -> Result<(), Skip> {
        let advice = if inherit == Inherit::Copied { Advice::DOFORK } else { Advice::DONTFORK };
        Ok(self.region()?.madvise(offset, len, advice)?)
    }

    fn fork(&mut self) -> Result<(), Skip> {
        Ok(self.region()?.share()?)
    }

    fn toggle(&mut self, len: u64) -> Result<(), Skip> {
        let region = self.region()?;
        region.mprotect(0, len, Prot::READ)?;
        Ok(region.mprotect(0, len, Prot::READ | Prot::WRITE)?)
    }
}

impl Host {
    /// Builds a layout and sees whether memory had folios of its size.
    pub(super) fn build(layout: &super::Layout, len: u64) -> Result<Self, Skip> {
        let mut host = Self::default();
        let before = kernel::thp::allocations(layout.folio());
        layout.build(&mut host, len)?;
        let after = kernel::thp::allocations(layout.folio());
        if let Some((before, after)) = before.zip(after)
            && layout.folio() > PAGE
        {
            let want = layout.entries(len).max(1) * layout.entry_size() / layout.folio();
            let got = after.saturating_sub(before);
            if got + want / FEW < want {
                return Err(Skip(format!("memory gave {got} of {want} folios of {}K", layout.folio() >> 10)));
            }
        }
        Ok(host)
    }
}
