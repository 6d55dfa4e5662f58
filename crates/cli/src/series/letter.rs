//! A text for a cover letter.

use super::report::{OfArch, Report};
use crate::cost_real::grouped;
use ptelab::real::cost::WORKLOADS;
use ptelab::real::series::Group;

/// Columns of a line of prose.
const WIDTH: usize = 72;
/// Kinds of differences that are told one by one.
const TOLD: usize = 4;
/// Lines of a program that is shown.
const LINES: usize = 10;
/// Changes that are not told, in hundredths.
const NOISE: std::ops::Range<u64> = 91..110;

/// What the names of workloads stand for.
pub(super) fn workloads() -> String {
    let said: Vec<_> =
        WORKLOADS.iter().map(|workload| format!("{} is {}", workload.name, workload.about)).collect();
    format!("{}.", said.join("; "))
}

/// Prose, and a table.
pub(super) fn text(report: &Report) -> String {
    let mut parts: Vec<String> = report.architectures.iter().map(about).collect();
    let rows = rows(report);
    if !rows.is_empty() {
        let title = "Instructions that calls take for 16M, counted by QEMU's icount; neither caches nor barriers count. The ratio is patched to base.";
        parts.push(wrapped(&format!("{title} {}", workloads()), "") + &verdicts(report));
        parts.push(format!("  {}\n", rows.join("\n  ")));
    }
    if !report.finished {
        parts.push(stopped(&report.architectures));
    }
    parts.push(hanging(
        &format!("Tested with ptelab {} (QEMU): {}", env!("CARGO_PKG_VERSION"), report.command),
        "",
    ));
    parts.join("\n")
}

/// What shows a kind: the calls, where the first difference is, and what is there on either kernel.
fn shown(group: &Group) -> String {
    let line = group.example.lines().next().unwrap_or_default();
    let (before, is) = line.split_once("; now ").map_or((line, None), |(before, is)| (before, Some(is)));
    let word = before.find(": 0x").or_else(|| before.rfind(": ")).filter(|_| is.is_some());
    let (place, was) = word.map_or((before, ""), |at| (&before[..at], &before[at + 2..]));
    // The call is the last one shown.
    let place =
        place.split_once(": ").filter(|_| place.starts_with("after ")).map_or(place, |(_, place)| place);
    let is_last_call = group.lines.iter().any(|line| place.ends_with(line.as_str()));
    let place = [place].into_iter().filter(|_| is.is_none() || !is_last_call);
    let place: String = place.map(|place| hanging(place, "    ")).collect();
    let sides = is
        .map(|is| hanging(&format!("without: {was}"), "      ") + &hanging(&format!("with: {is}"), "      "));
    program(group) + &place + &sides.unwrap_or_default()
}

/// The calls that show a kind, where they are few.
fn program(group: &Group) -> String {
    match (&group.file, group.lines.as_slice()) {
        (Some(file), _) => format!("      (in {file})\n"),
        (None, lines) if lines.len() <= LINES => lines.iter().map(|line| hanging(line, "      ")).collect(),
        (None, lines) => format!("      ({} calls, not shown)\n", lines.len()),
    }
}

/// What a run that was stopped leaves out.
pub(super) fn stopped(architectures: &[OfArch]) -> String {
    let played: Vec<String> =
        architectures.iter().map(|of| format!("{} programs of {}", of.words.played, of.arch)).collect();
    let without: Vec<&str> = architectures.iter().filter(|of| of.cost.is_empty()).map(|of| of.arch).collect();
    let costs = if without.is_empty() {
        String::new()
    } else {
        format!("; the instructions of {} were not counted", without.join(", "))
    };
    let played = if played.is_empty() {
        "before anything was played".to_owned()
    } else {
        format!("after {}", played.join(", "))
    };
    wrapped(
        &format!(
            "(The run was stopped before its end, {played}{costs}; programs may be longer than they need to be.)"
        ),
        "",
    )
}

fn about(report: &OfArch) -> String {
    let words = &report.words;
    let kinds = [("wrong: ", &words.wrong), ("", &words.changed)];
    let told = kinds.into_iter().flat_map(|(title, groups)| {
        let mut most: Vec<&Group> = groups.iter().collect();
        // What programs see comes first.
        most.sort_by_key(|group| (group.example.starts_with("after "), std::cmp::Reverse(group.count)));
        let (told, others) = most.split_at(most.len().min(TOLD));
        let others: Vec<&str> = others.iter().map(|group| group.cause.as_str()).collect();
        let others =
            (!others.is_empty()).then(|| wrapped(&format!("{title}also {}", others.join("; ")), "  "));
        let told = told.iter().map(|group| wrapped(&format!("{title}{}", group.cause), "  ") + &shown(group));
        told.chain(others).collect::<Vec<_>>()
    });
    wrapped(&prose(report), "") + &told.collect::<String>()
}

