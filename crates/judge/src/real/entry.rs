//! What one entry of a real kernel went through, call by call.

use super::VerifyError;
use super::qemu::Player;
use crate::golden::{Golden, GoldenEntry};
use ptelab_machine::{Backend, Call, Level, Pte};
use ptelab_run::exec::Watch;
use ptelab_scenario::{Item, Line, Scenario};

/// A call that changed an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryChange {
    /// Which call, from 1, in the order in which lines run.
    pub call: u64,
    /// Its text.
    pub text: String,
    /// The word after it and its bits by name; `empty`, where there is none.
    pub entry: String,
}

impl Player {
    /// Plays a scenario up to a line, and says which lines changed the entry that maps an address of a process; nothing where it was
    /// stopped.
    ///
    /// # Errors
    /// Where the kernel does not come up, or is lost.
    pub fn entry(
        &mut self,
        scenario: &Scenario,
        (pid, addr): (u32, u64),
        up_to: u64,
        watch: Watch<'_>,
    ) -> Result<Option<Vec<EntryChange>>, VerifyError> {
        let lines: Vec<&Line> = scenario
            .steps()
            .take(usize::try_from(up_to).unwrap_or(usize::MAX))
            .map(|step| step.line)
            .collect();
        let page = self.words().about().shape.page_size();
        let watched = Scenario { items: watched(&lines, pid, (addr - addr % page, page)) };
        let Some(golden) = self.golden("entry", &watched, watch)? else { return Ok(None) };
        Ok(Some(changes(&golden, &lines, self.words())))
    }
}

/// The lines, a dump of the entry after each; dumps of their own are left out.
fn watched(lines: &[&Line], pid: u32, (addr, len): (u64, u64)) -> Vec<Item> {
    let mut items = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        if !matches!(line.call, Call::Dump { .. }) {
            items.push(Item::Line(Line { expect: None, ..(*line).clone() }));
        }
        let dump = Call::Dump { addr, len, name: (n + 1).to_string() };
        items.push(Item::Line(Line { pid: Some(pid), ..Line::new(dump) }));
    }
    items
}

fn changes(golden: &Golden, lines: &[&Line], words: &dyn Backend) -> Vec<EntryChange> {
    let mut last = describe(None, words);
    let mut changes = Vec::new();
    for dump in &golden.dumps {
        let entry = describe(dump.entries.first(), words);
        let call: usize = dump.name.parse().unwrap_or(1);
        if entry != last {
            let text = lines[call - 1].to_string();
            changes.push(EntryChange { call: call as u64, text, entry: entry.clone() });
        }
        last = entry;
    }
    changes
}

fn describe(entry: Option<&GoldenEntry>, words: &dyn Backend) -> String {
    let bits = entry.and_then(|entry| u64::from_str_radix(entry.bits.trim_start_matches("0x"), 16).ok());
    match (entry, bits) {
        (Some(entry), Some(bits)) if bits != 0 => {
            let level = Level::ALL.get(usize::from(entry.level)).copied().unwrap_or(Level::Pte);
            format!("{bits:#018x} {}", words.words().describe(Pte(bits), level))
        }
        _ => "empty".to_owned(),
    }
}
