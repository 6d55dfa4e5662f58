//! The columns before a line's text: process, time, number of the call, instruction pointer.

use crate::strace::entry::{Clock, Stamp};

/// Linux numbers processes below this; what is above is a time in whole seconds.
const PID_LIMIT: u64 = 1 << 22;

/// Times of `-r` are smaller, of `-ttt` greater.
const LONG_AGO: f64 = 1e8;

/// A line without its columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Columns<'a> {
    pub(super) pid: Option<u32>,
    pub(super) time: Option<Stamp>,
    pub(super) rest: &'a [u8],
}

/// Takes the columns off a line.
pub(super) fn columns(line: &[u8]) -> Columns<'_> {
    let line = line.trim_ascii_start();
    let (pid, rest) = pid_column(line).map_or((None, line), |(pid, rest)| (Some(pid), rest));
    let (time, rest) = time_column(rest).map_or((None, rest), |(time, rest)| (Some(time), rest));
    Columns { pid, time, rest: skip_brackets(rest) }
}

/// `[pid  1234] `, `1234 `, and either with the name of `-Y`: `1234<cat> `.
fn pid_column(line: &[u8]) -> Option<(u32, &[u8])> {
    let inner = line.strip_prefix(b"[pid ");
    let (number, rest) = digits(inner.unwrap_or(line).trim_ascii_start())?;
    let number = u32::try_from(number).ok().filter(|&pid| u64::from(pid) < PID_LIMIT)?;
    let rest = skip_name(rest);
    let rest = if inner.is_some() { rest.strip_prefix(b"]")? } else { rest };
    Some((number, spaces(rest)?))
}

fn skip_name(rest: &[u8]) -> &[u8] {
    if rest.first() != Some(&b'<') {
        return rest;
    }
    let end = rest.windows(2).position(|pair| pair == b"> " || pair == b">]");
    end.map_or(rest, |at| &rest[at + 1..])
}

/// `08:29:40.717075 `, `1795508980.644635 `, `     0.000089 `, and what `-r` puts behind: `(+     0.000000) `.
fn time_column(rest: &[u8]) -> Option<(Stamp, &[u8])> {
    let first = rest.first()?;
    if !first.is_ascii_digit() {
        return None;
    }
    let end = rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b':'))?;
    let stamp = stamp(std::str::from_utf8(&rest[..end]).ok()?)?;
    let mut rest = spaces(&rest[end..])?;
    if rest.starts_with(b"(+") {
        let end = rest.windows(2).position(|pair| pair == b") ")?;
        rest = &rest[end + 2..];
    }
    Some((stamp, rest))
}

fn stamp(text: &str) -> Option<Stamp> {
    if text.contains(':') {
        // `17:7` is what `grep -n` puts before a process.
        (text.matches(':').count() == 2).then_some(())?;
        let mut seconds = 0.0;
        for part in text.splitn(3, ':') {
            seconds = seconds * 60.0 + part.parse::<f64>().ok()?;
        }
        return Some(Stamp { seconds, clock: Clock::Midnight });
    }
    let seconds: f64 = text.parse().ok()?;
    let clock = if seconds < LONG_AGO { Clock::PreviousLine } else { Clock::Epoch };
    Some(Stamp { seconds, clock })
}

/// Number of the call (`[   9] `) and instruction pointer (`[00007f1025aff8a0] `, `[????????????????] `).
fn skip_brackets(mut rest: &[u8]) -> &[u8] {
    while let Some(inner) = rest.strip_prefix(b"[") {
        let end = inner.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b' ' | b'?'));
        match end.and_then(|at| inner[at..].strip_prefix(b"] ")) {
            Some(after) => rest = after,
            None => return rest,
        }
    }
    rest
}

/// At least one space.
fn spaces(rest: &[u8]) -> Option<&[u8]> {
    rest.strip_prefix(b" ").map(<[u8]>::trim_ascii_start)
}

fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let number = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
    Some((number, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn columns_in_every_order_that_strace_has() {
        for (line, pid, seconds) in [
            ("brk(0)", None, None),
            ("12 brk(0)", Some(12), None),
            ("12    brk(0)", Some(12), None),
            ("12<cat> brk(0)", Some(12), None),
            ("[pid    12] brk(0)", Some(12), None),
            ("[pid 12<a b>] brk(0)", Some(12), None),
            ("[pid 12] 00:01:40.5 brk(0)", Some(12), Some(100.5)),
            ("12    00:01:40 brk(0)", Some(12), Some(100.0)),
            ("12  1795508980.5 brk(0)", Some(12), Some(1_795_508_980.5)),
            ("1795508980 brk(0)", None, Some(1_795_508_980.0)),
            ("     0.25 brk(0)", None, Some(0.25)),
            ("12       0.25 brk(0)", Some(12), Some(0.25)),
            ("1795508980.5 (+     0.000000) brk(0)", None, Some(1_795_508_980.5)),
            ("12 00:00:01 [  12] [00007f1025aff8a0] brk(0)", Some(12), Some(1.0)),
            ("[????????????????] brk(0)", None, None),
        ] {
            let found = columns(line.as_bytes());
            assert_eq!(found.rest, b"brk(0)", "{line}");
            assert_eq!((found.pid, found.time.map(|time| time.seconds)), (pid, seconds), "{line}");
        }
    }

    #[test]
    fn what_is_no_column_stays() {
        for line in ["[pid] brk(0)", "12", "[12brk(0)", "1:x brk(0)", "[pid 12 brk(0)"] {
            assert_eq!(columns(line.as_bytes()).rest, line.as_bytes(), "{line}");
        }
    }
}
