//! Commands to the guest program and its answers, in pages of its memory (`box` in `guest/guest.c`).

use super::guests::{Guest, Order};
use super::ram::Ram;
use std::sync::atomic::Ordering;

/// Bytes in all: a number of pages, of whatever size.
const SIZE: u64 = 256 << 10;
/// Where commands begin, and answers.
const COMMANDS: u64 = SIZE / 64;
const ANSWERS: u64 = 32 << 10;
/// Bytes of commands, at most, but for the one that ends them.
pub(super) const MOST: usize = (ANSWERS - COMMANDS - 8) as usize;

/// Places in the first page.
const ASKED: u64 = 0;
const ANSWERED: u64 = 4;
const SLEEPS: u64 = 8;
const COMMAND_LENGTH: u64 = 12;
const ANSWER_LENGTH: u64 = 16;
const FRAMES: u64 = 24;

/// Where the pages are.
#[derive(Debug)]
pub(super) struct Mailbox {
    pages: Vec<u64>,
    /// Bytes in each.
    page: u64,
    order: Order,
    asked: u32,
    marker: u64,
}

impl Mailbox {
    /// The mailbox whose first page is in this frame, of a program that has its marker at this address; nothing where that cannot be.
    pub(super) fn find(ram: &Ram, guest: &Guest, frame: u64, marker: u64) -> Option<Self> {
        let (page, [order, _]) = (guest.page(), guest.orders);
        let first = frame.checked_mul(page)?;
        let place = |n| order.word(ram.word(first + FRAMES + 8 * n)?).checked_mul(page);
        let pages: Vec<u64> = (0..SIZE / page).map(place).collect::<Option<_>>()?;
        (pages.first() == Some(&first)).then_some(Self { pages, page, order, asked: 0, marker })
    }

    /// The address at which each process has the number that it was started with.
    pub(super) const fn marker(&self) -> u64 {
        self.marker
    }

    /// Leaves commands; nothing where the mailbox is in no memory.
    pub(super) fn ask(&mut self, ram: &Ram, commands: &str) -> Option<()> {
        self.write(ram, commands.as_bytes());
        self.asked = self.asked.wrapping_add(1);
        for (at, number) in [(COMMAND_LENGTH, commands.len() as u32), (ASKED, self.asked)] {
            self.number(ram, at)?.store(self.order.number(number), Ordering::SeqCst);
        }
        Some(())
    }

    /// Whether the guest has to be woken.
    pub(super) fn guest_sleeps(&self, ram: &Ram) -> bool {
        self.number(ram, SLEEPS).is_some_and(|number| number.load(Ordering::SeqCst) != 0)
    }

    /// The answers, once they are there.
    pub(super) fn answers(&self, ram: &Ram) -> Option<Vec<u8>> {
        let number = |at| Some(self.order.number(self.number(ram, at)?.load(Ordering::SeqCst)));
        if number(ANSWERED)? != self.asked {
            return None;
        }
        let len = u64::from(number(ANSWER_LENGTH)?);
        let words = (0..len.div_ceil(8)).map_while(|n| ram.word(self.place(ANSWERS + 8 * n)?));
        let mut bytes: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
        bytes.truncate(len as usize);
        Some(bytes)
    }

    fn write(&self, ram: &Ram, bytes: &[u8]) {
        for (n, part) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            if let Some(place) = self.place(COMMANDS + 8 * n as u64) {
                ram.set_word(place, u64::from_ne_bytes(word));
            }
        }
    }

    fn number<'a>(&self, ram: &'a Ram, at: u64) -> Option<&'a std::sync::atomic::AtomicU32> {
        ram.number(self.place(at)?)
    }

    /// The physical address of a byte of the mailbox.
    fn place(&self, at: u64) -> Option<u64> {
        Some(self.pages.get((at / self.page) as usize)? + at % self.page)
    }
}
