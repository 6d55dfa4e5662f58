//! The flags of a mapping, with Linux's own numbers (`include/linux/mm.h`, 7.3).

use bitflags::bitflags;
use std::fmt::Write as _;

bitflags! {
    /// Flags of a VMA. The low four bits choose its protection; the next four say what `mprotect` may grant.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct VmFlags: u64 {
        /// Readable.
        const READ = 1 << 0;
        /// Writable.
        const WRITE = 1 << 1;
        /// Executable.
        const EXEC = 1 << 2;
        /// `MAP_SHARED`.
        const SHARED = 1 << 3;
        /// `mprotect` may make it readable.
        const MAYREAD = 1 << 4;
        /// `mprotect` may make it writable.
        const MAYWRITE = 1 << 5;
        /// `mprotect` may make it executable.
        const MAYEXEC = 1 << 6;
        /// May be shared.
        const MAYSHARE = 1 << 7;
        /// A stack that grows down.
        const GROWSDOWN = 1 << 8;
        /// Raw frames without page structs.
        const PFNMAP = 1 << 10;
        /// Guard regions may lie in it (7.3 on).
        const MAYBE_GUARD = 1 << 11;
        /// Registered for userfaultfd write protection.
        const UFFD_WP = 1 << 12;
        /// `mlock`ed.
        const LOCKED = 1 << 13;
        /// Device memory.
        const IO = 1 << 14;
        /// `MADV_SEQUENTIAL`.
        const SEQ_READ = 1 << 15;
        /// `MADV_RANDOM`.
        const RAND_READ = 1 << 16;
        /// Not copied at fork.
        const DONTCOPY = 1 << 17;
        /// `mremap` may not grow it.
        const DONTEXPAND = 1 << 18;
        /// Locked when faulted in.
        const LOCKONFAULT = 1 << 19;
        /// Its pages are charged to the commit limit.
        const ACCOUNT = 1 << 20;
        /// `MAP_NORESERVE`.
        const NORESERVE = 1 << 21;
        /// hugetlbfs.
        const HUGETLB = 1 << 22;
        /// `MAP_SYNC`.
        const SYNC = 1 << 23;
        /// Copied empty at fork.
        const WIPEONFORK = 1 << 25;
        /// Left out of core dumps.
        const DONTDUMP = 1 << 26;
        /// Soft-dirty for the whole VMA: new since `clear_refs`.
        const SOFTDIRTY = 1 << 27;
        /// Both page structs and raw frames.
        const MIXEDMAP = 1 << 28;
        /// `MADV_HUGEPAGE`.
        const HUGEPAGE = 1 << 29;
        /// `MADV_NOHUGEPAGE`.
        const NOHUGEPAGE = 1 << 30;
        /// Offered to KSM.
        const MERGEABLE = 1 << 31;
        /// Protection key, bit 0 (then 1, 2, 3).
        const PKEY_BIT0 = 1 << 32;
        /// Protection key, bit 1.
        const PKEY_BIT1 = 1 << 33;
        /// Protection key, bit 2.
        const PKEY_BIT2 = 1 << 34;
        /// Protection key, bit 3.
        const PKEY_BIT3 = 1 << 35;
        /// `MAP_DROPPABLE`.
        const DROPPABLE = 1 << 40;
        /// `mseal`ed: it stays mapped, as it is.
        const SEALED = 1 << 42;
        /// arm64 branch target identification (`PROT_BTI`).
        const ARM64_BTI = 1 << 36;
    }
}

impl VmFlags {
    /// Read, write, execute.
    pub const ACCESS: Self = Self::READ.union(Self::WRITE).union(Self::EXEC);
    /// All four bits of a protection key.
    pub const PKEY: Self =
        Self::PKEY_BIT0.union(Self::PKEY_BIT1).union(Self::PKEY_BIT2).union(Self::PKEY_BIT3);
    /// Mappings that never merge and that `MADV_DOFORK` refuses (`VM_SPECIAL`).
    pub const SPECIAL: Self = Self::IO.union(Self::DONTEXPAND).union(Self::PFNMAP).union(Self::MIXEDMAP);

