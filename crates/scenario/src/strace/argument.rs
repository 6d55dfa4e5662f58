//! What arguments are made of.

/// A file descriptor among arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fd {
    /// The number; -100 for `AT_FDCWD`.
    pub number: i32,
    /// What `-y` and `-yy` say it is: a path, or a text like `pid:1234`, `anon_inode:[eventpoll]`.
    pub path: Option<String>,
    /// Whether the file had no name any more.
    pub deleted: bool,
}

impl Fd {
    /// The process that a pidfd names, which only `-yy` tells.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.path.as_deref()?.strip_prefix("pid:")?.parse().ok()
    }
}

/// A string among arguments. Bytes that are not UTF-8 have become U+FFFD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedText {
    /// The string, or its beginning.
    pub text: String,
    /// Whether the log has only its beginning.
    pub truncated: bool,
}

/// Some memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedRange {
    /// Where it begins.
    pub addr: u64,
    /// How many bytes it has.
    pub len: u64,
}