fn prose(report: &OfArch) -> String {
    let OfArch { arch, base, patched, words, .. } = report;
    let played = format!(
        "{arch}: {} programs and scenarios of memory calls were played on {patched} with this series and on {base} \
         without it; results, VMAs and every page-table entry were compared after each call, and checked against a \
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
        1 => "One kind of difference was seen.".to_owned(),
        n => format!("{n} kinds of differences were seen."),
    };
    let shown = (words.wrong.len() + words.changed.len() > 0).then(|| {
        "Each is shown by calls, of process 1 unless they name another. +BIT is a bit that an entry has only with the series, -BIT \
         one that it has only without:"
            .to_owned()
    });
    [Some(played), Some(wrong), both, Some(changed), shown]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}

/// A call on both kernels, as a row of the table.
struct Row {
    arch: &'static str,
    workload: String,
    call: String,
    /// The least that it took, on the base and on the patched kernel.
    took: [u64; 2],
}

impl Row {
    /// What the patched kernel takes, in hundredths of what the base does.
    fn hundredths(&self) -> u64 {
        let [was, is] = self.took;
        (is * 100 + was.max(1) / 2) / was.max(1)
    }

    fn times(&self) -> String {
        format!("{}.{:02}x", self.hundredths() / 100, self.hundredths() % 100)
    }
}

fn measured(report: &Report) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for OfArch { arch, cost, .. } in &report.architectures {
        for [base, patched] in cost {
            let from = rows.len();
            for (was, is) in base.instructions.iter().zip(&patched.instructions) {
                let mut call = short(&was.call);
                if rows[from..].iter().any(|row| row.call == call) {
                    call += ", again";
                }
                rows.push(Row { arch, workload: base.workload.clone(), call, took: [was.min, is.min] });
            }
        }
    }
    rows
}

/// What became dearer and what cheaper by a tenth or more, the most changed first.
fn verdicts(report: &Report) -> String {
    let rows = measured(report);
    let told = |title: &str, mut rows: Vec<&Row>, dearest_first: bool| {
        rows.sort_by_key(|row| row.hundredths());
        if dearest_first {
            rows.reverse();
        }
        let others = rows.len().saturating_sub(TOLD);
        let mut told: Vec<_> = rows
            .iter()
            .take(TOLD)
            .map(|row| format!("{} {} of {} ({})", row.arch, row.call, row.workload, row.times()))
            .collect();
        told.extend((others > 0).then(|| format!("and {others} more")));
        if told.is_empty() { String::new() } else { wrapped(&format!("{title}: {}", told.join(", ")), "  ") }
    };
    let (dearer, cheaper): (Vec<_>, Vec<_>) = rows
        .iter()
        .filter(|row| !(NOISE.contains(&row.hundredths())))
        .partition(|row| row.hundredths() > 100);
    match (dearer.is_empty(), cheaper.is_empty()) {
        (true, true) => wrapped("no call takes a tenth more or less", "  "),
        _ => told("more instructions", dearer, true) + &told("fewer instructions", cheaper, false),
    }
}

/// The table: a line that heads each workload, and one for each call; nothing where nothing was measured.
pub(super) fn rows(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let mut heading = None;
    for row in measured(report) {
        let title = format!("{}, {}", row.arch, row.workload);
        if heading.as_ref() != Some(&title) {
            lines.push(format!("{title:31} {:>11} {:>11} {:>7}", "base", "patched", "ratio"));
            heading = Some(title);
        }
        let [a, b] = row.took.map(grouped);
        lines.push(format!("  {:29} {a:>11} {b:>11} {:>7}", row.call, row.times()));
    }
    lines
}

/// `mprotect(0x40000000, 16M, PROT_READ)` is `mprotect PROT_READ`: where and how much is the same for all.
fn short(call: &str) -> String {
    let Some((name, arguments)) = call.trim_end_matches(')').split_once('(') else { return call.to_owned() };
    let words = arguments.split(", ").filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()));
    let words = words.filter(|word| !word.starts_with("MAP_"));
    let words: Vec<&str> = words.map(|word| word.split("|MREMAP").next().unwrap_or(word)).collect();
    [name, &words.join(" ")].join(" ").trim_end().to_owned()
}

/// Lines of so many columns; an item of a list, where it stands further in.
fn wrapped(prose: &str, indent: &str) -> String {
    if indent.is_empty() {
        return broken(prose, ["", ""]);
    }
    broken(prose, [&format!("{indent}* "), &format!("{indent}  ")])
}

