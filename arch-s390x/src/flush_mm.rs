//! Whether a flush is due (`arch/s390/include/asm/mmu_context.h`, 7.2).

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether entries were marked invalid that the TLB may still hold (`mm->context.flush_mm`). Calls flush before they end, so that one
/// stands for all address spaces.
#[derive(Debug, Default)]
pub(crate) struct FlushMm(AtomicBool);

impl Clone for FlushMm {
    fn clone(&self) -> Self {
        Self(AtomicBool::new(self.0.load(Ordering::Relaxed)))
    }
}

impl FlushMm {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}
