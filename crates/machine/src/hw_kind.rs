//! Kinds of primitives.

/// Which primitives a machine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HwKind {
    /// Fast, without accounts.
    #[default]
    Plain,
    /// Counts.
    Counting,
    /// Records.
    Recording,
}

impl HwKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Counting, Self::Recording];

    /// Its name, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Counting => "counting",
            Self::Recording => "recording",
        }
    }
}
