//! What the screen shows: the call, the VMAs around the entry that is looked at, the map, and that entry's word.

use super::stepper::{Prompt, Stepper};
use ptelab::{Counter, PteAttrs, PteView, VirtAddr, show};
use ptelab_report::{EntryState, Part, TraceEvent};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

/// Cells in a row of the map.
pub(super) const COLUMNS: u64 = 32;
/// VMAs that are shown.
const VMAS: usize = 3;
const KEYS: &str = "←/→ call  ↑↓hjkl entry  Tab machine  s process  g call  / address  q quit";

impl Stepper<'_> {
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let heights = [
            Constraint::Length(1),
            Constraint::Length(2),
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(VMAS as u16),
            Constraint::Min(1),
            Constraint::Length(6),
            Constraint::Length(1),
        ];
        let [title, call, sums, causes, vmas, map, entry, keys] =
            Layout::vertical(heights).areas(frame.area());
        frame.render_widget(self.title(), title);
        frame.render_widget(Paragraph::new(self.call_line()).wrap(Wrap { trim: false }), call);
        frame.render_widget(self.sums(), sums);
        frame.render_widget(self.causes(), causes);
        frame.render_widget(Paragraph::new(self.vma_lines()), vmas);
        frame.render_widget(Paragraph::new(self.map(map)), map);
        frame.render_widget(Paragraph::new(self.entry_lines()).wrap(Wrap { trim: false }), entry);
        frame.render_widget(self.last_line(), keys);
    }

    fn title(&self) -> Line<'_> {
        let lane = self.state().lane();
        let machine = format!(" {}, Linux {} ", lane.arch, lane.kernel);
        let place = format!(
            " machine {} of {}  call {} of {}  process {}",
            self.machine + 1,
            self.states.len(),
            self.call,
            self.trace.detailed(),
            self.space
        );
        Line::from(vec![Span::styled(machine, Modifier::REVERSED | Modifier::BOLD), Span::raw(place)])
    }

    fn call_line(&self) -> String {
        let call = &self.trace.calls()[self.call - 1];
        let who = if call.pid == 1 { String::new() } else { format!("[pid {}] ", call.pid) };
        let outcome = self.state().step().map_or("", |step| &step.outcome);
        // Logs may hold anything; a terminal gets no control characters.
        let clean: String = call.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("{who}{clean} = {outcome}")
    }

    fn sums(&self) -> String {
        let Some(step) = self.state().step() else { return String::new() };
        let sum = |wanted: Counter| {
            let n = step.counters.iter().find(|(counter, _)| *counter == wanted).map_or(0, |(_, n)| *n);
            (n > 0).then(|| format!("{n} {}", wanted.name()))
        };
        let single = step.events.iter().filter(|(_, h)| matches!(h, TraceEvent::Write(_, 1))).count();
        let shown = [Counter::Batches, Counter::BatchEntries, Counter::Unfolds, Counter::Folds];
        let rest = [Counter::TlbFlushes, Counter::Loads, Counter::Stores, Counter::Exchanges];
        let mut parts: Vec<String> = shown.into_iter().chain(rest).filter_map(sum).collect();
        if single > 0 {
            parts.insert(0, format!("{single} one by one"));
        }
        parts.join(" · ")
    }

    /// What the call did things for, by the causes' ids.
    fn causes(&self) -> String {
        let Some(step) = self.state().step().filter(|step| !step.causes.is_empty()) else {
            return String::new();
        };
        let ids: Vec<&str> = step.causes.iter().map(|cause| cause.id).collect();
        format!("why: {}", ids.join(" · "))
    }

    fn vma_lines(&self) -> Vec<Line<'_>> {
        let vmas = self.state().vmas(self.space);
        let at = vmas.partition_point(|vma| vma.area.end <= self.focus);
        let first = at.saturating_sub(1).min(vmas.len().saturating_sub(VMAS));
        let line = |vma: &ptelab_report::NamedArea| {
            let area = &vma.area;
            let here = area.start <= self.focus && self.focus < area.end;
            let (perms, size) = (area.flags.perms(), show::size(area.end.since(area.start)));
            let name: String =
                vma.backing.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let text = format!("{}-{} {perms} {size} {} {name}", area.start, area.end, area.flags.smaps());
            Line::styled(text, if here { Style::new().bold() } else { Style::new() })
        };
        vmas.iter().skip(first).take(VMAS).map(line).collect()
    }

    /// Rows of the VMA that is looked at, with the entry in view.
    fn map(&self, area: Rect) -> Vec<Line<'_>> {
        let vmas = self.state().vmas(self.space);
        let Some(vma) = vmas.iter().find(|vma| vma.area.start <= self.focus && self.focus < vma.area.end)
        else {
            return vec![Line::raw("nothing is mapped here")];
        };
        let row_bytes = COLUMNS * self.page();
        let (top, end) = (vma.area.start.align_down(row_bytes), vma.area.end);
        let rows = end.since(top).div_ceil(row_bytes);
        let height = u64::from(area.height).max(1);
        let at = self.focus.since(top) / row_bytes;
        let first = at.saturating_sub(height / 2).min(rows.saturating_sub(height));
        let row = |row: u64| {
            let start = top.add(row * row_bytes);
            let mut spans = vec![Span::raw(format!("{start:<14} "))];
            for column in 0..COLUMNS {
                let addr = start.add(column * self.page());
                if addr >= end {
                    break;
                }
                let outside = addr < vma.area.start;
                spans.extend(if outside { [Span::raw(" "), Span::raw(" ")] } else { self.cell(addr) });
            }
            Line::from(spans)
        };
        (first..rows.min(first + height)).map(row).collect()
    }

    /// Two characters: what an entry allows, and what it records. Changed entries are bold and underlined.
    fn cell(&self, addr: VirtAddr) -> [Span<'static>; 2] {
        let entry = self.state().entry(self.space, addr);
        let (letter, color) = access(entry);
        let mut style = Style::new().fg(Color::Black).bg(color);
        if entry.is_none() {
            style = Style::new();
        }
        if self.state().is_changed(self.space, addr) {
            style = style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED);
        }
        if addr == self.focus {
            style = Style::new().fg(Color::White).bg(Color::Blue).add_modifier(Modifier::BOLD);
        }
        [Span::styled(letter, style), Span::styled(mark(entry), style)]
    }

    fn entry_lines(&self) -> Vec<Line<'_>> {
        let state = self.state();
        let reasons = state.reasons(self.space, self.focus);
        let why = reasons.iter().map(|(cause, part)| {
            let label = if part == Part::Own { "why" } else { "as " };
            Line::raw(format!("{label} {}", cause.text))
        });
        let Some(entry) = state.entry(self.space, self.focus) else {
            return std::iter::once(Line::raw(format!("{}  empty", self.focus))).chain(why).collect();
        };
        let word = entry.word;
        let changed = if state.is_changed(self.space, self.focus) { "  changed by this call" } else { "" };
        let first = format!("{}  {:016x}  {}{changed}", self.focus, word.bits, show::view_text(&word.view));
        let fields = state.lane().words.kinds[word.kind].iter().filter_map(|field| {
            let value = field.value(ptelab::Pte(word.bits));
            match (value, field.mask.count_ones()) {
                (0, _) => None,
                (_, 1) => Some(field.name.to_owned()),
                _ => Some(format!("{}={value}", field.name)),
            }
        });
        let fields = fields.collect::<Vec<_>>().join(" ");
        let folio = if entry.folio_pages == 0 {
            "no page behind it".to_owned()
        } else {
            let share = if entry.exclusive { "exclusive" } else { "not exclusive" };
            format!("page {} of a folio of {}, {share}", entry.offset, entry.folio_pages)
        };
        [Line::raw(first), Line::raw(fields), Line::raw(folio)].into_iter().chain(why).collect()
    }

    fn last_line(&self) -> Line<'_> {
        match (&self.prompt, &self.message) {
            (Prompt::Call(text), _) => Line::raw(format!("call: {text}_")),
            (Prompt::Address(text), _) => Line::raw(format!("address: {text}_")),
            (Prompt::None, Some(message)) => Line::styled(message.as_str(), Color::Red),
            (Prompt::None, None) => Line::styled(KEYS, Modifier::DIM),
        }
    }
}

/// What an entry allows, as a letter, a capital in a contiguous block, and a colour.
fn access(entry: Option<EntryState<'_>>) -> (&'static str, Color) {
    let Some(entry) = entry else { return ("·", Color::Reset) };
    let PteView::Present(mapping) = entry.word.view else { return ("#", Color::Magenta) };
    let has = |attr| mapping.attrs.contains(attr);
    let (letter, block, color) = if has(PteAttrs::PROTNONE) {
        ("-", "=", Color::Gray)
    } else if has(PteAttrs::WRITE) {
        ("w", "W", Color::Yellow)
    } else if has(PteAttrs::EXEC) {
        ("x", "X", Color::Green)
    } else {
        ("r", "R", Color::Cyan)
    };
    (if has(PteAttrs::CONT) { block } else { letter }, color)
}

/// `*` dirty, `'` accessed.
fn mark(entry: Option<EntryState<'_>>) -> &'static str {
    let Some(PteView::Present(mapping)) = entry.map(|entry| entry.word.view) else { return " " };
    match (mapping.attrs.contains(PteAttrs::DIRTY), mapping.attrs.contains(PteAttrs::YOUNG)) {
        (true, _) => "*",
        (false, true) => "'",
        (false, false) => " ",
    }
}
