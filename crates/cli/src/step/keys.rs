//! What keys do.

use super::stepper::{Prompt, Stepper};
use ptelab::VirtAddr;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What follows a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The screen goes on.
    Go,
    /// It ends.
    Quit,
    /// It was stopped.
    Stop,
    /// The shell has the terminal until it says otherwise.
    Suspend,
}

impl Stepper<'_> {
    pub(super) fn key(&mut self, key: KeyEvent) -> Next {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return Next::Stop,
                KeyCode::Char('z') => return Next::Suspend,
                _ => {}
            }
        }
        self.message = None;
        match std::mem::replace(&mut self.prompt, Prompt::None) {
            Prompt::None => return self.command(key.code),
            Prompt::Call(text) => self.answer(key.code, text, Prompt::Call, Self::jump),
            Prompt::Address(text) => self.answer(key.code, text, Prompt::Address, Self::search),
            Prompt::Quit if matches!(key.code, KeyCode::Enter | KeyCode::Char('y' | 'q')) => {
                return Next::Quit;
            }
            Prompt::Quit | Prompt::Legend => {}
        }
        Next::Go
    }

    fn command(&mut self, code: KeyCode) -> Next {
        let row = i128::from(self.columns);
        match code {
            KeyCode::Char('q') => return Next::Quit,
            KeyCode::Esc => self.prompt = Prompt::Quit,
            KeyCode::Char('?') => self.prompt = Prompt::Legend,
            KeyCode::Char(']') => self.scroll += 1,
            KeyCode::Char('[') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Right | KeyCode::Char('n') => self.go_to(self.call + 1),
            KeyCode::Left | KeyCode::Char('p') => self.go_to(self.call.saturating_sub(1)),
            KeyCode::Home => self.go_to(1),
            KeyCode::End => self.go_to(usize::MAX),
            KeyCode::Char('l') => self.move_focus(1),
            KeyCode::Char('h') => self.move_focus(-1),
            KeyCode::Down | KeyCode::Char('j') => self.move_focus(row),
            KeyCode::Up | KeyCode::Char('k') => self.move_focus(-row),
            KeyCode::PageDown => self.move_focus(row * 8),
            KeyCode::PageUp => self.move_focus(-row * 8),
            KeyCode::Tab => self.machine = (self.machine + 1) % self.states.len(),
            KeyCode::BackTab => {
                self.machine = (self.machine + self.states.len() - 1) % self.states.len();
            }
            KeyCode::Char('s') => self.next_space(),
            KeyCode::Char('g') => self.prompt = Prompt::Call(String::new()),
            KeyCode::Char('/') => self.prompt = Prompt::Address(String::new()),
            _ => {}
        }
        Next::Go
    }

    /// A key while something is asked for.
    fn answer(
        &mut self,
        code: KeyCode,
        mut text: String,
        again: impl Fn(String) -> Prompt,
        done: impl Fn(&mut Self, &str),
    ) {
        match code {
            KeyCode::Enter => return done(self, text.trim()),
            KeyCode::Esc => return,
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char(c) if text.len() < 40 => text.push(c),
            _ => {}
        }
        self.prompt = again(text);
    }

    fn jump(&mut self, text: &str) {
        match text.parse::<usize>() {
            Ok(call) if (1..=self.trace.detailed()).contains(&call) => self.go_to(call),
            Ok(call) => {
                self.message = Some(format!("no call {call}: the last is {}", self.trace.detailed()));
            }
            Err(_) => self.message = Some(format!("`{text}`: give a call's number")),
        }
    }

    fn search(&mut self, text: &str) {
        let hex = text.strip_prefix("0x").unwrap_or(text);
        match u64::from_str_radix(hex, 16).map(VirtAddr::new) {
            Ok(addr) if self.is_mapped(addr) => self.focus = addr.align_down(self.page()),
            Ok(addr) => self.message = Some(format!("{addr}: no VMA of process {} there", self.space)),
            Err(_) => self.message = Some(format!("`{text}`: not an address")),
        }
    }

    /// Goes so many entries up or down, from VMA to VMA.
    fn move_focus(&mut self, entries: i128) {
        let vmas = self.state().vmas(self.space);
        let wanted = i128::from(self.focus.get()) + entries * i128::from(self.page());
        let wanted = VirtAddr::new(u64::try_from(wanted.max(0)).unwrap_or(u64::MAX));
        let next = if self.is_mapped(wanted) {
            Some(wanted)
        } else if entries > 0 {
            vmas.iter().map(|vma| vma.area.start).find(|start| *start > self.focus)
        } else {
            let before = vmas.iter().rev().find(|vma| vma.area.end <= self.focus);
            before.map(|vma| VirtAddr::new(vma.area.end.get() - self.page()))
        };
        if let Some(next) = next {
            self.focus = next;
        }
    }

    fn next_space(&mut self) {
        let spaces = self.state().spaces();
        let next = spaces.iter().find(|space| **space > self.space).or(spaces.first());
        if let Some(&space) = next {
            self.space = space;
            if !self.is_mapped(self.focus)
                && let Some(vma) = self.state().vmas(space).first()
            {
                self.focus = vma.area.start;
            }
        }
    }
}
