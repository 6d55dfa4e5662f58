//! `ptelab step`: the map in a terminal.

mod keys;
mod screen;
mod stepper;

use crate::args;
use crate::defaults::STEP;
use crate::exit::{FINE, STOPPED};
use crate::output::{Failed, Out};
use crate::progress;
use crate::traced::Run;
use keys::Next;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use std::io::{self, IsTerminal};
use std::time::Duration;
use stepper::Stepper;

/// How long a signal waits at most until it is seen.
const POLL: Duration = Duration::from_millis(100);

pub(crate) fn step(args: &args::Step, _: &mut Out) -> Result<u8, Failed> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failed::Unusable("step needs a terminal".to_owned()));
    }
    let run = Run::new(&args.traced, &STEP)?;
    let name = run.name.clone();
    let trace = run.trace(&args.traced)?;
    if trace.calls().is_empty() {
        return Err(Failed::Unusable(format!("{name}: there are no calls to show")));
    }
    if !trace.finished {
        return Ok(STOPPED);
    }
    // From here on the terminal is ours; a panic restores it too.
    progress::hush();
    let mut terminal = ratatui::try_init().map_err(Failed::Output)?;
    let done = draw_and_obey(&mut Stepper::new(&trace), &mut terminal);
    let restored = ratatui::try_restore();
    let status = done.map_err(Failed::Output)?;
    restored.map_err(Failed::Output)?;
    Ok(status)
}

/// Draws, and does what keys say, until one ends it.
fn draw_and_obey(stepper: &mut Stepper<'_>, terminal: &mut DefaultTerminal) -> io::Result<u8> {
    loop {
        stepper.fit(terminal.size()?.width);
        terminal.draw(|frame| stepper.draw(frame))?;
        while !event::poll(POLL)? {
            if progress::stopped() {
                return Ok(STOPPED);
            }
        }
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => match stepper.key(key) {
                Next::Go => {}
                Next::Quit => return Ok(FINE),
                Next::Stop => return Ok(STOPPED),
                Next::Suspend => suspend(terminal)?,
            },
            _ => {}
        }
    }
}

/// Gives the terminal back and stops, as Ctrl-Z does elsewhere, until the shell lets it go on.
#[cfg(unix)]
fn suspend(terminal: &mut DefaultTerminal) -> io::Result<()> {
    ratatui::try_restore()?;
    terminal.show_cursor()?;
    rustix::process::kill_current_process_group(rustix::process::Signal::TSTP)?;
    *terminal = ratatui::try_init()?;
    Ok(())
}

#[cfg(not(unix))]
fn suspend(_: &mut DefaultTerminal) -> io::Result<()> {
    Ok(())
}
