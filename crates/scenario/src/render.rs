//! Mistakes as a person reads them: the line, a caret under the place, what was expected.

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use std::ops::Range;

use crate::diag::{Diagnostic, Diagnostics, Related, visible};

/// How many mistakes are shown; of the others only the number.
pub const MAX_SHOWN: usize = 100;

/// How much of a line is shown, in characters.
const WINDOW: usize = 120;
/// How much of it stands before the place, where the line is longer.
const BEFORE: usize = 60;
/// Wider than any window with its label, so that lines are cut here and nowhere else.
const TERMINAL_WIDTH: usize = 4096;

impl Diagnostics {
    /// The mistakes with the lines they are in, by place, at most [`MAX_SHOWN`] of them.
    ///
    /// `source` is the text that was parsed (for bytes that are not UTF-8,
    /// [`String::from_utf8_lossy`] of them), `file_name` its name for the reader. Long lines are
    /// shown in part. Control characters of both never get into the result; `color` puts escape
    /// sequences for colors in.
    #[must_use]
    pub fn render(&self, file_name: &str, source: &str, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.term_width(TERMINAL_WIDTH);
        let file_name: String = file_name.chars().map(visible).collect();
        let mut text = String::new();
        for diagnostic in self.items.iter().take(MAX_SHOWN) {
            let report = report(diagnostic, &file_name, source);
            text.push_str(renderer.render(&report).trim_end());
            text.push_str("\n\n");
        }
        text.push_str(&summary(self.total()));
        text
    }
}

fn summary(total: u64) -> String {
    match total.saturating_sub(MAX_SHOWN as u64) {
        0 if total == 1 => "1 mistake\n".to_owned(),
        0 => format!("{total} mistakes\n"),
        more => format!("and {more} more mistakes, {total} in all\n"),
    }
}

fn report<'a>(diagnostic: &'a Diagnostic, file_name: &'a str, source: &str) -> Vec<Group<'a>> {
    let mut groups = primary(diagnostic, file_name, source);
    groups.extend(diagnostic.related.as_ref().map(|related| context(related, source)));
    if let (Some(help), Some(last)) = (diagnostic.help.as_deref(), groups.last_mut()) {
        *last = last.clone().element(Level::HELP.message(help));
    }
    groups
}

fn primary<'a>(diagnostic: &'a Diagnostic, file_name: &'a str, source: &str) -> Vec<Group<'a>> {
    let title = Level::ERROR.primary_title(diagnostic.message.as_str());
    let window = Window::new(source, &diagnostic.span);
    let is_cut = window.is_cut;
    let label = diagnostic.expected.as_ref().map(|expected| format!("expected {expected}"));
    let annotation = AnnotationKind::Primary.span(window.span.clone()).label(label);
    let snippet = window.snippet(diagnostic.line, annotation);
    if !is_cut {
        return vec![title.element(snippet.path(file_name))];
    }
    // A snippet with a path counts columns from the start of its text, which is not the line's here.
    let origin =
        Origin::path(file_name).line(diagnostic.line as usize).char_column(diagnostic.column as usize);
    vec![title.element(origin), Group::with_level(Level::ERROR).element(snippet)]
}

fn context<'a>(related: &'a Related, source: &str) -> Group<'a> {
    let window = Window::new(source, &related.span);
    let annotation = AnnotationKind::Context.span(window.span.clone()).label(related.message.as_str());
    Group::with_level(Level::NOTE).element(window.snippet(related.line, annotation))
}

/// The part of a line around a place, ready to be shown.
struct Window {
    text: String,
    /// The place, in bytes of `text`.
    span: Range<usize>,
    /// Whether `text` begins later than the line.
    is_cut: bool,
}

impl Window {
    /// `span` need not fit `source`: a caller may have the wrong text at hand.
    fn new(source: &str, span: &Range<usize>) -> Self {
        let start = char_boundary(source, span.start);
        let end = char_boundary(source, span.end);
        let (before, after) = source.split_at(start);
        let before = before.strip_prefix('\u{feff}').unwrap_or(before);
        let (left, right) = (length(before.chars().rev()), length(after.chars()));
        let left_shown = left.min(BEFORE.max(WINDOW.saturating_sub(right)));
        let right_shown = right.min(WINDOW - left_shown);
        let marked = source.get(start..end).map_or(0, |marked| length(marked.chars()));

        let mut window = Self { text: String::new(), span: 0..0, is_cut: left_shown < left };
        if window.is_cut {
            window.text.push('…');
        }
        let skipped: usize = before.chars().rev().take(left_shown).map(char::len_utf8).sum();
        window.push(before.get(before.len() - skipped..).unwrap_or_default().chars());
        window.span.start = window.text.len();
        window.push(after.chars().take(marked.min(right_shown)));
        window.span.end = window.text.len();
        window.push(after.chars().take(right_shown).skip(marked));
        if right_shown < right {
            window.text.push('…');
        } else {
            window.drop_carriage_return();
        }
        window
    }

    /// The end of a line ended by CR LF is no part of the line.
    fn drop_carriage_return(&mut self) {
        if let Some(line) = self.text.strip_suffix(visible('\r'))
            && line.len() >= self.span.end
        {
            self.text.truncate(line.len());
        }
    }

    fn push(&mut self, chars: impl Iterator<Item = char>) {
        // The renderer widens tabs itself and keeps count of the columns.
        self.text.extend(chars.map(|c| if c == '\t' { c } else { visible(c) }));
    }

    fn snippet(self, line: u32, annotation: Annotation<'_>) -> Snippet<'_, Annotation<'_>> {
        Snippet::source(self.text).line_start(line as usize).annotation(annotation)
    }
}

/// `at` or the nearest place before it that is in `source` and between two of its characters.
fn char_boundary(source: &str, at: usize) -> usize {
    let mut at = at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// How many characters there are until the line ends, or just more than a window holds.
fn length(chars: impl Iterator<Item = char>) -> usize {
    chars.take(WINDOW + 1).take_while(|&c| c != '\n').count()
}
