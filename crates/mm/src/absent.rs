//! What a kernel may be built without, or have no machine for, and what calls say then.

use ptelab_uapi::{Advice, Call, Errno, ThpKey};

bitflags::bitflags! {
    /// What a kernel was built without, or has no machine for.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Absent: u16 {
        /// `CONFIG_USERFAULTFD`
        const USERFAULTFD = 1 << 0;
        /// `CONFIG_SWAP`
        const SWAP = 1 << 1;
        /// `CONFIG_TRANSPARENT_HUGEPAGE`
        const HUGE_PAGES = 1 << 2;
        /// `CONFIG_MEMORY_FAILURE`
        const MEMORY_FAILURE = 1 << 3;
        /// `CONFIG_DEBUG_FS`, by which folios are split on demand
        const SPLIT_HUGE_PAGES = 1 << 4;
        /// `CONFIG_PROC_PAGE_MONITOR`
        const CLEAR_REFS = 1 << 5;
        /// `CONFIG_PT_RECLAIM`, which a kernel for one CPU has not
        const PT_RECLAIM = 1 << 6;
        /// Huge leaves, which the machine has not (`has_transparent_hugepage`): no size of huge pages has a setting
        const HUGE_LEAVES = 1 << 7;
    }
}

impl Absent {
    /// What a call fails with for want of what it asks for.
    pub fn refuses(self, call: &Call) -> Option<Errno> {
        let (needs, errno) = match call {
            Call::Uffd { .. }
            | Call::UffdUnregister { .. }
            | Call::UffdWp { .. }
            | Call::UffdPoison { .. } => (Self::USERFAULTFD, Errno::ENOSYS),
            Call::Swapon { .. } => (Self::SWAP, Errno::ENOSYS),
            Call::Thp { size: ThpKey::Enabled | ThpKey::Kb(_), .. } => {
                (Self::HUGE_PAGES | Self::HUGE_LEAVES, Errno::ENOENT)
            }
            Call::Madvise { advice: Advice::HUGEPAGE | Advice::NOHUGEPAGE | Advice::COLLAPSE, .. } => {
                (Self::HUGE_PAGES, Errno::EINVAL)
            }
            Call::Hwpoison { .. } | Call::SoftOffline { .. } => (Self::MEMORY_FAILURE, Errno::EINVAL),
            Call::SplitFolio { .. } => (Self::SPLIT_HUGE_PAGES, Errno::ENOENT),
            Call::ClearRefs { .. } => (Self::CLEAR_REFS, Errno::ENOENT),
            _ => return None,
        };
        self.intersects(needs).then_some(errno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ptelab_uapi::ThpMode;

    #[test]
    fn calls_fail_for_want_of_what_they_ask_for() {
        let collapse = Call::Madvise { addr: 0, len: 0, advice: Advice::COLLAPSE };
        assert_eq!(Absent::HUGE_PAGES.refuses(&collapse), Some(Errno::EINVAL));
        assert_eq!(Absent::HUGE_PAGES.refuses(&Call::Fork {}), None);
        let thp = Call::Thp { size: ThpKey::Kb(64), mode: ThpMode::Always };
        assert_eq!(Absent::HUGE_LEAVES.refuses(&thp), Some(Errno::ENOENT));
        assert_eq!(Absent::HUGE_LEAVES.refuses(&collapse), None);
        assert_eq!(Absent::empty().refuses(&collapse), None);
        assert_eq!(Absent::SWAP.refuses(&Call::Swapon { size: 1 << 20 }), Some(Errno::ENOSYS));
    }
}
