//! What is said of a trace above it.

use crate::trace::{CallLine, Trace};
use ptelab::observe::PAGES_USED;

impl Trace {
    /// What the source is called without its folder, and what it was played on: `arm64 and x86_64, each with Linux 6.16 and 7.3`,
    /// and the CPU features that were switched.
    pub fn about(&self) -> (&str, String) {
        let name = self.source.rsplit('/').next().unwrap_or(&self.source);
        let mut ports: Vec<(&str, Vec<&str>)> = Vec::new();
        for lane in &self.lanes {
            match ports.iter_mut().find(|(arch, _)| *arch == lane.arch) {
                Some((_, kernels)) => kernels.push(lane.kernel),
                None => ports.push((lane.arch, vec![lane.kernel])),
            }
        }
        let alike = ports.windows(2).all(|pair| pair[0].1 == pair[1].1);
        let machines = match ports.as_slice() {
            [(_, kernels), _, ..] if alike => {
                let names: Vec<&str> = ports.iter().map(|(arch, _)| *arch).collect();
                format!("{}, each with Linux {}", listed(&names), listed(kernels))
            }
            ports => {
                let one =
                    |(arch, kernels): &(&str, Vec<&str>)| format!("{arch} with Linux {}", listed(kernels));
                ports.iter().map(one).collect::<Vec<_>>().join("; ")
            }
        };
        let switched = match self.switches.as_slice() {
            [] => String::new(),
            switches => format!("; {}", switches.join(", ")),
        };
        (name, machines + &switched)
    }

    /// How many calls there are, in words: of a log, those that replay judges apart from exits, and from looks at its pages.
    pub fn counted(&self) -> String {
        let all = self.calls().len() as u64;
        let is_use = |call: &&CallLine| call.name == PAGES_USED;
        let uses = self.calls().iter().filter(is_use).count() as u64;
        let judged = self.judged.unwrap_or(all - uses).min(all - uses);
        let others = [(all - uses - judged, "not judged, such as exits"), (uses, "looks at pages in use")];
        let others = others.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
        let parts: Vec<String> = std::iter::once(format!("{judged} calls")).chain(others).collect();
        if parts.len() == 1 { format!("{all} calls") } else { format!("{all} steps ({})", parts.join(" + ")) }
    }
}

/// `a, b and c`
fn listed(names: &[&str]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        few => few.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_end_with_and() {
        let of = |names: &[&str]| listed(names);
        assert_eq!(
            (of(&["a"]), of(&["a", "b"]), of(&["a", "b", "c"])),
            ("a".into(), "a and b".into(), "a, b and c".into())
        );
    }
}
