//! Lines of tracepoints, as `trace-cmd report`, `perf script` and the kernel's own trace file print them:
//! `cat-1234 [001] 100.5: sys_enter_munmap: addr: 0x7f0000000000, len: 0x1000`.

/// A line, as far as it is read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tracepoint<'a> {
    pub(super) pid: u32,
    /// In seconds.
    pub(super) time: f64,
    pub(super) what: Event<'a>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event<'a> {
    /// A call begins: its name, and its text up to the parenthesis that ends it.
    Enter(&'a str, Vec<u8>),
    /// A call returns: what follows its arguments.
    Exit(&'a str, String),
    /// A page fault of a program.
    Fault(u64),
    /// Another tracepoint, by its name.
    Other(&'a str),
}

/// Reads a line.
pub(super) fn parse(line: &[u8]) -> Option<Tracepoint<'_>> {
    let line = std::str::from_utf8(line).ok()?.trim();
    let (time_at, time, rest) = time(line)?;
    let pid = task(&line[..time_at])?;
    Some(Tracepoint { pid, time, what: event(rest.trim_start())? })
}

/// The first word that is a time with a colon behind it: where it is, and what follows.
fn time(line: &str) -> Option<(usize, f64, &str)> {
    line.match_indices(": ").find_map(|(end, _)| {
        let start = line[..end].rfind(' ')? + 1;
        let word = &line[start..end];
        let is_time = word.contains('.') && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        Some((start, word.parse().ok().filter(|_| is_time)?, &line[end + 2..]))
    })
}

/// The thread before the CPU in brackets: `cat-1234`, `cat  1234`, `cat 1234/1235`, with `( 1234)` behind it or not.
fn task(text: &str) -> Option<u32> {
    let text = text.rsplit_once('[').map_or(text, |(task, _)| task).trim_end();
    let text = text.strip_suffix(')').and_then(|text| text.rsplit_once('(')).map_or(text, |(task, _)| task);
    let text = text.trim_end();
    text[text.rfind(|c: char| !c.is_ascii_digit())? + 1..].parse().ok()
}

fn event(text: &str) -> Option<Event<'_>> {
    // Up to the end of the name, which may have that of its system before it.
    let counted = text.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
    if let Some((kind, addr)) = counted.split_once("-faults:")
        && ["page", "minor", "major"].contains(&kind)
    {
        // With a count before it, what follows is where the program was.
        let addr = u64::from_str_radix(addr.split_whitespace().next()?, 16).ok().filter(|_| counted == text);
        return Some(addr.map_or(Event::Other("page-faults"), Event::Fault));
    }
    let bare = ["syscalls:", "raw_syscalls:", "exceptions:", "tlb:"];
    let text = bare.iter().find_map(|system| text.strip_prefix(system)).unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    let (name, rest) = text.split_at(end);
    let after = rest.strip_prefix(':').map(str::trim);
    if let (Some(name), Some(args)) = (name.strip_prefix("sys_enter_"), after) {
        return Some(Event::Enter(name, entered(name, args, "")));
    }
    if let (Some(name), Some(value)) = (name.strip_prefix("sys_exit_"), after) {
        return Some(Event::Exit(name, returned(value)?));
    }
    if let Some(name) = name.strip_prefix("sys_") {
        if let Some(value) = rest.strip_prefix(" -> ") {
            return Some(Event::Exit(name, returned(value)?));
        }
        let args = rest.strip_prefix('(')?.strip_suffix(')')?;
        // Kernels up to 6.17 print hexadecimal numbers without a prefix; later ones have one, or a single digit.
        return Some(Event::Enter(name, entered(name, args, "0x")));
    }
    let fields = after?;
    if name != "page_fault_user" {
        return Some(Event::Other(name));
    }
    let (_, address) = fields.split_once("address=")?;
    let address = address.split_whitespace().next()?.trim_start_matches("0x");
    // perf prints the name of what lies at an address behind it, or in its place.
    u64::from_str_radix(address, 16).ok().map(Event::Fault)
}

/// `munmap(addr: 0x7f0000000000, len: 0x1000`, numbers with their prefix.
fn entered(name: &str, args: &str, prefix: &str) -> Vec<u8> {
    let args = args.split(", ").filter(|arg| !arg.is_empty()).map(|arg| match arg.split_once(": ") {
        Some(("fd", value)) if value.trim_start_matches("0x").trim_start_matches('f').is_empty() => {
            "fd: -1".to_owned()
        }
        Some((name, value)) if value.starts_with("0x") => format!("{name}: {value}"),
        Some((name, value)) => format!("{name}: {prefix}{value}"),
        None => arg.to_owned(),
    });
    format!("{name}({}", args.collect::<Vec<_>>().join(", ")).into_bytes()
}

/// `) = 0x7f0000000000`, `) = -12`
fn returned(value: &str) -> Option<String> {
    let word = value.split_whitespace().next()?;
    let value = match word.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()? as i64,
        None => word.parse().ok()?,
    };
    Some(if (-4095..0).contains(&value) { format!(") = {value}") } else { format!(") = {value:#x}") })
}

#[cfg(test)]
mod tests {
    use super::{Event, parse};

    #[test]
    fn a_call_in_each_form() {
        for line in [
            "   cat-1234  [001]   100.500000: sys_enter_munmap:     addr: 0x7f0000000000, len: 0x00001000",
            "cat  1234 [001]   100.500000:     syscalls:sys_enter_munmap: addr: 0x7f0000000000, len: 0x00001000",
            "cat 77/1234 [001] 100.500000: syscalls:sys_enter_munmap: addr: 0x7f0000000000, len: 0x00001000",
            "  a b-c-1234 (   1234) [001] ..... 100.500000: sys_munmap(addr: 7f0000000000, len: 00001000)",
            "            cat-1234    [001] .N... 100.500000: sys_munmap(addr: 0x7f0000000000, len: 0x00001000)",
        ] {
            let found = parse(line.as_bytes()).expect(line);
            assert_eq!((found.pid, found.time), (1234, 100.5), "{line}");
            let text = b"munmap(addr: 0x7f0000000000, len: 0x00001000".to_vec();
            assert_eq!(found.what, Event::Enter("munmap", text), "{line}");
        }
    }

    #[test]
    fn results_and_page_faults() {
        for (text, what) in [
            ("sys_exit_mmap: 0x7f0000000000", Event::Exit("mmap", ") = 0x7f0000000000".to_owned())),
            ("sys_exit_mmap:  0xfffffffffffffff4", Event::Exit("mmap", ") = -12".to_owned())),
            ("sys_mmap -> 0xfffffffffffffff4", Event::Exit("mmap", ") = -12".to_owned())),
            ("page_fault_user: address=0x7f0000001234 ip=0x1 error_code=0x6", Event::Fault(0x7f00_0000_1234)),
            ("page-faults:     55bbca5d05c0", Event::Fault(0x55bb_ca5d_05c0)),
            ("      1 page-faults:  ffffffff817554ea elf_load+0x28a", Event::Other("page-faults")),
            ("tlb:tlb_flush: pages:4 reason:remote shootdown (1)", Event::Other("tlb_flush")),
        ] {
            let line = format!("cat-7 [000] 1.5: {text}");
            assert_eq!(parse(line.as_bytes()).map(|line| line.what), Some(what), "{text}");
        }
        for line in
            ["", "cpus=2", "cat-7 [000] 1.5 sys_exit_mmap: 0x0", "[000] 1.5: sys_exit_mmap: 0x0", "a: b"]
        {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }
}
