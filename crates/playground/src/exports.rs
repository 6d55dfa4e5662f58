//! What a page calls, where this is WebAssembly: it writes a question into memory, and reads the answer there.
#![expect(unsafe_code, reason = "an exported name is `unsafe` in itself; nothing here is")]

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The question, and then its answer.
static TEXT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn text() -> MutexGuard<'static, Vec<u8>> {
    TEXT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a question of so many bytes is to be written.
#[unsafe(no_mangle)]
extern "C" fn room(len: usize) -> *const u8 {
    let mut text = text();
    *text = vec![0; len];
    text.as_ptr()
}

/// Answers the question; says how many bytes that took.
#[unsafe(no_mangle)]
extern "C" fn answer() -> usize {
    let ask = std::mem::take(&mut *text());
    let answer = crate::answer(&String::from_utf8_lossy(&ask));
    let len = answer.len();
    *text() = answer.into_bytes();
    len
}

/// Where the answer stands.
#[unsafe(no_mangle)]
extern "C" fn answered() -> *const u8 {
    text().as_ptr()
}
