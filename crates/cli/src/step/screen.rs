//! The screen: for each machine the call, the VMAs around the current entry, the map, and the word of that entry.

use super::stepper::{Prompt, Stepper};
use ptelab::{Counter, PteAttrs, PteView, VirtAddr, show};
use ptelab_report::{EntryState, Part, State, TraceEvent};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

/// VMAs that are shown.
const VMAS: usize = 3;
/// Lines of counters that are shown.
const SUMS: usize = 2;
const KEYS: &str = "←/→ call  ↑↓hjkl entry  Tab machine  s process  [ ] counters  ? help  q quit";
const LEGEND: &str = "\
An entry is two characters. What it allows:
  ·  nothing: it is empty      r  reads      blank: no VMA
  w  writes                    x  execution
  -  nothing: PROT_NONE        #  not present: swap, migration, marker
Capitals and = are entries of a contiguous block.
What it records:  *  dirty    '  accessed
Underlined: changed by this call. White on blue: where you are.

  → n   next call              g  a call by its number
  ← p   previous call          /  an address
  Home End  first, last call   s  next process
  hjkl, arrows ↑ ↓  move       Tab  next machine
  PgUp PgDn  8 rows            ] [  scroll the counters
  q  quit                      Esc  quit, but ask first
  Ctrl-Z  back to the shell, until `fg`";

impl Stepper<'_> {
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let [panes, keys] = Layout::vertical([Constraint::Min(1), Constraint::Length(1)]).areas(frame.area());
        let areas = Layout::horizontal(vec![Constraint::Fill(1); self.shown]).spacing(1).split(panes);
        for (machine, &area) in self.machines().zip(areas.iter()) {
            Pane { stepper: self, machine, state: &self.states[machine] }.draw(frame, area);
        }
        frame.render_widget(self.last_line(), keys);
        if self.prompt == Prompt::Legend {
            let text = Paragraph::new(LEGEND).block(Block::bordered().title(" Any key closes this "));
            let (width, height) =
                (70.min(panes.width), (LEGEND.lines().count() as u16 + 2).min(panes.height));
            let area = Rect::new((panes.width - width) / 2, (panes.height - height) / 2, width, height);
            frame.render_widget(Clear, area);
            frame.render_widget(text, area);
        }
    }

    fn last_line(&self) -> Line<'_> {
        match (&self.prompt, &self.message) {
            (Prompt::Call(text), _) => Line::raw(format!("call: {text}_")),
            (Prompt::Address(text), _) => Line::raw(format!("address: {text}_")),
            (Prompt::Quit, _) => Line::raw("Quit? y or n"),
            (_, Some(message)) => Line::styled(message.as_str(), Color::Red),
            (_, None) => Line::styled(KEYS, Modifier::DIM),
        }
    }
}

/// One machine on the screen.
struct Pane<'a> {
    stepper: &'a Stepper<'a>,
    machine: usize,
    state: &'a State<'a>,
}

