//! Which rules make machines of one port differ, call by call.

use crate::cells::Piece;
use crate::trace::{CallRule, Lane, Trace};
use ptelab::Matrix;
use ptelab::deciding::Between;

/// Calls of a trace up to which rules are looked for: each row that two kernels differ by is a run of its own.
pub const MAX_RULED: usize = 4000;

/// Names the rules that make calls differ in what they did, or came to; `again` traces the same source on other machines. Nothing is
/// named where no steps were recorded, where machines were left out, nor in traces of more than [`MAX_RULED`] calls.
///
/// # Errors
/// Those of `again`.
pub fn name_rules<E>(
    trace: &mut Trace,
    matrix: &Matrix,
    mut again: impl FnMut(Matrix) -> Result<Trace, E>,
) -> Result<(), E> {
    if !trace.can_be_ruled(matrix) {
        return Ok(());
    }
    for (left, right, between) in Between::neighbours(&matrix.subjects()) {
        let [a, b] = [&trace.lanes[left], &trace.lanes[right]];
        let calls = (0..trace.calls().len().min(trace.detailed())).filter(|&call| !is_same(a, b, call));
        let calls: Vec<usize> = calls.collect();
        if calls.is_empty() {
            continue;
        }
        let played = again(between.machines())?;
        if !played.finished {
            return Ok(());
        }
        let named: Vec<CallRule> = calls
            .into_iter()
            .flat_map(|call| {
                let is = |side| move |one: &Lane| is_same(one, side, call);
                let rules = between.deciding(&played.lanes, is(a), is(b));
                rules.into_iter().map(move |rule| CallRule { call, machines: [left, right], rule })
            })
            .collect();
        trace.rules.extend(named);
    }
    Ok(())
}

impl Trace {
    /// Whether [`name_rules`] looks for rules.
    pub fn can_be_ruled(&self, matrix: &Matrix) -> bool {
        self.recorded && self.lanes.len() == matrix.machines() && self.calls().len() <= MAX_RULED
    }
}

/// Whether a call did the same on two machines, and came to the same.
fn is_same(a: &Lane, b: &Lane, call: usize) -> bool {
    let (Some(left), Some(right)) = (a.steps.get(call), b.steps.get(call)) else { return true };
    let changes_of = |lane: &Lane, of: usize| -> Vec<_> {
        let word = |piece: &Piece| &lane.words.all[piece.word as usize];
        let piece = |piece: &Piece| (word(piece).bits, word(piece).level, Piece { word: 0, ..*piece });
        let changes = lane.steps[of].changes.iter();
        changes.map(|one| (one.space, one.start, one.pieces.iter().map(piece).collect::<Vec<_>>())).collect()
    };
    left.outcome == right.outcome
        && left.vmas == right.vmas
        && left.events.iter().map(|(_, event)| event).eq(right.events.iter().map(|(_, event)| event))
        && changes_of(a, call) == changes_of(b, call)
}
