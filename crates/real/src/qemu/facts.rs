//! What a kernel image is and was built with, as its guest program finds out at boot.

use super::guests::Guest;

/// What a kernel image is and was built with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// The release: `6.17.13+deb13-cloud-arm64`.
    pub release: String,
    /// Memory that the kernel manages, in bytes.
    pub memory: u64,
    /// NUMA nodes of this boot.
    pub nodes: u64,
    /// Features of userfaultfd; 0 where there is none.
    pub uffd: u64,
    /// Type of failed memory's entries; 0 where no memory fails.
    pub failed_type: u64,
    /// Sizes of huge pages that have a setting of their own, in KiB.
    pub thp: Vec<u64>,
    /// Names of what it has: `soft_dirty`, `swap`, `compaction`...
    has: Vec<String>,
}

/// What a kernel may be built without, the option, and what is not seen or asked then.
pub const OPTIONS: &[(&str, &str, &str)] = &[
    ("kpageflags", "CONFIG_PROC_PAGE_MONITOR", "folios and map counts are not seen"),
    ("huge", "CONFIG_TRANSPARENT_HUGEPAGE", "there are no huge pages and no blocks"),
    ("huge_leaves", "the machine's support of huge pages", "there are no huge pages and no blocks"),
    ("shmem", "CONFIG_SYSVIPC or CONFIG_SHMEM", "shared memory may not be there"),
    ("compaction", "CONFIG_COMPACTION", "large folios become scarce after many programs"),
    ("swap", "CONFIG_SWAP (wants CONFIG_BLOCK)", "nothing is swapped out"),
    ("numa_balancing", "CONFIG_NUMA_BALANCING", "no entry is made a NUMA hint"),
    ("memory_failure", "CONFIG_MEMORY_FAILURE", "no page fails"),
    ("split_huge_pages", "CONFIG_DEBUG_FS", "folios are not split on demand"),
    ("uffd", "CONFIG_USERFAULTFD", "there is no userfaultfd"),
    ("clear_refs", "CONFIG_PROC_PAGE_MONITOR", "nothing is made soft-dirty or old on demand"),
    ("pt_reclaim", "CONFIG_PT_RECLAIM (x86_64; wants CONFIG_SMP)", "tables that MADV_DONTNEED empties stay"),
    (
        "soft_dirty",
        "CONFIG_MEM_SOFT_DIRTY (x86_64; wants CONFIG_CHECKPOINT_RESTORE)",
        "nothing is soft-dirty",
    ),
];

impl ImageFacts {
    /// What the guest program says, a line each.
    pub(super) fn read(text: &str) -> Self {
        let mut facts = Self::default();
        let hex = |value: &str| u64::from_str_radix(value, 16).unwrap_or(0);
        for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            match name {
                "release" => value.clone_into(&mut facts.release),
                "memory" => facts.memory = hex(value),
                "nodes" => facts.nodes = hex(value),
                "failed_type" => facts.failed_type = hex(value),
                "uffd" => facts.uffd = hex(value),
                "thp" => facts.thp.push(hex(value)),
                name if value == "1" => facts.has.push(name.to_owned()),
                _ => {}
            }
        }
        facts
    }

    /// Whether it has what [`OPTIONS`] names so.
    pub fn has(&self, name: &str) -> bool {
        if name == "uffd" { self.uffd != 0 } else { self.has.iter().any(|has| has == name) }
    }

    /// Sizes of huge pages that a kernel may have and this one has not, in KiB: it has none, or it has all.
    pub fn lacks_sizes(&self, guest: &Guest) -> Vec<u64> {
        let [page, huge] = guest.shifts;
        let sizes = (page + 2..=huge).map(|shift| 1 << (shift - 10));
        sizes.filter(|size| !self.thp.is_empty() && !self.thp.contains(size)).collect()
    }

    /// Options that it was built without, and what that means, a sentence each; and what the machine lacks.
    pub fn missing<'a>(&'a self, guest: &'a Guest) -> impl Iterator<Item = String> + 'a {
        OPTIONS.iter().filter_map(move |(name, ..)| self.missing_option(guest, name))
    }

    /// The sentence on what [`OPTIONS`] names so; nothing where it has that, or its port has not.
    pub fn missing_option(&self, guest: &Guest, name: &str) -> Option<String> {
        let (_, option, means) = OPTIONS.iter().find(|(known, ..)| *known == name && !self.has(name))?;
        if option.contains("x86_64") && guest.port != "x86_64" {
            return None;
        }
        let lack = guest.lacks.iter().find(|(lack, _)| *lack == name);
        Some(lack.map_or_else(|| format!("{option} is not set: {means}"), |(_, why)| (*why).to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::GUESTS;
    use super::*;

    #[test]
    fn lines_are_facts() {
        let facts = ImageFacts::read("release 7.3.0\nmemory 1000\nthp 10\nthp 20\nswap 1\nhuge 0\nuffd 0\n");
        assert_eq!(
            (facts.release.as_str(), facts.memory, facts.thp.as_slice()),
            ("7.3.0", 4096, &[16, 32][..])
        );
        assert!(facts.has("swap") && !facts.has("huge") && !facts.has("uffd"));
        assert!(
            facts.missing(&GUESTS[0]).any(|line| line.starts_with("CONFIG_TRANSPARENT_HUGEPAGE is not set"))
        );
    }
}
