//! A page that shows what came of a series: one file, without scripts.

use super::letter;
use super::report::{OfArch, Report};
use crate::cost_real::LIMITS;
use ptelab::real::series::Group;
use std::fmt::Write as _;

const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>ptelab series</title>\n<style>\n\
    :root { color-scheme: light dark }\n\
    body { font: 15px/1.45 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em }\n\
    pre, td { font: 13px/1.4 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere }\n\
    details { margin: .3em 0; padding-left: 1em } summary { cursor: pointer; margin-left: -1em }\n\
    .wrong summary { color: light-dark(#b00020, #ff8a80) } .count { font-variant-numeric: tabular-nums }\n\
    </style>\n";

pub(super) fn page(report: &Report) -> String {
    let mut page = HEAD.to_owned();
    let stopped = if report.finished { "" } else { ", stopped before its end" };
    let _ = writeln!(page, "<h1>A patch series, judged</h1>\n<p>{:.0} s{stopped}</p>", report.seconds);
    for OfArch { arch, base, patched, words, .. } in &report.architectures {
        let _ = writeln!(
            page,
            "<h2>{arch}: {} against {}</h2>\n<p>{} scenarios and programs on both, {} a second. Where both kernels \
             differ from the emulator: {} programs.</p>",
            escaped(patched),
            escaped(base),
            words.played,
            words.per_second,
            words.both_unlike_rules
        );
        section(&mut page, "Wrong", "wrong", &words.wrong);
        section(&mut page, "Changed", "", &words.changed);
        section(&mut page, "Wrong in both kernels", "wrong", &words.wrong_in_both);
        section(&mut page, "Unlike the rules of its release", "wrong", &words.unlike_rules);
    }
    let rows = letter::rows(report);
    if !rows.is_empty() {
        let table = escaped(&rows.join("\n"));
        let _ = writeln!(
            page,
            "<h2>Instructions for 16M</h2>\n<pre>{table}</pre>\n<p>{}</p>\n<p>{LIMITS}</p>",
            letter::workloads()
        );
    }
    let _ = writeln!(page, "<h2>For the cover letter</h2>\n<pre>{}</pre>", escaped(&letter::text(report)));
    page
}

fn section(page: &mut String, title: &str, class: &str, groups: &[Group]) {
    let _ = writeln!(page, "<h3>{title}: {}</h3>\n<div class=\"{class}\">", groups.len());
    for group in groups {
        let of = group.file.as_ref().map_or_else(String::new, |file| format!(", as in {}", escaped(file)));
        let _ = writeln!(
            page,
            "<details><summary><span class=\"count\">{}</span> &times; {}{of}</summary>\n<pre>{}</pre>\n<pre>{}</pre></details>",
            group.count,
            escaped(&group.cause),
            escaped(&group.example),
            escaped(&group.lines.join("\n"))
        );
    }
    page.push_str("</div>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_stands_alone_and_escapes() {
        let report =
            Report { command: String::new(), architectures: Vec::new(), seconds: 1.0, finished: false };
        let page = page(&report);
        assert!(
            page.contains("viewport")
                && page.contains("stopped")
                && !page.contains("http")
                && !page.contains("<script"),
            "{page}"
        );
        assert_eq!(escaped("a < b & \"c\""), "a &lt; b &amp; &quot;c&quot;");
    }
}
