//! Settings of a machine: its configuration, and what sysfs would hold.

use crate::absent::Absent;
use ptelab_uapi::{Errno, ThpMode};

/// What a machine is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Physical memory, in bytes.
    pub memory: u64,
    /// `vm.max_map_count`: VMAs that one address space may have.
    pub max_map_count: u64,
    /// What its kernel was built without.
    pub absent: Absent,
}

impl Config {
    /// 64 GiB, and Linux's default for the rest.
    pub const DEFAULT: Self = Self { memory: 64 << 30, max_map_count: 65530, absent: Absent::empty() };
    /// The most memory that frame numbers are kept for, in bytes: 8 TiB.
    pub const MAX_MEMORY: u64 = 8 << 40;

    /// Whether the kernel regards the machine as small, and maps no zero pages by huge pages (`mm/huge_memory.c`,
    /// `hugepage_init`, 7.3: less than 512 MB of usable memory at boot; the kernel itself takes some of it).
    pub const fn is_small(&self) -> bool {
        self.memory <= 512 << 20
    }
}

/// `/sys/kernel/mm/transparent_hugepage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThpSettings {
    enabled: ThpMode,
    /// By order.
    sizes: Vec<ThpMode>,
}

/// The smallest order of anonymous folios that has a setting.
pub(crate) const MIN_THP_ORDER: u32 = 2;

impl ThpSettings {
    /// All switches at `never`, for orders up to `pmd_order`.
    pub(crate) fn at_boot(pmd_order: u32) -> Self {
        Self { enabled: ThpMode::Never, sizes: vec![ThpMode::Never; pmd_order as usize + 1] }
    }

    /// Writes the global switch.
    ///
    /// # Errors
    /// For `inherit`, which only a size can have.
    pub const fn set_enabled(&mut self, mode: ThpMode) -> Result<(), Errno> {
        if matches!(mode, ThpMode::Inherit) {
            return Err(Errno::EINVAL);
        }
        self.enabled = mode;
        Ok(())
    }

    /// Writes the switch of one size, in pages of `1 << order`.
    ///
    /// # Errors
    /// Where there are no folios of this size.
    pub fn set_order(&mut self, order: u32, mode: ThpMode) -> Result<(), Errno> {
        let size = self.sizes.get_mut(order as usize).filter(|_| order >= MIN_THP_ORDER);
        *size.ok_or(Errno::ENOENT)? = mode;
        Ok(())
    }

    /// Which orders faults may use, as a mask, where `advised` tells of `MADV_HUGEPAGE` (`thp_vma_allowable_orders`).
    pub fn allowed(&self, advised: bool) -> u32 {
        let inherited = match self.enabled {
            ThpMode::Always => true,
            ThpMode::Madvise => advised,
            ThpMode::Inherit | ThpMode::Never => false,
        };
        let on = |mode: &ThpMode| match mode {
            ThpMode::Always => true,
            ThpMode::Madvise => advised,
            ThpMode::Inherit => inherited,
            ThpMode::Never => false,
        };
        self.sizes
            .iter()
            .enumerate()
            .filter(|(_, mode)| on(mode))
            .fold(0, |mask, (order, _)| mask | 1 << order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_combine_as_sysfs_says() {
        let mut thp = ThpSettings::at_boot(9);
        assert_eq!(thp.allowed(true), 0);
        assert_eq!(thp.set_order(4, ThpMode::Always), Ok(()));
        assert_eq!(thp.set_order(9, ThpMode::Inherit), Ok(()));
        assert_eq!(thp.set_order(3, ThpMode::Madvise), Ok(()));
        assert_eq!((thp.allowed(false), thp.allowed(true)), (1 << 4, 1 << 4 | 1 << 3));
        assert_eq!(thp.set_enabled(ThpMode::Madvise), Ok(()));
        assert_eq!((thp.allowed(false), thp.allowed(true)), (1 << 4, 1 << 4 | 1 << 3 | 1 << 9));
        assert_eq!(thp.set_order(10, ThpMode::Always), Err(Errno::ENOENT));
        assert_eq!(thp.set_order(1, ThpMode::Always), Err(Errno::ENOENT));
        assert_eq!(thp.set_enabled(ThpMode::Inherit), Err(Errno::EINVAL));
    }
}
