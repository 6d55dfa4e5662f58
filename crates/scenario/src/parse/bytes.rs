//! Scenarios that may not even be text.

use crate::ast::Scenario;
use crate::diag::{Diagnostic, Diagnostics, Sink, quoted};

use super::parse_into;

/// Parses a file's content; `name` is what messages call the file.
///
/// # Errors
///
/// All mistakes as from [`parse`](super::parse). Where a line is not UTF-8, its first wrong byte
/// is reported with its offset and nothing else of that line; spans are then those in
/// [`String::from_utf8_lossy`] of the bytes. Of a file that is no text at all only the first
/// wrong byte is reported.
pub fn parse_bytes(name: &str, bytes: &[u8]) -> Result<Scenario, Diagnostics> {
    if let Ok(source) = str::from_utf8(bytes) {
        return parse_into(source, Sink::default());
    }
    let decoded = Decoded::new(bytes);
    if bytes.contains(&0) {
        return decoded.not_text(name, bytes);
    }
    let mut sink = Sink::default();
    for wrong in &decoded.wrong {
        sink.report(wrong.mistake());
    }
    if sink.is_full() {
        // The lines with more to say could not be told from those counted already.
        return sink.finish(&decoded.text, Scenario::default());
    }
    let mut result = parse_into(&decoded.text, sink);
    if let Err(diagnostics) = &mut result {
        keep_one_a_line(&decoded, diagnostics);
    }
    result
}

/// Bytes as text, with a replacement character for each part that is none.
struct Decoded {
    text: String,
    /// The first part of each line that is not UTF-8.
    wrong: Vec<Wrong>,
}

struct Wrong {
    /// Where the replacement character stands in the text.
    at: usize,
    /// Where the wrong byte stands in the file.
    offset: usize,
    byte: u8,
}

impl Wrong {
    fn mistake(&self) -> Diagnostic {
        let message = format!("byte {:#04x} at offset {} is not UTF-8", self.byte, self.offset);
        let span = self.at..self.at + char::REPLACEMENT_CHARACTER.len_utf8();
        Diagnostic::new(span, message).expected("UTF-8 text")
    }
}

impl Decoded {
    fn new(bytes: &[u8]) -> Self {
        let mut decoded = Self { text: String::with_capacity(bytes.len()), wrong: Vec::new() };
        let mut offset = 0;
        let mut is_new_line = true;
        for chunk in bytes.utf8_chunks() {
            is_new_line |= chunk.valid().contains('\n');
            decoded.text.push_str(chunk.valid());
            offset += chunk.valid().len();
            if let Some(&byte) = chunk.invalid().first() {
                if is_new_line {
                    decoded.wrong.push(Wrong { at: decoded.text.len(), offset, byte });
                }
                is_new_line = false;
                decoded.text.push(char::REPLACEMENT_CHARACTER);
                offset += chunk.invalid().len();
            }
        }
        decoded
    }

    fn not_text(&self, name: &str, bytes: &[u8]) -> Result<Scenario, Diagnostics> {
        let mut sink = Sink::default();
        let is_utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
        let help = if is_utf16 {
            "this looks like UTF-16: save the file as UTF-8".to_owned()
        } else {
            format!("{} looks like a binary file", quoted(name))
        };
        if let Some(wrong) = self.wrong.first() {
            sink.report(wrong.mistake().help(help));
        }
        sink.finish(&self.text, Scenario::default())
    }
}

/// Drops what the parser says about lines that are not UTF-8: it saw replacement characters.
fn keep_one_a_line(decoded: &Decoded, diagnostics: &mut Diagnostics) {
    let is_wrong =
        |item: &Diagnostic| decoded.wrong.binary_search_by_key(&item.span.start, |wrong| wrong.at).is_ok();
    let lines: Vec<u32> =
        diagnostics.items.iter().filter(|item| is_wrong(item)).map(|item| item.line).collect();
    let mut last_kept = 0;
    diagnostics.items.retain(|item| {
        if lines.binary_search(&item.line).is_err() {
            return true;
        }
        let is_kept = is_wrong(item) && last_kept != item.line;
        if is_kept {
            last_kept = item.line;
        }
        is_kept
    });
}
