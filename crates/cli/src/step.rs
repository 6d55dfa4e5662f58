//! `ptelab step`: the map in a terminal.

mod keys;
mod screen;

use crate::args;
use crate::output::{Failed, Out};
use crate::progress;
use crate::traced::Run;
use crate::{FINE, STOPPED, kernels};
use keys::Next;
use ptelab::{Pid, VirtAddr};
use ptelab_report::{State, Trace};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use std::io::{self, IsTerminal};
use std::time::Duration;

/// How long a signal waits at most until it is seen.
const POLL: Duration = Duration::from_millis(100);

pub(crate) fn step(args: &args::Step, _: &mut Out) -> Result<u8, Failed> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failed::Unusable("step needs a terminal".to_owned()));
    }
    let run = Run::new(&args.traced, "arm64,x86_64", &kernels::oldest_and_default())?;
    let name = run.name.clone();
    let trace = run.trace()?;
    if trace.calls().is_empty() {
        return Err(Failed::Unusable(format!("{name}: there are no calls to show")));
    }
    if !trace.finished {
        return Ok(STOPPED);
    }
    // From here on the terminal is ours; a panic restores it too.
    let mut terminal = ratatui::try_init().map_err(Failed::Output)?;
    let done = Stepper::new(&trace).run(&mut terminal);
    let restored = ratatui::try_restore();
    let status = done.map_err(Failed::Output)?;
    restored.map_err(Failed::Output)?;
    Ok(status)
}

/// What is asked for on the last line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Prompt {
    /// Nothing.
    None,
    /// The number of a call.
    Call(String),
    /// An address.
    Address(String),
}

/// Where the screen stands.
struct Stepper<'a> {
    trace: &'a Trace,
    states: Vec<State<'a>>,
    /// Which machine is shown.
    machine: usize,
    /// The call, from 1.
    call: usize,
    space: Pid,
    /// The entry that is looked at.
    focus: VirtAddr,
    prompt: Prompt,
    /// What to say on the last line instead of the keys.
    message: Option<String>,
}

impl<'a> Stepper<'a> {
    fn new(trace: &'a Trace) -> Self {
        let states = trace.courses.iter().map(State::new).collect();
        let mut stepper = Self {
            trace,
            states,
            machine: 0,
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
        stepper.go_to(1);
        stepper
    }

    fn run(&mut self, terminal: &mut DefaultTerminal) -> io::Result<u8> {
        loop {
            terminal.draw(|frame| self.draw(frame))?;
            while !event::poll(POLL)? {
                if progress::stopped() {
                    return Ok(STOPPED);
                }
            }
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match self.key(key) {
                    Next::Go => {}
                    Next::Quit => return Ok(FINE),
                    Next::Stop => return Ok(STOPPED),
                },
                _ => {}
            }
        }
    }

    fn state(&self) -> &State<'a> {
        &self.states[self.machine]
    }

    /// Goes to a call, or as near as there is one, and looks at the first entry that it changed.
    fn go_to(&mut self, call: usize) {
        let call = call.clamp(1, self.trace.detailed());
        if call == self.call {
            return;
        }
        self.call = call;
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

    fn is_mapped(&self, addr: VirtAddr) -> bool {
        self.state().vmas(self.space).iter().any(|vma| vma.area.start <= addr && addr < vma.area.end)
    }

    /// Bytes in a page of the machine that is shown.
    fn page(&self) -> u64 {
        1 << self.state().course().shape.page_shift
    }
}
