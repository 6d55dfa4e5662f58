//! What is asked of a process that plays a scenario on a real kernel, and what it answers: one line of text each.
//!
//! The same lines go to a child process on the running kernel ([`crate::host`]) and to the guest program under QEMU
//! (`guest/guest.c`): a [`Call`]'s name and its arguments in hex, in its own order, and back
//!
//! ```text
//! = VALUE              the call returned this (hex)
//! ! ERRNO              it failed (decimal)
//! ~ SIGNAL CODE ADDR   the access got this signal (decimal), with this si_code (decimal) and address (hex)
//! ```

use ptelab_uapi::{Call, CallError, Errno, Form, Kind, Outcome, SigCode, SigInfo, Signal, Value};
use std::fmt::Write as _;

/// What is asked where a call is to be made; nothing where it has an argument that is not a number.
pub fn line(call: &Call) -> Option<String> {
    let mut line = call.name().to_owned();
    for value in call.values() {
        write!(line, " {:x}", number(&value)?).ok()?;
    }
    Some(line)
}

/// Arguments as a system call takes them; 0 where there is none.
pub fn numbers(call: &Call) -> [u64; 6] {
    let mut numbers = [0; 6];
    let given = call.values();
    numbers.iter_mut().zip(&given).for_each(|(at, value)| *at = number(value).unwrap_or(0));
    numbers
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(int) => Some(i64::from(*int) as u64),
        value => value.number(),
    }
}

/// The call that a line says, if it is one.
pub fn call(line: &str) -> Option<Call> {
    let mut words = line.split_ascii_whitespace();
    let form = Form::find(words.next()?)?;
    let mut values = Vec::new();
    for slot in form.params {
        let number = u64::from_str_radix(words.next()?, 16).ok()?;
        values.push(match slot.kind {
            Kind::Int(_) => Value::Int(i32::try_from(number as i64).ok()?),
            _ => Value::Number(number),
        });
    }
    if words.next().is_some() { None } else { (form.build)(values) }
}

/// What is answered. What only an emulated machine says is not an answer.
pub fn reply_line(outcome: Outcome) -> String {
    match outcome {
        Outcome::Value(value) => format!("= {value:x}"),
        Outcome::Mismatch(byte) => format!("= {byte:x}"),
        Outcome::Failed(CallError::Errno(errno)) => format!("! {}", errno.number()),
        Outcome::Failed(CallError::Signal(SigInfo { signal, code, addr })) => {
            format!("~ {} {} {addr:x}", signal.number(), code.0)
        }
        Outcome::Failed(other) => format!("? {other}"),
    }
}

/// What an answer says, if it is one.
pub fn reply(line: &str) -> Option<Outcome> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let hex = |word: &str| u64::from_str_radix(word, 16).ok();
    match words.as_slice() {
        ["=", value] => Some(Outcome::Value(hex(value)?)),
        ["!", errno] => Some(Outcome::Failed(CallError::Errno(Errno::from_number(errno.parse().ok()?)?))),
        ["~", signal, code, addr] => Some(Outcome::Failed(CallError::Signal(SigInfo {
            signal: Signal::from_number(signal.parse().ok()?),
            code: SigCode(code.parse().ok()?),
            addr: hex(addr)?,
        }))),
        _ => None,
    }
}

/// The answer of a system call of our own that failed.
#[cfg(target_os = "linux")]
pub(crate) fn failed(errno: i32) -> Outcome {
    let errno = u16::try_from(errno).ok().and_then(Errno::from_number).unwrap_or(Errno::EIO);
    Outcome::Failed(CallError::Errno(errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ptelab_uapi::{Access, MapFlags, Prot};

    #[test]
    fn lines_read_back() {
        let (prot, flags) = (Prot::READ, MapFlags::PRIVATE);
        let calls = [
            Call::Mmap { addr: u64::MAX, len: 1, prot, flags, fd: -1, offset: 4096 },
            Call::Touch { addr: 4096, len: 1, access: Access::Write },
            Call::Fork {},
        ];
        for made in calls {
            assert_eq!(line(&made).and_then(|line| call(&line)), Some(made));
        }
        let signal = SigInfo { signal: Signal::SEGV, code: SigCode::ACCERR, addr: 0x4000_0000 };
        let failed = [CallError::Errno(Errno::ENOMEM), CallError::Signal(signal)].map(Outcome::Failed);
        for outcome in failed.into_iter().chain([Outcome::Value(u64::MAX)]) {
            assert_eq!(reply(&reply_line(outcome)), Some(outcome));
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for text in ["", "frobnicate", "munmap x 1", "munmap 1", "munmap 1 2 3", "dump 1 2 3"] {
            assert_eq!(call(text), None, "{text}");
        }
        for text in ["", "=", "= x", "! y", "! 4000", "~ 11", "? 1"] {
            assert_eq!(reply(text), None, "{text}");
        }
    }
}
