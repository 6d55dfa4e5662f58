//! Why entries change: rules by their ids, reported where they are applied.

use std::fmt;
use std::hash::{Hash, Hasher};

/// A rule of the kernel, or of a port, by which an entry changes or stays, or a translation is flushed.
///
/// Causes are statics in the table of the crate that applies them, see [`causes!`](crate::causes). Two of one id are the same.
#[derive(Debug)]
pub struct Cause {
    /// Its name.
    pub id: &'static str,
    /// What it says, in one sentence.
    pub text: &'static str,
    /// The Linux file and function that it follows; a book, where it is hardware's.
    pub source: &'static str,
}

impl Cause {
    /// Its source as it is in this Linux release.
    pub fn cited(&self, release: &str) -> String {
        let source = self.source;
        if source.contains('/') { format!("{source}, Linux {release}") } else { source.to_owned() }
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.id == other.id
    }
}

impl Eq for Cause {}

impl Hash for Cause {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// Causes in a [`Why`].
const DEPTH: usize = 4;

/// The causes of something, the nearest first: each applied because of those after it. The nearest four are kept.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Why([Option<&'static Cause>; DEPTH]);

impl Why {
    /// The causes in force, given from the first that came into force to the last.
    pub fn of(in_force: &[&'static Cause]) -> Self {
        let mut why = Self::default();
        for (place, &cause) in why.0.iter_mut().zip(in_force.iter().rev()) {
            *place = Some(cause);
        }
        why
    }

    /// The nearest first.
    pub fn causes(&self) -> impl Iterator<Item = &'static Cause> + '_ {
        self.0.iter().copied().flatten()
    }

    /// The one that led to all others, of those that are kept.
    pub fn root(&self) -> Option<&'static Cause> {
        self.causes().last()
    }
}

impl fmt::Debug for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.causes().map(|cause| cause.id)).finish()
    }
}

/// Makes the table of a crate's causes: each line is an id, its source, and what it says. The ids become statics, `ALL` is the
/// table.
///
/// ```
/// # mod cause {
/// ptelab_pgtable::causes! {
///     zap, "mm/memory.c:zap_pte_range", "Entries of memory that goes are cleared.";
/// }
/// # }
/// # fn main() {
/// assert_eq!(cause::zap.id, "zap");
/// assert_eq!(cause::ALL, [&cause::zap]);
/// # }
/// ```
#[macro_export]
macro_rules! causes {
    ($($id:ident, $source:literal, $text:literal;)*) => {
        $(
            #[doc = $text]
            #[expect(non_upper_case_globals, reason = "a cause is named by its id")]
            pub(crate) static $id: $crate::Cause =
                $crate::Cause { id: stringify!($id), text: $text, source: $source };
        )*

        /// Every cause of this crate.
        pub const ALL: &[&$crate::Cause] = &[$(&$id,)*];
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_four_are_kept() {
        const fn cause(id: &'static str) -> Cause {
            Cause { id, text: "", source: "" }
        }
        static ALL: [Cause; 5] = [cause("a"), cause("b"), cause("c"), cause("d"), cause("e")];
        let in_force: Vec<&'static Cause> = ALL.iter().collect();
        let ids = |why: Why| why.causes().map(|cause| cause.id).collect::<String>();
        assert_eq!(ids(Why::of(&in_force)), "edcb");
        assert_eq!(ids(Why::of(&in_force[..2])), "ba");
        assert_eq!(Why::of(&in_force[..2]).root(), Some(&ALL[0]));
        assert_eq!(Why::of(&[]).root(), None);
    }
}
