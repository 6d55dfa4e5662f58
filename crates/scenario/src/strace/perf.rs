//! Lines of `perf trace`: `     0.123 ( 0.004 ms): cat/1234 munmap(addr: 0x7f0000000000, len: 4096) = 0`.

use crate::strace::entry::Touch;
use crate::strace::value::number;

/// A line without its columns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PerfLine<'a> {
    pub(super) pid: Option<u32>,
    /// In seconds.
    pub(super) duration: Option<f64>,
    pub(super) what: What<'a>,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What<'a> {
    /// `munmap(addr: 0x7f0000000000, len: 4096) = 0`
    Call(&'a [u8]),
    /// `poll(nfds: 1) ...`, without the parenthesis and what follows it.
    Interrupted(&'a [u8]),
    /// ` ... [continued]: poll()) = 1`: the name, and what follows the empty arguments.
    Continued {
        name: &'a [u8],
        rest: &'a [u8],
    },
    Touch(Touch),
}

/// The time column of perf trace, which is in milliseconds, or `?`; and what follows it.
pub(super) fn time(line: &[u8]) -> Option<(Option<f64>, &[u8])> {
    let line = line.trim_ascii_start();
    let end = line.iter().position(|&byte| byte == b' ')?;
    let milliseconds = match &line[..end] {
        b"?" => None,
        word => Some(std::str::from_utf8(word).ok()?.parse::<f64>().ok()?),
    };
    let rest = line[end..].trim_ascii_start();
    rest.starts_with(b"(").then_some((milliseconds.map(|ms| ms / 1000.0), rest))
}

/// Reads what follows the time column.
pub(super) fn parse(rest: &[u8]) -> Option<PerfLine<'_>> {
    let end = rest.windows(3).position(|part| part == b"): ")?;
    let inner = std::str::from_utf8(rest.get(1..end)?).ok()?.trim();
    let duration = match inner.strip_suffix("ms") {
        Some(ms) => Some(ms.trim().parse::<f64>().ok()? / 1000.0),
        None if inner.is_empty() => None,
        None => return None,
    };
    let text = rest[end + 3..].trim_ascii();
    if let Some(what) = what(text) {
        return Some(PerfLine { pid: None, duration, what });
    }
    let (pid, text) = task(text)?;
    Some(PerfLine { pid: Some(pid), duration, what: what(text.trim_ascii_start())? })
}

/// `cat/1234 `, where the name may have spaces and slashes of its own.
fn task(text: &[u8]) -> Option<(u32, &[u8])> {
    let slashes = text.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at + 1);
    std::iter::once(0).chain(slashes).find_map(|at| {
        let rest = &text[at..];
        let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        let pid = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        Some((pid, rest[end..].strip_prefix(b" ")?))
    })
}

fn what(text: &[u8]) -> Option<What<'_>> {
    for (word, major) in [(&b"minfault "[..], false), (b"majfault ", true)] {
        if let Some(rest) = text.strip_prefix(word) {
            return touch(rest, major).map(What::Touch);
        }
    }
    if let Some(rest) = text.strip_prefix(b"... [continued]: ") {
        let end = rest.iter().position(|&byte| byte == b'(')?;
        return Some(What::Continued { name: &rest[..end], rest: rest[end..].strip_prefix(b"()")? });
    }
    let end = text.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')?;
    if end == 0 || text[end] != b'(' {
        return None;
    }
    let interrupted = text.strip_suffix(b"...").and_then(|rest| rest.trim_ascii_end().strip_suffix(b")"));
    Some(interrupted.map_or(What::Call(text), What::Interrupted))
}

/// `[memset+0x32] => /lib/libc.so.6@0x1d4868 (d.)`
fn touch(text: &[u8], major: bool) -> Option<Touch> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, target) = text.split_once("] => ")?;
    let target = target.rsplit_once(" (").map_or(target, |(target, _)| target).trim();
    let Some((map, place)) = target.rsplit_once('@') else {
        return Some(Touch { major, addr: Some(number(target)?), map: None, offset: None });
    };
    let place = number(place)?;
    let map = Some(map).filter(|map| *map != "?");
    let absolute = map.is_none_or(is_absolute);
    let (addr, offset) = if absolute { (Some(place), None) } else { (None, Some(place)) };
    Some(Touch { major, addr, map: map.map(str::to_owned), offset })
}

/// Whether perf has addresses, not offsets, for what is mapped under this name.
fn is_absolute(map: &str) -> bool {
    const ANONYMOUS: [&str; 7] =
        ["//anon", "[heap]", "[stack", "[anon", "/SYSV", "/dev/zero", "/anon_hugepage"];
    ANONYMOUS.iter().any(|name| map.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::{What, parse, time};
    use crate::strace::entry::Touch;

    #[test]
    fn the_task_may_be_any_text_or_left_out() {
        for (text, pid) in [
            ("( 0.004 ms): cat/1234 brk() = 0", Some(1234)),
            ("( 0.004 ms): kworker/0:1 x/77 brk() = 0", Some(77)),
            ("( 0.004 ms): (sd-pam)/77 brk() = 0", Some(77)),
            ("( 0.004 ms): 77 brk() = 0", Some(77)),
            ("( 0.004 ms): brk() = 0", None),
        ] {
            let line = parse(text.as_bytes()).expect(text);
            assert_eq!((line.pid, line.duration), (pid, Some(0.004 / 1000.0)), "{text}");
            assert_eq!(line.what, What::Call(b"brk() = 0"), "{text}");
        }
        assert_eq!(
            parse(b"(         ): a/7 poll(nfds: 1)    ...").map(|line| line.what),
            Some(What::Interrupted(b"poll(nfds: 1"))
        );
        let continued = What::Continued { name: b"poll", rest: b") = 1" };
        assert_eq!(
            parse(b"( 1.2 ms): a/7  ... [continued]: poll()) = 1").map(|line| line.what),
            Some(continued)
        );
        for text in ["", "(", "( x ms): brk() = 0", "( 1 s): brk() = 0", "(): ", "(): a/7 sched:switch(x)"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(time(b"   ? ( "), Some((None, &b"( "[..])));
        assert_eq!(time(b"   1.x ( "), None);
    }

    #[test]
    fn where_a_page_fault_was() {
        for (target, addr, map, offset) in [
            ("//anon@0x7febf1bbd008", Some(0x7feb_f1bb_d008), Some("//anon"), None),
            ("[stack]@0x7ffcdaa62f58", Some(0x7ffc_daa6_2f58), Some("[stack]"), None),
            ("[heap]@0x10", Some(16), Some("[heap]"), None),
            ("?@0x10", Some(16), None, None),
            ("0x559c1e9a5100", Some(0x559c_1e9a_5100), None, None),
            ("/lib/a@b (x).so@0x40", None, Some("/lib/a@b (x).so"), Some(64)),
        ] {
            let text = format!("( 0.000 ms): t/7 majfault [operator+(int)+0x3d] => {target} (d.)");
            let found = parse(text.as_bytes()).map(|line| line.what);
            let map = map.map(str::to_owned);
            assert_eq!(found, Some(What::Touch(Touch { major: true, addr, map, offset })), "{target}");
        }
    }
}
