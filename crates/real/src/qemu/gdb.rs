//! As much of GDB's remote protocol as it takes to read registers of a machine that QEMU runs.

use super::guests::{Order, Place};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The stub of a machine that runs.
#[derive(Debug)]
pub(super) struct Gdb {
    stream: UnixStream,
    received: Vec<u8>,
    /// Of bytes in registers and in the memory of programs.
    order: Order,
    /// Numbers of registers, by name.
    registers: Vec<(String, u64)>,
}

impl Gdb {
    /// Connects to the stub; the machine stands still meanwhile.
    pub(super) fn connect(socket: &Path, order: Order) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut gdb = Self { stream, received: Vec::new(), order, registers: Vec::new() };
        gdb.ask("qSupported:xmlRegisters=i386,arm;qXfer:features:read+")?;
        gdb.send("?")?;
        gdb.receive()?;
        gdb.registers = gdb.numbers()?;
        gdb.go()?;
        Ok(gdb)
    }

    /// Stops the machine.
    pub(super) fn stop(&mut self) -> io::Result<()> {
        self.stream.write_all(&[3])?;
        while !self.receive()?.starts_with(b"T0") {}
        Ok(())
    }

    /// Lets the machine go on.
    pub(super) fn go(&mut self) -> io::Result<()> {
        self.send("c")
    }

    /// What the machine says of itself at a place.
    pub(super) fn at(&mut self, place: Place) -> io::Result<u64> {
        match place {
            Place::Register(name) => self.register(name),
            Place::Monitor(name) => {
                let said = self.monitor("info registers")?;
                after(&said, name).ok_or_else(|| io::Error::other(format!("the monitor says no {name}")))
            }
            Place::ProcessTable => Err(io::Error::other("a table in memory is no register")),
        }
    }

    /// The lowest 64 bits of a register.
    fn register(&mut self, name: &str) -> io::Result<u64> {
        let known = self.registers.iter().find(|(known, _)| known == name);
        let number = known.map(|(_, number)| *number);
        let number = number.ok_or_else(|| io::Error::other(format!("no register {name}")))?;
        self.ask(&format!("p{number:x}")).and_then(|digits| word(&digits, self.order))
    }

    /// The word at an address of the process that runs; nothing where it has none there.
    pub(super) fn word(&mut self, addr: u64) -> io::Result<Option<u64>> {
        self.ask(&format!("m{addr:x},8")).map(|digits| word(&digits, self.order).ok())
    }

    /// What the machine's monitor says to a command.
    fn monitor(&mut self, command: &str) -> io::Result<String> {
        let mut packet = "qRcmd,".to_owned();
        for byte in command.bytes() {
            write!(packet, "{byte:02x}").map_err(io::Error::other)?;
        }
        self.send(&packet)?;
        let mut said = Vec::new();
        loop {
            let answer = self.receive()?;
            match answer.split_first() {
                _ if answer == b"OK" || answer.is_empty() => break,
                _ if answer.starts_with(b"T0") => {}
                Some((b'O', digits)) => said.extend(hex(digits)?),
                _ => {
                    said.extend(hex(&answer)?);
                    break;
                }
            }
        }
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// The numbers of registers, by their names in the stub's description of the machine.
    fn numbers(&mut self) -> io::Result<Vec<(String, u64)>> {
        let target = self.description("target.xml")?;
        let mut registers = Vec::new();
        let mut next = 0;
        for part in target.split("<xi:include").skip(1) {
            let Some(file) = attribute(part, "href") else { continue };
            let text = without_comments(&self.description(file)?);
            for register in text.split("<reg ").skip(1) {
                let number = attribute(register, "regnum").and_then(|number| number.parse().ok());
                let number = number.unwrap_or(next);
                next = number + 1;
                registers.extend(attribute(register, "name").map(|name| (name.to_owned(), number)));
            }
        }
        Ok(registers)
    }

    /// A file of the stub's description of the machine.
    fn description(&mut self, file: &str) -> io::Result<String> {
        let mut text = String::new();
        loop {
            let part = self.ask(&format!("qXfer:features:read:{file}:{:x},7f0", text.len()))?;
            let part = String::from_utf8_lossy(&part).into_owned();
            let (kind, part) = part.split_at_checked(1).ok_or(io::ErrorKind::InvalidData)?;
            text.push_str(part);
            match kind {
                "m" => {}
                "l" => return Ok(text),
                _ => return Err(io::Error::other(format!("no description {file}: {kind}{part}"))),
            }
        }
    }

    /// Asks, and passes over notes that the machine stopped.
    fn ask(&mut self, packet: &str) -> io::Result<Vec<u8>> {
        self.send(packet)?;
        loop {
            let answer = self.receive()?;
            if !answer.starts_with(b"T0") {
                return Ok(answer);
            }
        }
    }

    fn send(&mut self, packet: &str) -> io::Result<()> {
        let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
        write!(self.stream, "${packet}#{sum:02x}")
    }

    /// The next packet, acknowledged.
    fn receive(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some((packet, len)) = first_packet(&self.received) {
                let packet = packet.to_vec();
                self.received.drain(..len);
                self.stream.write_all(b"+")?;
                return Ok(packet);
            }
            let mut bytes = [0; 8 << 10];
            match self.stream.read(&mut bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.received.extend(&bytes[..n]),
            }
        }
    }
}

