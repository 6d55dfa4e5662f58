//! Golden files from kernel images, and machines held against them.

use super::VerifyError;
use super::moving::AddrRange;
use super::record;
use super::recording::{PAGE, RealDump};
use crate::golden::{Golden, GoldenCall, GoldenDump, GoldenEntry, GoldenError, TEST_AREA};
use ptelab_machine::{Backend, Builder, Call, Level, Pte, port_named};
use ptelab_real::RealError;
use ptelab_real::qemu::{DISK, Qemu, Setup};
use ptelab_run::exec::Watch;
use ptelab_scenario::Scenario;
use std::collections::HashMap;

pub use ptelab_real::qemu::{GUESTS, Guest};

/// A kernel image that runs under QEMU.
#[derive(Debug)]
pub struct Image(Setup);

impl Image {
    /// An image of a port's architecture, with the folder where `cargo xtask guest` leaves the guest program. Nothing is
    /// booted yet.
    ///
    /// # Errors
    /// A port that QEMU has no machine for.
    pub fn new(
        port: &str,
        image: impl Into<std::path::PathBuf>,
        guests: impl Into<std::path::PathBuf>,
    ) -> Result<Self, RealError> {
        let port = port_named(port).map_or(port, |known| known.name);
        let guest = Guest::of(port).ok_or_else(|| {
            let known: Vec<&str> = GUESTS.iter().map(|guest| guest.port).collect();
            RealError::Missing(format!("QEMU boots no kernel for `{port}`: choose from {}", known.join(", ")))
        })?;
        let (image, guests) = (image.into(), guests.into());
        Ok(Self(Setup { guest, image, guests, nodes: 1, numa_balancing: false, swaps: false }))
    }

    /// Why a scenario cannot be played on it, if it cannot.
    pub fn why_not(&self, scenario: &Scenario) -> Option<String> {
        let disk = self.0.disk();
        if swaps(scenario) && !disk.is_file() {
            return Some(format!("no file {}: {DISK}", disk.display()));
        }
        record::why_not(scenario)
    }

    /// Boots the image, plays a scenario there, and records it as a golden file; nothing where it was stopped. Every scenario
    /// has a kernel that did nothing before.
    ///
    /// # Errors
    /// Where QEMU, the image or the guest program is missing, or does not answer.
    pub fn golden(
        &self,
        name: &str,
        scenario: &Scenario,
        watch: Watch<'_>,
    ) -> Result<Option<Golden>, VerifyError> {
        let (nodes, numa_balancing) = nodes(scenario);
        let setup = Setup { nodes, numa_balancing, swaps: swaps(scenario), ..self.0.clone() };
        let mut machine = Qemu::boot(&setup)?;
        machine.restart()?;
        let area = vec![AddrRange { start: TEST_AREA.0, end: TEST_AREA.1 }];
        let Some(recording) = record::record(&mut machine, scenario, area, watch)? else { return Ok(None) };
        let (arch, pfn_mask) = (self.0.guest.port, self.0.guest.pfn_mask());
        let port = Builder::new(arch).build().map_err(GoldenError::from)?;
        Ok(Some(Golden {
            name: name.to_owned(),
            arch: arch.to_owned(),
            kernel: version(machine.release()).to_owned(),
            scenario: scenario.to_string().lines().map(str::to_owned).collect(),
            calls: recording
                .calls
                .iter()
                .map(|call| GoldenCall::new(call.text.clone(), call.reply))
                .collect(),
            dumps: recording.dumps.iter().map(|dump| golden_dump(dump, &*port, pfn_mask)).collect(),
        }))
    }
}

/// How many NUMA nodes a scenario needs, and whether the kernel moves pages between them of itself: only where the scenario
/// speaks of nodes. Where pages migrate, they need another node to go to.
fn nodes(scenario: &Scenario) -> (u8, bool) {
    let nodes = scenario.steps().filter_map(|step| match step.line.call {
        Call::Numa { nodes } => Some((nodes, nodes > 1)),
        Call::MigrateEnd { .. } => Some((2, false)),
        _ => None,
    });
    nodes.max().unwrap_or((1, false))
}

fn swaps(scenario: &Scenario) -> bool {
    scenario.steps().any(|step| matches!(step.line.call, Call::Swapon { .. }))
}

/// `6.17.13+deb13-cloud-arm64` is 6.17.13.
fn version(release: &str) -> &str {
    release.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or(release)
}

fn golden_dump(dump: &RealDump, port: &dyn Backend, pfn_mask: u64) -> GoldenDump {
    let mut entries: Vec<GoldenEntry> = Vec::new();
    let mut folios = HashMap::new();
    for word in dump.words.iter().flatten() {
        let addr = word.addr.max(dump.start);
        let page = dump.pages.get(((addr - dump.start) / PAGE) as usize).copied().unwrap_or_default();
        let level = if word.level == 0 { Level::Pte } else { Level::Pmd };
        let bits = port.words().without_frame(Pte(word.word), level).0 & !pfn_mask;
        let next = folios.len() as u32;
        let folio = page.frame.map(|frame| *folios.entry(frame.head).or_insert(next));
        let entry = GoldenEntry {
            va: format!("{addr:#x}"),
            level: word.level,
            n: 1,
            bits: format!("{bits:#018x}"),
            folio,
            folio_pages: page.frame.map(|frame| frame.folio_pages),
            offset: page.frame.map(|frame| (frame.pfn - frame.head) as u32),
            pagemap: folio.map(|_| format!("{:#05x}", page.pagemap)),
            mapcount: page.frame.map(|frame| frame.mapcount),
        };
        match entries.last_mut().filter(|last| continues(last, &entry)) {
            Some(last) => last.n += 1,
            None => entries.push(entry),
        }
    }
    GoldenDump {
        name: dump.name.clone(),
        pid: dump.pid,
        start: format!("{:#x}", dump.start),
        len: dump.len,
        vmas: dump.vmas.clone(),
        entries,
    }
}

/// Whether an entry is like those of a run, and maps the page after theirs.
fn continues(run: &GoldenEntry, entry: &GoldenEntry) -> bool {
    let step = 1 << (TABLE_SHIFT * u32::from(run.level));
    let next = run.offset.map(|offset| offset + run.n as u32 * step);
    let like = GoldenEntry { va: entry.va.clone(), n: 1, offset: next, ..run.clone() };
    like == *entry
}

/// A table has `1 << TABLE_SHIFT` entries.
const TABLE_SHIFT: u32 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_a_version() {
        assert_eq!(version("6.17.13+deb13-cloud-arm64"), "6.17.13");
        assert_eq!(version("7.3-rc1"), "7.3");
    }
}
