//! Numbers of Linux releases, as people and kernels write them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A release of Linux: `6.17`, its candidate `6.17-rc1`, its stable release `6.17.13`.
///
/// Ordered as they came out in one line: a candidate before what it is one of. Stable releases stand between their release
/// and the next, though in time they came beside later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Release {
    major: u32,
    minor: u32,
    patch: u32,
    candidate: Option<u32>,
}

/// What is not the number of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotARelease;

impl Release {
    /// Reads a release that stands in the source.
    ///
    /// # Panics
    /// Where it is none. In a constant, that is an error when it is compiled.
    pub const fn new(text: &str) -> Self {
        match Self::parse(text) {
            Some(release) => release,
            None => panic!("not a release"),
        }
    }

    /// Reads `6.17`, `v6.17.8`, `6.17-rc1`, `7.3.0-rc5-g1234`, `6.17.13+deb13-cloud-arm64`: what stands behind the numbers names a
    /// build of the release.
    pub const fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        let start = if let [b'v', ..] = text { 1 } else { 0 };
        let Some((major, at)) = number(text, start) else { return None };
        let Some((minor, mut at)) = behind(text, at, b".") else { return None };
        let mut patch = 0;
        if let Some((number, next)) = behind(text, at, b".") {
            (patch, at) = (number, next);
        }
        let mut candidate = None;
        if let Some((number, next)) = behind(text, at, b"-rc") {
            (candidate, at) = (Some(number), next);
        } else if let [b'-', b'r' | b'R', b'c' | b'C', ..] = text.split_at(at).1 {
            return None;
        }
        if let Some(0) = candidate {
            return None;
        }
        if at == text.len() || matches!(text[at], b'-' | b'+' | b'~' | b'_') {
            Some(Self { major, minor, patch, candidate })
        } else {
            None
        }
    }

    /// Its series: `6.17` of `6.17.13` and of `6.17-rc1`.
    pub const fn series(self) -> (u32, u32) {
        (self.major, self.minor)
    }

    /// Whether it is a candidate, which no stable release came from.
    pub const fn is_candidate(self) -> bool {
        self.candidate.is_some() && self.patch == 0
    }

    /// Whether it stands for its whole series: `6.17`.
    pub const fn is_whole_series(self) -> bool {
        self.candidate.is_none() && self.patch == 0
    }

    fn key(self) -> (u32, u32, u32, u32) {
        (self.major, self.minor, self.patch, self.candidate.unwrap_or(u32::MAX))
    }
}

/// The number at `at`, and where it ends.
const fn number(text: &[u8], mut at: usize) -> Option<(u32, usize)> {
    let start = at;
    let mut number = 0u32;
    while at < text.len() && text[at].is_ascii_digit() {
        let Some(tens) = number.checked_mul(10) else { return None };
        let Some(sum) = tens.checked_add((text[at] - b'0') as u32) else { return None };
        (number, at) = (sum, at + 1);
    }
    if at == start { None } else { Some((number, at)) }
}

/// The number behind `before` at `at`, and where it ends.
const fn behind(text: &[u8], at: usize, before: &[u8]) -> Option<(u32, usize)> {
    let mut i = 0;
    while i < before.len() {
        if at + i >= text.len() || text[at + i] != before[i] {
            return None;
        }
        i += 1;
    }
    number(text, at + before.len())
}

impl Ord for Release {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Release {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Release {
    type Err = NotARelease;

    fn from_str(text: &str) -> Result<Self, NotARelease> {
        Self::parse(text).ok_or(NotARelease)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch > 0 {
            write!(f, ".{}", self.patch)?;
        }
        self.candidate.map_or(Ok(()), |n| write!(f, "-rc{n}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_as_kernels_and_people_write_them() {
        for (text, read) in [
            ("6.12", "6.12"),
            ("6.16.12", "6.16.12"),
            ("6.17-rc1", "6.17-rc1"),
            ("v6.17.8", "6.17.8"),
            ("7.3.0-rc5-g1234", "7.3-rc5"),
            ("6.17.13+deb13-cloud-arm64", "6.17.13"),
            ("6.18.44-x", "6.18.44"),
            ("6.17.0", "6.17"),
        ] {
            assert_eq!(Release::parse(text).map(|r| r.to_string()).as_deref(), Some(read), "{text}");
        }
        for text in [
            "",
            "6",
            "6.",
            "v",
            "6.17.",
            "6.17.1.2",
            "6.17rc1",
            "6.17-rc",
            "6.17-rcx",
            "6.17-rc1.2",
            "x6.17",
            "99999999999.1",
        ] {
            assert_eq!(text.parse::<Release>(), Err(NotARelease), "{text}");
        }
    }

    #[test]
    fn candidates_come_before_and_stable_releases_after() {
        let order = [
            "6.12",
            "6.12.117",
            "6.16.12",
            "6.17-rc1",
            "6.17-rc10",
            "6.17",
            "6.17.1-rc1",
            "6.17.1",
            "6.17.13",
            "7.0-rc1",
            "7.3",
        ];
        let order = order.map(Release::new);
        assert!(order.is_sorted_by(|a, b| a < b));
        assert_eq!(order.map(Release::is_candidate).iter().filter(|&&is| is).count(), 3);
    }
}