/// The number that bytes are, of which those above the lowest eight do not count.
fn word(digits: &[u8], order: Order) -> io::Result<u64> {
    let mut bytes = hex(digits)?;
    if order == Order::Big {
        bytes.reverse();
    }
    Ok(bytes.iter().take(8).rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
}

/// The number in hex after a name in a text.
fn after(text: &str, name: &str) -> Option<u64> {
    let mut words =
        text.split(|c: char| c.is_whitespace() || c == '=' || c == ':').filter(|word| !word.is_empty());
    words.find(|word| *word == name)?;
    u64::from_str_radix(words.next()?.trim_start_matches("0x"), 16).ok()
}

/// The text of the first whole packet, `$TEXT#SUM`, and how many bytes end with it.
fn first_packet(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let start = bytes.iter().position(|&byte| byte == b'$')? + 1;
    let len = bytes[start..].iter().position(|&byte| byte == b'#')?;
    let end = start + len + 3;
    (bytes.len() >= end).then(|| (&bytes[start..start + len], end))
}

/// XML without its comments: some hold registers that there are not.
fn without_comments(text: &str) -> String {
    let mut parts = text.split("<!--");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.filter_map(|part| part.split_once("-->")).fold(first, |all, (_, rest)| all + rest)
}

/// The value of an attribute in the tag that `text` begins in.
fn attribute<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let tag = text.split('>').next()?;
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    rest.split('"').next()
}

/// Bytes from their digits; an error of the stub has none.
fn hex(digits: &[u8]) -> io::Result<Vec<u8>> {
    let text = String::from_utf8_lossy(digits);
    let bad = || io::Error::other(format!("QEMU's gdb stub said {text:?}"));
    if !digits.len().is_multiple_of(2) {
        return Err(bad());
    }
    let pairs = digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()));
    pairs.collect::<Option<_>>().ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_cut_out() {
        assert_eq!(first_packet(b"+$OK#9a$T05#b9"), Some((&b"OK"[..], 7)));
        assert_eq!(first_packet(b"+$OK#9"), None);
        assert_eq!(first_packet(b"++"), None);
    }

    #[test]
    fn attributes_are_those_of_their_tag() {
        assert_eq!(attribute("name=\"cr3\" regnum=\"30\"/><reg name=\"x\"/>", "regnum"), Some("30"));
        assert_eq!(attribute("name=\"cr3\"/><reg regnum=\"7\"/>", "regnum"), None);
    }

    #[test]
    fn comments_are_left_out() {
        assert_eq!(without_comments("a<!-- b --><c/><!--d-->e"), "a<c/>e");
        assert_eq!(without_comments("<a/>"), "<a/>");
    }

    #[test]
    fn numbers_are_in_their_order() {
        for (order, number) in [(Order::Little, 0x0807_0605_0403_0201), (Order::Big, 0x0203_0405_0607_0809)] {
            assert_eq!(word(b"010203040506070809", order).ok(), Some(number));
        }
        assert_eq!(after("CRMD  b0, PRMD=1\nPGDL 0x90ab0 ", "PGDL"), Some(0x9_0ab0));
    }

    #[test]
    fn errors_of_the_stub_are_no_bytes() {
        assert_eq!(hex(b"0aff").ok(), Some(vec![10, 255]));
        assert!(hex(b"E14").is_err() && hex(b"zz").is_err());
    }
}
