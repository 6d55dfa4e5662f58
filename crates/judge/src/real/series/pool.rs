//! Which programs are played: new ones, and those that are like programs that showed something.

use super::finding::{FindingKind, LOST, Said};
use crate::fuzz::vary;
use crate::real::programs::Programs;
use fastrand::Rng;
use ptelab_scenario::Line;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Programs that are kept of what shows the same.
const KEPT: usize = 4;

/// Programs that showed something, by what they showed.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Known>);

type Known = BTreeMap<(FindingKind, String), Vec<Vec<Line>>>;

impl Pool {
    /// The program of this number: every other one is like one that showed something, once there are any.
    pub(super) fn program(&self, programs: &Programs, case: u64) -> Vec<Line> {
        let new = programs.lines(case);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if case.is_multiple_of(2) || known.is_empty() {
            return new;
        }
        let mut rng = Rng::with_seed(programs.seed ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let like = known.values().nth(rng.usize(..known.len())).map_or(&[][..], Vec::as_slice);
        let like = like.get(rng.usize(..like.len().max(1))).map_or(&[][..], Vec::as_slice);
        vary(like, &new, programs.size.of_case(case), &mut rng)
    }

    /// Keeps a program that showed something. One that a kernel did not survive is not: each like it costs a boot.
    pub(super) fn add(&self, kind: FindingKind, said: &Said, lines: &[Line]) {
        if said.cause == LOST {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = known.entry((kind, said.cause.clone())).or_default();
        if same.len() < KEPT {
            same.push(lines.to_vec());
        }
    }
}
