//! What is left of a kernel that was lost: its memory, in which its tables stand as they were.

use super::recording::{RealDump, Recording};
use super::walk::{self, TableWord};
use ptelab_machine::{Backend, Call, Pte};
use ptelab_real::qemu::Qemu;
use ptelab_real::{RealKernel, Root};
use ptelab_scenario::{Line, Scenario};

/// The call in which a kernel was lost, and what of its process's entries is not as it was before that call.
pub(super) fn look(kernel: &Qemu, port: &dyn Backend, scenario: &Scenario, recording: &Recording) -> String {
    let plays = |line: &&Line| {
        !matches!(line.call, Call::Numa { .. } | Call::Page { .. } | Call::Time { .. } | Call::Dump { .. })
    };
    let Some(line) = scenario.steps().map(|step| step.line).filter(plays).nth(recording.played) else {
        return "after the last call".to_owned();
    };
    let pid = line.pid.unwrap_or(1);
    let entry = kernel.known_root(pid).and_then(|root| {
        let mut dumps: Vec<&RealDump> = Vec::new();
        for dump in recording.dumps.iter().rev().filter(|dump| dump.pid == pid) {
            if !dumps.iter().any(|known| known.start == dump.start) {
                dumps.push(dump);
            }
        }
        dumps.sort_by_key(|dump| dump.start);
        dumps.into_iter().find_map(|dump| changed(kernel, port, root, dump))
    });
    let later = if recording.calls.len() > recording.played + 1 { " or a call after it" } else { "" };
    format!("in {line}{later}{}", entry.unwrap_or_default())
}

/// How many entries changed, and the last that did.
fn changed(kernel: &Qemu, port: &dyn Backend, root: Root, dump: &RealDump) -> Option<String> {
    let is = walk::walk(port, root, (dump.start, dump.start + dump.len), |at| kernel.entry(at))?;
    let was = dump.words.as_ref()?;
    let changed: Vec<&TableWord> = is.iter().filter(|word| !was.contains(word)).collect();
    let new = changed.last()?;
    let old = was.iter().rev().find(|word| word.addr <= new.addr);
    let text = |word: &TableWord| match word.word {
        0 => "empty".to_owned(),
        bits => format!("{bits:#x} {}", port.words().describe(Pte(bits), word.level)),
    };
    let (n, pid, old) = (changed.len(), dump.pid, old.map_or_else(|| "nothing".to_owned(), text));
    Some(format!(
        ", {n} entries had changed, the last entry {:#x} of process {pid}: {old}, then {}",
        new.addr,
        text(new)
    ))
}
