//! Software entries: what stands in a table where no page is present (`include/linux/leafops.h`, `swap.h`, 7.3).

use crate::{Pfn, changes};
use bitflags::bitflags;

bitflags! {
    /// Bits that a software entry carries beside its type and offset.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SoftFlags: u8 {
        /// The page was exclusive to the process when it left (`pte_swp_exclusive`). Of swap entries only: migration
        /// entries have types for it.
        const EXCLUSIVE = 1 << 0;
        /// Soft-dirty (`pte_swp_soft_dirty`).
        const SOFT_DIRTY = 1 << 1;
        /// userfaultfd write protection (`pte_swp_uffd_wp`).
        const UFFD = 1 << 2;
        /// Accessed, of migration entries only (`softleaf_is_migration_young`).
        const YOUNG = 1 << 3;
        /// Written, of migration entries only (`softleaf_is_migration_dirty`).
        const DIRTY = 1 << 4;
    }
}

/// What only migration entries say, in their offset.
const IN_OFFSET: SoftFlags = SoftFlags::YOUNG.union(SoftFlags::DIRTY);

/// A software entry: swap, migration, marker...
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SoftLeaf {
    /// Type field, 0 to 31; see [`swp_type`].
    pub ty: u8,
    /// Swap slot, frame number, or marker bits.
    pub offset: u64,
    /// Bits beside them.
    pub flags: SoftFlags,
}

/// Types of software entries, of a kernel with migration, memory failure and device memory
/// (`include/linux/swap.h`, 7.3). 0 to 23 are swap devices.
pub mod swp_type {
    /// Memory failure.
    pub const HWPOISON: u8 = 24;
    /// Migration of a read-only, shared page.
    pub const MIGRATION_READ: u8 = 25;
    /// Migration of a read-only, exclusive page.
    pub const MIGRATION_READ_EXCLUSIVE: u8 = 26;
    /// Migration of a writable page.
    pub const MIGRATION_WRITE: u8 = 27;
    /// Device-private memory, writable.
    pub const DEVICE_WRITE: u8 = 28;
    /// Device-private memory, read-only.
    pub const DEVICE_READ: u8 = 29;
    /// A page lent to a device alone.
    pub const DEVICE_EXCLUSIVE: u8 = 30;
    /// Marker; the offset holds [`super::marker`] bits.
    pub const MARKER: u8 = 31;
}

changes! {
    /// How a kernel writes software entries, on every port.
    #[derive(Default)]
    pub struct SoftleafRules;

    /// Types of entries of failed and moving pages leave no room for device memory, and are 3 higher: Debian's 6.12 is built without
    /// `CONFIG_DEVICE_PRIVATE`.
    softleaf_without_devices {
        until: Turn::between("6.12", "6.16"),
        file: "include/linux/swap.h, SWP_DEVICE_NUM",
        probe: Probe::Plays {
            scenario: r#"
                mmap(0x40000000, 4K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 4K)
                hwpoison(0x40000000)
                dump(0x40000000, 4K, "the type of failed memory")
            "#,
            shows: Shows::Words,
        },
    }
}

impl SoftleafRules {
    /// The number that stands in the word for a type.
    pub(crate) const fn number(self, ty: u8) -> u8 {
        self.turned(ty, 3)
    }

    /// The type that a number in a word stands for.
    pub(crate) const fn ty(self, number: u8) -> u8 {
        self.turned(number, 4)
    }

    /// Without device memory, the seven types below the marker are turned, so that each keeps a number.
    const fn turned(self, ty: u8, by: u8) -> u8 {
        match ty {
            swp_type::HWPOISON..=swp_type::DEVICE_EXCLUSIVE if self.softleaf_without_devices => {
                swp_type::HWPOISON + (ty - swp_type::HWPOISON + by) % 7
            }
            _ => ty,
        }
    }
}

/// Offset bits of a marker entry (`include/linux/swapops.h`, 7.3).
pub mod marker {
    /// userfaultfd write protection of a page that is not there.
    pub const UFFD_WP: u64 = 1 << 0;
    /// Poisoned: any access ends in SIGBUS.
    pub const POISONED: u64 = 1 << 1;
    /// Guard: any access ends in SIGSEGV.
    pub const GUARD: u64 = 1 << 2;
}

impl SoftLeaf {
    /// The marker of a guard region.
    pub const GUARD: Self = Self::marker(marker::GUARD);
    /// The marker of a page that is not there and is to be write-protected for userfaultfd.
    pub const UFFD_WP: Self = Self::marker(marker::UFFD_WP);
    /// The marker of a poisoned page.
    pub const POISONED: Self = Self::marker(marker::POISONED);

    const fn marker(offset: u64) -> Self {
        Self { ty: swp_type::MARKER, offset, flags: SoftFlags::empty() }
    }

    /// The entry of this type for a frame.
    pub const fn of_page(ty: u8, pfn: Pfn, flags: SoftFlags) -> Self {
        Self { ty, offset: pfn.get(), flags }
    }

    /// The entries of `nr` swap slots one after the other, this one's first.
    pub fn slots(self, nr: usize) -> impl Iterator<Item = Self> {
        (0..nr as u64).map(move |i| Self { offset: self.offset + i, ..self })
    }

    /// Whether this is a marker with all of `bits`.
    pub const fn is_marker(self, bits: u64) -> bool {
        self.ty == swp_type::MARKER && self.offset & bits == bits
    }

    /// A slot of a swap device (`softleaf_is_swap`).
    pub const fn is_swap(self) -> bool {
        self.ty < swp_type::HWPOISON
    }

    /// A page that is on its way elsewhere (`softleaf_is_migration`).
    pub const fn is_migration(self) -> bool {
        matches!(self.ty, swp_type::MIGRATION_READ..=swp_type::MIGRATION_WRITE)
    }

    /// A page in a device's own memory (`softleaf_is_device_private`).
    pub const fn is_device_private(self) -> bool {
        matches!(self.ty, swp_type::DEVICE_WRITE | swp_type::DEVICE_READ)
    }

    /// The page that stands behind it, where one does (`softleaf_has_pfn`).
    pub const fn pfn(self) -> Option<Pfn> {
        match self.ty {
            swp_type::HWPOISON..=swp_type::DEVICE_EXCLUSIVE => Some(Pfn::new(self.offset)),
            _ => None,
        }
    }

    /// The offset field of a port whose frame numbers have `pfn_bits` (`SWP_PFN_BITS`): above them, a migration entry says
    /// accessed and dirty. `None` where that does not say it.
    pub const fn packed_offset(self, pfn_bits: u32) -> Option<u64> {
        if !self.is_migration() {
            return if self.flags.intersects(IN_OFFSET) { None } else { Some(self.offset) };
        }
        if self.offset >> pfn_bits != 0 {
            return None;
        }
        let young = self.flags.contains(SoftFlags::YOUNG) as u64;
        let dirty = self.flags.contains(SoftFlags::DIRTY) as u64;
        Some(self.offset | young << pfn_bits | dirty << (pfn_bits + 1))
    }

    /// The entry of a type, an offset field and the flags that stand in bits of their own.
    pub fn from_packed(ty: u8, offset: u64, flags: SoftFlags, pfn_bits: u32) -> Self {
        let mut leaf = Self { ty, offset, flags };
        if leaf.is_migration() {
            leaf.offset = offset & ((1 << pfn_bits) - 1);
            leaf.flags.set(SoftFlags::YOUNG, offset >> pfn_bits & 1 != 0);
            leaf.flags.set(SoftFlags::DIRTY, offset >> (pfn_bits + 1) & 1 != 0);
        }
        leaf
    }
}