    /// The protection key, 0 to 15.
    pub const fn pkey(self) -> u8 {
        ((self.bits() >> 32) & 0xf) as u8
    }

    /// These flags with protection key `key`.
    #[must_use]
    pub const fn with_pkey(self, key: u8) -> Self {
        Self::from_bits_retain(self.bits() & !Self::PKEY.bits() | ((key as u64 & 0xf) << 32))
    }

    /// Whether a write to a private copy may be needed (`is_cow_mapping`).
    pub const fn is_cow(self) -> bool {
        self.bits() & (Self::SHARED.bits() | Self::MAYWRITE.bits()) == Self::MAYWRITE.bits()
    }

    /// Permissions as /proc/PID/maps prints them: `rw-p`.
    pub fn perms(self) -> String {
        let letter = |flag, on, off| if self.contains(flag) { on } else { off };
        [
            letter(Self::READ, 'r', '-'),
            letter(Self::WRITE, 'w', '-'),
            letter(Self::EXEC, 'x', '-'),
            letter(Self::MAYSHARE, 's', 'p'),
        ]
        .iter()
        .collect()
    }

    /// The two-letter names that smaps prints behind `VmFlags:`, in its order (`fs/proc/task_mmu.c`, 7.3).
    pub fn smaps(self) -> String {
        let mut out = String::new();
        for (flag, name) in SMAPS_NAMES {
            if self.contains(*flag) {
                let _ = write!(out, "{}{name}", if out.is_empty() { "" } else { " " });
            }
        }
        out
    }
}

const SMAPS_NAMES: &[(VmFlags, &str)] = &[
    (VmFlags::READ, "rd"),
    (VmFlags::WRITE, "wr"),
    (VmFlags::EXEC, "ex"),
    (VmFlags::SHARED, "sh"),
    (VmFlags::MAYREAD, "mr"),
    (VmFlags::MAYWRITE, "mw"),
    (VmFlags::MAYEXEC, "me"),
    (VmFlags::MAYSHARE, "ms"),
    (VmFlags::GROWSDOWN, "gd"),
    (VmFlags::PFNMAP, "pf"),
    (VmFlags::MAYBE_GUARD, "gu"),
    (VmFlags::UFFD_WP, "uw"),
    (VmFlags::LOCKED, "lo"),
    (VmFlags::IO, "io"),
    (VmFlags::SEQ_READ, "sr"),
    (VmFlags::RAND_READ, "rr"),
    (VmFlags::DONTCOPY, "dc"),
    (VmFlags::DONTEXPAND, "de"),
    (VmFlags::LOCKONFAULT, "lf"),
    (VmFlags::ACCOUNT, "ac"),
    (VmFlags::NORESERVE, "nr"),
    (VmFlags::HUGETLB, "ht"),
    (VmFlags::SYNC, "sf"),
    (VmFlags::ARM64_BTI, "bt"),
    (VmFlags::WIPEONFORK, "wf"),
    (VmFlags::DONTDUMP, "dd"),
    (VmFlags::SOFTDIRTY, "sd"),
    (VmFlags::MIXEDMAP, "mm"),
    (VmFlags::HUGEPAGE, "hg"),
    (VmFlags::NOHUGEPAGE, "nh"),
    (VmFlags::MERGEABLE, "mg"),
    (VmFlags::DROPPABLE, "dp"),
    (VmFlags::SEALED, "sl"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaps_prints_in_bit_order() {
        let flags = VmFlags::READ | VmFlags::MAYREAD | VmFlags::SOFTDIRTY | VmFlags::ACCOUNT;
        assert_eq!(flags.smaps(), "rd mr ac sd");
    }

    #[test]
    fn pkeys_round_trip() {
        for key in 0..16 {
            let flags = (VmFlags::READ | VmFlags::ARM64_BTI).with_pkey(key);
            assert_eq!(flags.pkey(), key);
            assert_eq!(flags.with_pkey(0), VmFlags::READ | VmFlags::ARM64_BTI);
        }
    }
}
