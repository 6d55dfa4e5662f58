//! Requests for TLB flushes, gathered over a call (`include/asm-generic/tlb.h`, 7.3).

use crate::{Level, VirtAddr};

/// The union of everything a call changed that cached translations may still show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MmuGather {
    /// Range, in bytes; empty where `start >= end`.
    range: Option<(VirtAddr, VirtAddr)>,
    /// Page entries were changed.
    pub cleared_ptes: bool,
    /// Huge entries were changed.
    pub cleared_pmds: bool,
    /// Tables were freed: walk caches go too.
    pub freed_tables: bool,
}

impl MmuGather {
    /// Notes that translations of `len` bytes from `addr`, by leaves of `level`, may have become too generous.
    #[inline]
    pub fn flush_range(&mut self, addr: VirtAddr, len: u64, level: Level) {
        let end = addr.add(len);
        let (lo, hi) = self.range.unwrap_or((addr, end));
        self.range = Some((lo.min(addr), hi.max(end)));
        match level {
            Level::Pte => self.cleared_ptes = true,
            _ => self.cleared_pmds = true,
        }
    }

    /// The range to flush, if any.
    pub const fn range(&self) -> Option<(VirtAddr, VirtAddr)> {
        self.range
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_unite() {
        let mut tlb = MmuGather::default();
        assert_eq!(tlb.range(), None);
        tlb.flush_range(VirtAddr::new(0x5000), 0x1000, Level::Pte);
        tlb.flush_range(VirtAddr::new(0x2000), 0x1000, Level::Pte);
        assert_eq!(tlb.range(), Some((VirtAddr::new(0x2000), VirtAddr::new(0x6000))));
        assert!(tlb.cleared_ptes && !tlb.cleared_pmds);
    }
}
