//! What calls took by kind and by place, for people.

use crate::replay::Played;
use crate::tally::Tally;
use crate::words::counted;
use std::cmp::Reverse;
use std::fmt::Write as _;

/// Kinds and places that are shown.
const SHOWN: usize = 10;

/// The most expensive kinds of calls, and the places where such calls are made.
pub(super) fn text(text: &mut String, port: &[Played]) {
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
