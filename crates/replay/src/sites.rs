//! What calls take by where in the program they are made, where the log has stacks (`strace -k`).

use crate::replay::Played;
use crate::show::counted;
use crate::tally::Tally;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

/// Calls that a stack may belong to, the last ones.
const MAX_RECENT: usize = 256;
/// Places that are kept, and shown.
const MAX_SITES: usize = 10_000;
const SHOWN: usize = 10;

/// What the calls of a place took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Site {
    /// Calls.
    pub calls: u64,
    /// Steps: see [`work`](crate::work).
    pub steps: u64,
}

/// Places in the program, and the calls that wait for theirs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sites {
    recent: VecDeque<(u64, &'static str, u64)>,
    /// By place and name of the call.
    pub all: BTreeMap<(String, &'static str), Site>,
}

impl Sites {
    /// A call was made that took so many steps; its stack may follow.
    pub(crate) fn made(&mut self, line: u64, name: &'static str, steps: u64) {
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((line, name, steps));
    }

    /// The call of a line was made here.
    pub(crate) fn at(&mut self, line: u64, place: &str) {
        let Some(&(_, name, steps)) = self.recent.iter().rev().find(|call| call.0 == line) else { return };
        let key = (place.to_owned(), name);
        if self.all.len() < MAX_SITES || self.all.contains_key(&key) {
            let site = self.all.entry(key).or_default();
            site.calls += 1;
            site.steps += steps;
        }
    }
}

/// The dearest kinds of calls, and the places where the dearest are made.
pub(crate) fn text(text: &mut String, port: &[Played]) {
    let Some(last) = port.last() else { return };
    let tally = &last.tally;
    let mut kinds: Vec<_> = tally.steps_by_name().into_iter().filter(|(_, site)| site.steps > 0).collect();
    if kinds.is_empty() {
        return;
    }
    kinds.sort_by_key(|(name, site)| (Reverse(site.steps), *name));
    let shown = kinds.iter().take(SHOWN);
    let shown: Vec<String> = shown
        .map(|(name, site)| format!("{name} {} in {}", site.steps, counted(site.calls, "call")))
        .collect();
    let _ =
        writeln!(text, "\nSteps by kind on {}{}: {}", last.machine(), tally.used.proviso(), shown.join(", "));
    by_place(text, tally);
}

fn by_place(text: &mut String, tally: &Tally) {
    let mut sites: Vec<_> = tally.sites.all.iter().collect();
    sites.sort_by_key(|(key, site)| (Reverse((site.steps, site.calls)), *key));
    if sites.is_empty() {
        return;
    }
    let _ = writeln!(text, "By place in the program:\n   steps   calls  call and place");
    for ((place, name), site) in sites.into_iter().take(SHOWN) {
        let _ = writeln!(text, "{:>8}{:>8}  {name} in {place}", site.steps, site.calls);
    }
}