impl Pane<'_> {
    fn draw(&self, frame: &mut Frame<'_>, area: Rect) {
        let heights = [
            Constraint::Length(1),
            Constraint::Length(2),
            Constraint::Length(SUMS as u16),
            Constraint::Length(1),
            Constraint::Length(VMAS as u16),
            Constraint::Min(1),
            Constraint::Length(6),
        ];
        let [title, call, sums, causes, vmas, map, entry] = Layout::vertical(heights).areas(area);
        frame.render_widget(self.title(), title);
        frame.render_widget(Paragraph::new(self.call_line()).wrap(Wrap { trim: false }), call);
        frame.render_widget(Paragraph::new(self.sums(sums.width.into())), sums);
        frame.render_widget(self.causes(), causes);
        frame.render_widget(Paragraph::new(self.vma_lines()), vmas);
        frame.render_widget(Paragraph::new(self.map(map)), map);
        frame.render_widget(Paragraph::new(self.entry_lines()).wrap(Wrap { trim: false }), entry);
    }

    /// Bytes in a page of the machine.
    fn page(&self) -> u64 {
        1 << self.state.lane().shape.page_shift()
    }

    /// The address that is looked at, where a page of the machine begins.
    fn focus(&self) -> VirtAddr {
        self.stepper.focus.align_down(self.page())
    }

    fn title(&self) -> Line<'_> {
        let lane = self.state.lane();
        let machine = format!(" {}, Linux {} ", lane.arch, lane.kernel);
        let place = format!(
            " machine {} of {}  call {} of {}  process {}",
            self.machine + 1,
            self.stepper.states.len(),
            self.stepper.call,
            self.stepper.trace.detailed(),
            self.stepper.space
        );
        Line::from(vec![Span::styled(machine, Modifier::REVERSED | Modifier::BOLD), Span::raw(place)])
    }

    fn call_line(&self) -> String {
        let call = &self.stepper.trace.calls()[self.stepper.call - 1];
        let who = if call.pid == 1 { String::new() } else { format!("[pid {}] ", call.pid) };
        let outcome = self.state.step().map_or("", |step| &step.outcome);
        // Logs may hold anything; a terminal gets no control characters.
        let clean: String = call.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("{who}{clean} = {outcome}")
    }

    /// The counters of the call, the important ones first, as lines of so many columns.
    fn sums(&self, width: usize) -> Vec<Line<'_>> {
        let Some(step) = self.state.step() else { return Vec::new() };
        let first = [
            Counter::Batches,
            Counter::BatchEntries,
            Counter::Unfolds,
            Counter::Folds,
            Counter::TlbFlushes,
            Counter::Loads,
            Counter::Stores,
            Counter::Exchanges,
        ];
        let single = step.events.iter().filter(|(_, h)| matches!(h, TraceEvent::Write(_, 1))).count();
        let mut items = if single > 0 { vec![format!("one by one: {single}")] } else { Vec::new() };
        let rest = Counter::ALL.iter().filter(|counter| !first.contains(counter));
        for wanted in first.iter().chain(rest) {
            let found = step.counters.iter().find(|(counter, n)| counter == wanted && *n > 0);
            items.extend(found.map(|(_, n)| format!("{}: {n}", wanted.name())));
        }
        let lines = filled(&items, width);
        let top = self.stepper.scroll.min(lines.len().saturating_sub(SUMS));
        let below = lines.len().saturating_sub(top + SUMS);
        let mut shown: Vec<Line<'_>> = lines.into_iter().skip(top).take(SUMS).map(Line::raw).collect();
        if let Some(last) = shown.last_mut().filter(|_| below > 0) {
            last.push_span(Span::styled(format!(" · ] {below} more"), Modifier::DIM));
        }
        shown
    }

    /// What the call did things for, by the causes' ids.
    fn causes(&self) -> String {
        let Some(step) = self.state.step().filter(|step| !step.causes.is_empty()) else {
            return String::new();
        };
        let ids: Vec<&str> = step.causes.iter().map(|cause| cause.id).collect();
        format!("why: {}", ids.join(" · "))
    }

    fn vma_lines(&self) -> Vec<Line<'_>> {
        let vmas = self.state.vmas(self.stepper.space);
        let at = vmas.partition_point(|vma| vma.area.end <= self.focus());
        let first = at.saturating_sub(1).min(vmas.len().saturating_sub(VMAS));
        let line = |vma: &ptelab_report::NamedArea| {
            let area = &vma.area;
            let here = area.start <= self.focus() && self.focus() < area.end;
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
        let Some(vma) = self.state.vma_at(self.stepper.space, self.focus()) else {
            return vec![Line::raw("nothing is mapped here")];
        };
        let row_bytes = self.stepper.columns * self.page();
        let (top, end) = (vma.area.start.align_down(row_bytes), vma.area.end);
        let rows = end.since(top).div_ceil(row_bytes);
        let height = u64::from(area.height).max(1);
        let at = self.focus().since(top) / row_bytes;
        let first = at.saturating_sub(height / 2).min(rows.saturating_sub(height));
        let row = |row: u64| {
            let start = top.add(row * row_bytes);
            let mut spans = vec![Span::raw(format!("{start:<14} "))];
            for column in 0..self.stepper.columns {
                let addr = start.add(column * self.page());
                let is_mapped = self.state.vma_at(self.stepper.space, addr).is_some();
                spans.extend(if is_mapped { self.cell(addr) } else { [Span::raw(" "), Span::raw(" ")] });
            }
            Line::from(spans)
        };
        (first..rows.min(first + height)).map(row).collect()
    }

    /// Two characters: what an entry allows, and what it records. Changed entries are bold and underlined.
    fn cell(&self, addr: VirtAddr) -> [Span<'static>; 2] {
        let entry = self.state.entry(self.stepper.space, addr);
        let (letter, color) = access(entry);
        let mut style = Style::new().fg(Color::Black).bg(color);
        if entry.is_none() {
            style = Style::new();
        }
        if self.state.is_changed(self.stepper.space, addr) {
            style = style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED);
        }
        if addr == self.focus() {
            style = Style::new().fg(Color::White).bg(Color::Blue).add_modifier(Modifier::BOLD);
        }
        [Span::styled(letter, style), Span::styled(mark(entry), style)]
    }

    fn entry_lines(&self) -> Vec<Line<'_>> {
        let state = self.state;
        let reasons = state.reasons(self.stepper.space, self.focus());
        let why = reasons.iter().map(|(cause, part)| {
            let label = if part == Part::Own { "why" } else { "as " };
            Line::raw(format!("{label} {}", cause.text))
        });
        let Some(entry) = state.entry(self.stepper.space, self.focus()) else {
            return std::iter::once(Line::raw(format!("{}  empty", self.focus()))).chain(why).collect();
        };
        let word = entry.word;
        let changed =
            if state.is_changed(self.stepper.space, self.focus()) { "  changed by this call" } else { "" };
        let first = format!("{}  {:016x}  {}{changed}", self.focus(), word.bits, show::view_text(&word.view));
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
}

/// Items in lines of so many columns, with room for the number of further lines.
fn filled(items: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for item in items {
        match lines.last_mut() {
            Some(line) if line.len() + item.len() + 12 < width => {
                line.push_str(" · ");
                line.push_str(item);
            }
            _ => lines.push(item.clone()),
        }
    }
    lines
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
