//! Mappings, as /proc/PID/smaps shows them.

use ptelab::Prot;
use ptelab::replay::MapsLine;

/// A mapping.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Area {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) prot: Prot,
    pub(crate) shared: bool,
    pub(crate) offset: u64,
    pub(crate) file: bool,
    pub(crate) name: String,
    /// Bytes that are resident, and of these in huge pages.
    pub(crate) rss: u64,
    pub(crate) anon_huge: u64,
    /// `VmFlags:`
    flags: Vec<String>,
}

impl Area {
    fn new(at: MapsLine) -> Self {
        let MapsLine { start, end, perms, offset, file, name } = at;
        let (shared, file) = (perms.ends_with('s'), file && !name.starts_with("/dev/zero"));
        let prot = Prot::of_perms(&perms);
        Self { start, end, prot, shared, offset, file, name, rss: 0, anon_huge: 0, flags: Vec::new() }
    }

    /// Whether it has a flag, by the two letters of `VmFlags:`.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| own == flag)
    }

    /// Whether it is the kernel's own: `[vdso]`, `[vvar]`.
    pub(crate) fn is_special(&self) -> bool {
        self.name.starts_with("[v") || self.has("pf")
    }
}

/// All mappings, but for the page of vsyscalls, which is no process's.
pub(crate) fn parse(smaps: &str) -> Vec<Area> {
    let mut areas: Vec<Area> = Vec::new();
    for line in smaps.lines() {
        if let Some(at) = MapsLine::parse(line) {
            areas.push(Area::new(at));
        } else if let (Some(area), Some((field, value))) = (areas.last_mut(), line.split_once(':')) {
            let bytes =
                || value.trim().strip_suffix(" kB").and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) << 10;
            match field {
                "Rss" => area.rss = bytes(),
                "AnonHugePages" => area.anon_huge = bytes(),
                "VmFlags" => area.flags = value.split_whitespace().map(str::to_owned).collect(),
                _ => {}
            }
        }
    }
    areas.retain(|area| area.name != "[vsyscall]");
    areas
}

#[cfg(test)]
mod tests {
    use super::parse;
    use ptelab::Prot;

    #[test]
    fn mappings_with_what_is_in_them() {
        let areas = parse(
            "7f0a000-7f0c000 rw-s 00001000 fe:00 18504                      /opt/a file\nRss:                   8 kB\n\
             AnonHugePages:         4 kB\nVmFlags: rd wr mr mw me ac lo \n7f0d000-7f0e000 ---p 00000000 00:00 0 [vdso]\n\
             ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\nRss: 4 kB\n",
        );
        assert_eq!(areas.len(), 2);
        assert_eq!(
            (areas[0].prot, areas[0].shared, areas[0].offset),
            (Prot::READ | Prot::WRITE, true, 0x1000)
        );
        assert_eq!((areas[0].name.as_str(), areas[0].rss, areas[0].anon_huge), ("/opt/a file", 8192, 4096));
        assert!(areas[0].has("lo") && areas[0].file && !areas[1].file && areas[1].is_special());
    }
}
