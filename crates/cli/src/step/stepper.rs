//! Where the screen stands.

use ptelab::{Pid, VirtAddr};
use ptelab_report::{State, Trace};

/// Entries in a row of the map, where there is room; else half of them.
const COLUMNS: u64 = 32;
/// Columns of the address before them.
const ADDRESS: u64 = 15;
/// From how many columns on two machines are shown.
const TWO: u16 = 120;

/// What is asked for on the last line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    /// Nothing.
    None,
    /// The number of a call.
    Call(String),
    /// An address.
    Address(String),
    /// Whether to quit.
    Quit,
    /// Nothing; the legend is shown.
    Legend,
}

/// Where the screen stands.
pub(super) struct Stepper<'a> {
    pub(super) trace: &'a Trace,
    pub(super) states: Vec<State<'a>>,
    /// Which machine is shown, on the left where there are two.
    pub(super) machine: usize,
    /// How many machines are shown, and how many entries a row of the map has.
    pub(super) shown: usize,
    pub(super) columns: u64,
    /// The first line of the counters that is shown.
    pub(super) scroll: usize,
    /// The call, from 1.
    pub(super) call: usize,
    pub(super) space: Pid,
    /// The entry that is looked at.
    pub(super) focus: VirtAddr,
    pub(super) prompt: Prompt,
    /// What to say on the last line instead of the keys.
    pub(super) message: Option<String>,
}

impl<'a> Stepper<'a> {
    pub(super) fn new(trace: &'a Trace) -> Self {
        let states = trace.lanes.iter().map(State::new).collect();
        let mut stepper = Self {
            trace,
            states,
            machine: 0,
            shown: 1,
            columns: COLUMNS,
            scroll: 0,
            call: 0,
            space: 1,
            focus: VirtAddr::new(0),
            prompt: Prompt::None,
            message: None,
        };
        if trace.detailed() < trace.calls().len() {
            let (shown, all) = (trace.detailed(), trace.calls().len());
            stepper.message = Some(format!("a large run: the first {shown} of its {all} calls"));
        }
        // What maps nothing is a setting: the first call that maps is where there is something to see.
        let maps = |stepper: &mut Self, call| {
            stepper.go_to(call);
            !stepper.state().vmas(stepper.space).is_empty()
        };
        if !(1..=trace.detailed()).any(|call| maps(&mut stepper, call)) {
            stepper.go_to(1);
        }
        stepper
    }

    /// Makes use of a screen of so many columns.
    pub(super) fn fit(&mut self, width: u16) {
        self.shown = if width >= TWO { self.states.len().min(2) } else { 1 };
        let pane = u64::from(width) / self.shown as u64;
        self.columns = if pane > ADDRESS + 2 * COLUMNS { COLUMNS } else { COLUMNS / 2 };
    }

    /// The machines that are shown.
    pub(super) fn machines(&self) -> impl Iterator<Item = usize> {
        let (first, all) = (self.machine, self.states.len());
        (0..self.shown).map(move |i| (first + i) % all)
    }

    pub(super) fn state(&self) -> &State<'a> {
        &self.states[self.machine]
    }

    /// Goes to a call, or as near as there is one, and looks at the first entry that it changed.
    pub(super) fn go_to(&mut self, call: usize) {
        let call = call.clamp(1, self.trace.detailed());
        if call == self.call {
            return;
        }
        self.call = call;
        self.scroll = 0;
        for state in &mut self.states {
            state.go_to(call);
        }
        let step = self.state().step();
        if let Some(space) = step.and_then(|step| step.space) {
            self.space = space;
        }
        let changed = step.and_then(|step| step.changes.iter().find(|change| change.space == self.space));
        if let Some(change) = changed {
            self.focus = change.start;
        } else if !self.is_mapped(self.focus)
            && let Some(vma) = self.state().vmas(self.space).first()
        {
            self.focus = vma.area.start;
        }
    }

    pub(super) fn is_mapped(&self, addr: VirtAddr) -> bool {
        self.state().vma_at(self.space, addr).is_some()
    }

    /// Bytes in a page of the machine that is shown.
    pub(super) fn page(&self) -> u64 {
        1 << self.state().lane().shape.page_shift()
    }
}
