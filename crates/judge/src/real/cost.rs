//! Instructions that calls take on a kernel image whose time is counted in instructions.

use ptelab_machine::{Call, Timing};
use ptelab_real::qemu::Qemu;
use ptelab_real::{RealError, RealKernel};
use ptelab_run::exec::Watch;
use ptelab_scenario::Scenario;
use serde::Serialize;

/// What the calls of one line took.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Counted {
    /// The line.
    pub call: String,
    /// Instructions of the cheapest of its calls, without what every call takes.
    pub min: u64,
    /// How many calls that are.
    pub calls: u64,
}

/// Bytes that workloads map.
pub const SIZE: u64 = 16 << 20;

/// A workload that kernels are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Lines before its timed part.
    set_up: &'static str,
    /// The timed part, which runs several times.
    timed: &'static str,
}

const PROTECT: &str =
    "mprotect(0x40000000, 16M, PROT_READ)\nmprotect(0x40000000, 16M, PROT_READ|PROT_WRITE)\n";

/// The layouts of mprotect, and the other kinds of calls. Each maps [`SIZE`] bytes.
pub const WORKLOADS: [Workload; 4] = [
    Workload {
        name: "T1",
        about: "memory in folios of 2M, mapped by pages",
        set_up: "thp(\"2048kB\", \"always\")\nMAP\nSPLIT",
        timed: PROTECT,
    },
    Workload {
        name: "T2",
        about: "memory in folios of 64K",
        set_up: "thp(\"64kB\", \"always\")\nMAP\n",
        timed: PROTECT,
    },
    Workload { name: "T3", about: "memory in single pages", set_up: "MAP\n", timed: PROTECT },
    Workload {
        name: "kinds",
        about: "a call of each kind on single pages, with touch WRITE before the fork and again after it",
        set_up: "",
        timed: "mmap(0x40000000, 16M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS, -1, 0)\n\
            touch(0x40000000, 16M, WRITE)\n\
            mremap(0x40000000, 16M, 16M, MREMAP_MAYMOVE|MREMAP_FIXED, 0x60000000)\n\
            fork()\n\
            touch(0x60000000, 16M, WRITE)\n\
            madvise(0x60000000, 16M, MADV_DONTNEED)\n\
            touch(0x60000000, 16M, READ)\n\
            munmap(0x60000000, 16M)\n",
    },
];

impl Workload {
    /// The scenario.
    pub fn text(&self) -> String {
        let map = "mmap(0x40000000, 16M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\nmemset(0x40000000, 0, 16M)";
        let split = |n: u64| {
            let at = 0x4000_1000 + (n << 21);
            format!("madvise({at:#x}, 4K, MADV_DONTFORK)\nmadvise({at:#x}, 4K, MADV_DOFORK)\n")
        };
        let split: String = (0..SIZE >> 21).map(split).collect();
        let set_up = self.set_up.replace("MAP", map).replace("SPLIT", &split);
        format!("{set_up}time(\"on\")\nrepeat 4 {{\n{}}}\ntime(\"off\")\n", self.timed)
    }
}

/// Plays a scenario and measures; nothing where it was stopped.
pub(super) fn measure(
    kernel: &mut Qemu,
    scenario: &Scenario,
    watch: Watch<'_>,
) -> Result<Option<Vec<Counted>>, RealError> {
    let fixed = fixed_part(kernel)?;
    let is_marked = scenario.steps().any(|step| matches!(step.line.call, Call::Time { .. }));
    let mut timed = !is_marked;
    let mut all: Vec<Counted> = Vec::new();
    for step in scenario.steps() {
        if watch.stopped() {
            return Ok(None);
        }
        let pid = step.line.pid.unwrap_or(1);
        match &step.line.call {
            Call::Time { on } => timed = *on == Timing::On,
            Call::Numa { .. } | Call::Page { .. } | Call::Dump { .. } => {}
            call => {
                kernel.call(pid, call)?;
                if timed && kernel.lives(pid) {
                    let took = kernel.ticks(pid)?.saturating_sub(fixed);
                    let text = step.line.to_string();
                    match all.iter_mut().find(|known| known.call == text) {
                        Some(known) => (known.min, known.calls) = (known.min.min(took), known.calls + 1),
                        None => all.push(Counted { call: text, min: took, calls: 1 }),
                    }
                }
            }
        }
        (watch.tick)(1);
    }
    Ok(Some(all))
}

/// What a call takes that does nothing: entry, exit, and reading the clock.
fn fixed_part(kernel: &mut Qemu) -> Result<u64, RealError> {
    let nothing = Call::Mprotect { addr: 0, len: 0, prot: ptelab_machine::Prot::READ };
    let mut least = u64::MAX;
    for _ in 0..8 {
        kernel.call(1, &nothing)?;
        least = least.min(kernel.ticks(1)?);
    }
    Ok(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_scenarios() {
        for workload in WORKLOADS {
            let scenario = ptelab_scenario::parse(&workload.text()).expect(workload.name);
            assert!(scenario.step_count() > 8, "{}", workload.name);
        }
    }
}
