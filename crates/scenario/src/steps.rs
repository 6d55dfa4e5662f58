//! The lines of a scenario in the order in which they run.

use std::iter::FusedIterator;
use std::slice;

use crate::ast::{Item, Line, Repeat, Scenario};

/// One executed line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// How many lines ran before this one.
    pub index: u64,
    /// The line that runs.
    pub line: &'a Line,
}

/// Yields the lines of a scenario as they run, blocks unrolled; made by [`Scenario::steps`].
///
/// Its memory grows with the depth of the blocks, never with their counts.
#[derive(Clone, Debug)]
pub struct Steps<'a> {
    open: Vec<Frame<'a>>,
    index: u64,
}

/// A block that is running.
#[derive(Clone, Debug)]
struct Frame<'a> {
    body: &'a [Item],
    rest: slice::Iter<'a, Item>,
    /// How often the body runs after this time.
    again: u64,
}

impl Scenario {
    /// The lines in the order in which they run, one at a time.
    #[must_use]
    pub fn steps(&self) -> Steps<'_> {
        Steps { open: vec![Frame::new(&self.items, 0)], index: 0 }
    }

    /// How many lines run in all; the largest `u128` if there are more.
    #[must_use]
    pub fn step_count(&self) -> u128 {
        self.step_sum(|_| 1)
    }

    /// The sum of what `weight` says of every line that runs; the largest `u128` if it is more.
    #[must_use]
    pub fn step_sum(&self, weight: impl Fn(&Line) -> u128) -> u128 {
        sum(&self.items, &weight)
    }

    /// How many lines run up to the last run of a source line, or of the last before it that runs; 0 where none does. In a repeated
    /// block, lines further down run before that too.
    ///
    /// ```
    /// let text = "repeat 2 {\nmunmap(0x1000, 4K)\nmunmap(0x2000, 4K)\n}\n";
    /// let scenario = ptelab_scenario::parse(text)?;
    /// assert_eq!([1, 2, 3, 9].map(|line| scenario.steps_to_line(line)), [0, 3, 4, 4]);
    /// # Ok::<(), ptelab_scenario::Diagnostics>(())
    /// ```
    #[must_use]
    pub fn steps_to_line(&self, line: u64) -> u128 {
        steps_to(&self.items, line)
    }
}

impl<'a> Frame<'a> {
    fn new(body: &'a [Item], again: u64) -> Self {
        Self { body, rest: body.iter(), again }
    }

    /// Starts the body once more, if it is to run again.
    fn restart(&mut self) -> bool {
        let Some(again) = self.again.checked_sub(1) else {
            return false;
        };
        self.again = again;
        self.rest = self.body.iter();
        true
    }
}

impl<'a> Steps<'a> {
    fn enter(&mut self, repeat: &'a Repeat) {
        // A block without a line in it would spin through its count and yield nothing.
        if let Some(again) = repeat.count.checked_sub(1)
            && runs_something(&repeat.body)
        {
            self.open.push(Frame::new(&repeat.body, again));
        }
    }
}

impl<'a> Iterator for Steps<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        loop {
            let frame = self.open.last_mut()?;
            match frame.rest.next() {
                Some(Item::Line(line)) => {
                    let index = self.index;
                    self.index = index.saturating_add(1);
                    return Some(Step { index, line });
                }
                Some(Item::Repeat(repeat)) => self.enter(repeat),
                Some(Item::Comment(_) | Item::Blank) => {}
                None if frame.restart() => {}
                None => {
                    self.open.pop();
                }
            }
        }
    }
}

impl FusedIterator for Steps<'_> {}

fn runs_something(items: &[Item]) -> bool {
    items.iter().any(|item| match item {
        Item::Line(_) => true,
        Item::Repeat(repeat) => repeat.count > 0 && runs_something(&repeat.body),
        Item::Comment(_) | Item::Blank => false,
    })
}

fn sum(items: &[Item], weight: &impl Fn(&Line) -> u128) -> u128 {
    let sums = items.iter().map(|item| match item {
        Item::Line(line) => weight(line),
        Item::Repeat(repeat) => u128::from(repeat.count).saturating_mul(sum(&repeat.body, weight)),
        Item::Comment(_) | Item::Blank => 0,
    });
    sums.fold(0, u128::saturating_add)
}

fn steps_to(items: &[Item], line: u64) -> u128 {
    let (mut all, mut up_to) = (0_u128, 0);
    for item in items {
        let before = all;
        match item {
            Item::Line(one) => {
                all = all.saturating_add(1);
                if u64::from(one.line) <= line {
                    up_to = all;
                }
            }
            Item::Repeat(repeat) if repeat.count > 0 => {
                let (once, part) = (sum(&repeat.body, &|_| 1), steps_to(&repeat.body, line));
                all = all.saturating_add(once.saturating_mul(repeat.count.into()));
                if part > 0 {
                    let earlier = once.saturating_mul((repeat.count - 1).into());
                    up_to = before.saturating_add(earlier).saturating_add(part);
                }
            }
            Item::Repeat(_) | Item::Comment(_) | Item::Blank => {}
        }
    }
    up_to
}