/// The same of code.
fn hanging(code: &str, indent: &str) -> String {
    broken(code, [indent, &format!("{indent}    ")])
}

/// Lines of so many columns, which begin as the first and as the others do.
fn broken(text: &str, [first, others]: [&str; 2]) -> String {
    let mut lines = vec![first.to_owned()];
    let mut is_new = true;
    for word in text.split_whitespace() {
        let mut space = " ";
        // Names of bits are one word, and many.
        let pieces = word.split_inclusive('|');
        for piece in if word.len() > WIDTH / 2 { pieces.collect() } else { vec![word] } {
            let line = lines.last().map_or(0, String::len);
            if !is_new && line + space.len() + piece.len() > WIDTH {
                lines.push(others.to_owned());
                is_new = true;
            }
            if let Some(line) = lines.last_mut() {
                *line += if is_new { "" } else { space };
                *line += piece;
            }
            (is_new, space) = (false, "");
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost_real::Measured;
    use ptelab::real::cost::Counted;
    use ptelab::real::series::SeriesReport;

    #[test]
    fn what_became_dearer_is_told_and_rows_keep_to_a_mail() {
        let measured = |takes: [u64; 3]| Measured {
            workload: "T3".to_owned(),
            image: String::new(),
            arch: "arm64",
            instructions: [
                "mprotect(0x40000000, 16M, PROT_READ)",
                "touch(0x1000, 4K, WRITE)",
                "touch(0x2000, 4K, WRITE)",
            ]
            .into_iter()
            .zip(takes)
            .map(|(call, min)| Counted { call: call.to_owned(), min, calls: 4 })
            .collect(),
        };
        let cost = vec![[measured([1000, 1000, 1000]), measured([2040, 1050, 500])]];
        let [base, patched] = ["6.16", "6.17"].map(str::to_owned);
        let arm64 = OfArch { arch: "arm64", base, patched, words: SeriesReport::default(), cost };
        let report =
            Report { command: String::new(), architectures: vec![arm64], seconds: 1.0, finished: true };
        let text = verdicts(&report);
        assert_eq!(
            text,
            "  * more instructions: arm64 mprotect PROT_READ of T3 (2.04x)\n  \
             * fewer instructions: arm64 touch WRITE, again of T3 (0.50x)\n"
        );
        assert!(rows(&report).iter().all(|row| row.len() + 2 <= WIDTH), "{:?}", rows(&report));
    }

    #[test]
    fn a_kind_is_shown_by_its_calls_and_both_sides() {
        let shows = |example: &str, lines: &[&str]| {
            let mut group = Group::default();
            example.clone_into(&mut group.example);
            group.lines = lines.iter().map(|&line| line.to_owned()).collect();
            shown(&group)
        };
        assert_eq!(
            shows("mseal(0x1000, 4K, 0): EPERM; now 0", &["fork()", "mseal(0x1000, 4K, 0)"]),
            "      fork()\n      mseal(0x1000, 4K, 0)\n      without: EPERM\n      with: 0\n"
        );
        assert_eq!(
            shows("after fork(): entry 0x40000000 of process 2: 0x3 A|B; now 0x0 empty\nmore", &["fork()"]),
            "      fork()\n    entry 0x40000000 of process 2\n      without: 0x3 A|B\n      with: 0x0 empty\n"
        );
        let many = ["a quite long call, which a page shows and a mail does not"; LINES + 1];
        assert_eq!(shows("BUG: it stopped", &many), "      (11 calls, not shown)\n    BUG: it stopped\n");
    }

    #[test]
    fn prose_is_wrapped_and_calls_are_short() {
        let text = wrapped(&"word ".repeat(30), "  ");
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert_eq!(text.lines().next().map(|line| &line[..9]), Some("  * word "));
        assert_eq!(text.lines().nth(1).map(|line| &line[..9]), Some("    word "));
        let bits = wrapped(&format!("entry 0x40000000: {}; now empty", "PRESENT|".repeat(40)), "  ");
        assert!(bits.lines().all(|line| line.len() <= WIDTH) && bits.contains("PRESENT|; now"), "{bits}");
        assert_eq!(short("mprotect(0x40000000, 16M, PROT_READ|PROT_WRITE)"), "mprotect PROT_READ|PROT_WRITE");
        assert_eq!(short("mmap(0x1000, 16M, PROT_READ, MAP_PRIVATE|MAP_FIXED, -1, 0)"), "mmap PROT_READ");
        assert_eq!(short("fork()"), "fork");
    }
}
