//! A text for a cover letter.

use super::report::{OfArch, Report};
use crate::cost_real::grouped;
use ptelab::real::series::Group;

/// Columns of a line of prose.
const WIDTH: usize = 72;
/// Kinds of differences that are told one by one.
const TOLD: usize = 4;

/// What the names of workloads stand for.
pub(super) const WORKLOADS: &str =
    "T1 is memory in PTE-mapped 2M folios, T2 in 64K folios, T3 in single pages.";

/// Prose, and a table.
pub(super) fn text(report: &Report) -> String {
    let mut parts: Vec<String> = report.architectures.iter().map(about).collect();
    let rows = rows(report);
    if !rows.is_empty() {
        let title = "Instructions that calls take for 16M, counted by QEMU's icount; neither caches nor barriers count.";
        parts.push(wrapped(&format!("{title} {WORKLOADS}"), ""));
        parts.push(format!("  {}\n", rows.join("\n  ")));
    }
    if !report.finished {
        parts.push("(This run was stopped before its end.)\n".to_owned());
    }
    parts.join("\n")
}

fn about(report: &OfArch) -> String {
    let words = &report.words;
    let kinds = [("wrong: ", &words.wrong), ("", &words.changed)];
    let told = kinds.into_iter().flat_map(|(title, groups)| {
        let mut most: Vec<&Group> = groups.iter().collect();
        most.sort_by_key(|group| std::cmp::Reverse(group.count));
        let others = most.len().saturating_sub(TOLD);
        let told = most.into_iter().take(TOLD).map(move |group| {
            let example = group.example.lines().next().unwrap_or_default();
            wrapped(&format!("{title}{} ({} times), such as {example}", group.cause, group.count), "  ")
        });
        told.chain((others > 0).then(|| wrapped(&format!("{title}and {others} more"), "  ")))
    });
    wrapped(&prose(report), "") + &told.collect::<String>()
}

fn prose(report: &OfArch) -> String {
    let OfArch { arch, base, patched, words, .. } = report;
    let played = format!(
        "{arch}: {} programs and scenarios of memory calls were played on {patched} with this series and on {base} \
         without it; results, VMAs and every page-table entry were compared after each call, and held against a \
         page-by-page model and the invariants of sound tables.",
        words.played
    );
    let wrong = match words.wrong.len() {
        0 => "Nothing was found wrong with the tables, and the kernel reported no error.".to_owned(),
        1 => "One kind of mistake was found.".to_owned(),
        n => format!("{n} kinds of mistakes were found."),
    };
    let both = words.wrong_in_both.len();
    let both = (both > 0).then(|| format!("Kinds of mistakes that both kernels share: {both}."));
    let changed = match words.changed.len() {
        0 => "Nothing differs between the two.".to_owned(),
        1 => "One kind of difference was seen:".to_owned(),
        n => format!("{n} kinds of differences were seen:"),
    };
    [Some(played), Some(wrong), both, Some(changed)].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The table: a line that heads each workload, and one for each call; nothing where nothing was measured.
pub(super) fn rows(report: &Report) -> Vec<String> {
    let mut rows = Vec::new();
    for OfArch { arch, cost, .. } in &report.architectures {
        for [base, patched] in cost {
            let title = format!("{arch}, {}", base.workload);
            rows.push(format!("{title:31} {:>11} {:>11} {:>7}", "base", "patched", "change"));
            for (was, is) in base.instructions.iter().zip(&patched.instructions) {
                let was_min = was.min.max(1);
                let hundredths = (is.min * 100 + was_min / 2) / was_min;
                let times = format!("{}.{:02}x", hundredths / 100, hundredths % 100);
                let (a, b) = (grouped(was.min), grouped(is.min));
                rows.push(format!("  {:29} {a:>11} {b:>11} {times:>7}", short(&was.call)));
            }
        }
    }
    rows
}

/// `mprotect(0x40000000, 16M, PROT_READ)` is `mprotect PROT_READ`: where and how much is the same for all.
fn short(call: &str) -> String {
    let Some((name, arguments)) = call.trim_end_matches(')').split_once('(') else { return call.to_owned() };
    let words = arguments.split(", ").filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()));
    let words: Vec<&str> = words.map(|word| word.split("|MREMAP").next().unwrap_or(word)).collect();
    [name, &words.join(" ")].join(" ").trim_end().to_owned()
}

/// Lines of so many columns; those after the first stand further in.
fn wrapped(prose: &str, indent: &str) -> String {
    let mut text = String::new();
    let mut line = if indent.is_empty() { String::new() } else { format!("{indent}*") };
    for word in prose.split_whitespace() {
        let mut space = " ";
        // Names of bits are one word, and many.
        let pieces = word.split_inclusive('|');
        for piece in if word.len() > WIDTH / 2 { pieces.collect() } else { vec![word] } {
            if !line.is_empty() && line.len() + space.len() + piece.len() > WIDTH {
                text += line.trim_end();
                text.push('\n');
                line = if indent.is_empty() { String::new() } else { format!("{indent} ") };
                space = " ";
            }
            if !line.is_empty() {
                line += space;
            }
            line += piece;
            space = "";
        }
    }
    text + line.trim_end() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_wrapped_and_calls_are_short() {
        let text = wrapped(&"word ".repeat(30), "  ");
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert_eq!(text.lines().next().map(|line| &line[..9]), Some("  * word "));
        assert_eq!(text.lines().nth(1).map(|line| &line[..9]), Some("    word "));
        let bits = wrapped(&format!("entry 0x40000000: {}; now empty", "PRESENT|".repeat(40)), "  ");
        assert!(bits.lines().all(|line| line.len() <= WIDTH) && bits.contains("PRESENT|; now"), "{bits}");
        assert_eq!(short("mprotect(0x40000000, 16M, PROT_READ|PROT_WRITE)"), "mprotect PROT_READ|PROT_WRITE");
        assert_eq!(short("fork()"), "fork");
    }
}
