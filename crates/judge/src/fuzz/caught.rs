//! Panics of what is judged: they are finds, and told as such.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static IS_JUDGED: Cell<bool> = const { Cell::new(false) };
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs it. A panic is not printed: it is returned, what it says and where it stands in the code.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| if IS_JUDGED.get() { keep(panic) } else { usual(panic) }));
    });
    let outer = IS_JUDGED.replace(true);
    let ran = catch_unwind(AssertUnwindSafe(run));
    IS_JUDGED.set(outer);
    ran.map_err(|_| SAID.take())
}

fn keep(panic: &PanicHookInfo<'_>) {
    let text = panic.payload().downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.payload().downcast_ref().map(String::as_str)).unwrap_or("it panics");
    let place = panic.location().map_or_else(String::new, |place| format!(", at {place}"));
    SAID.replace(format!("{text}{place}"));
}

#[cfg(test)]
mod tests {
    use super::caught;

    #[test]
    fn a_panic_is_told_with_its_place() {
        let said = caught(|| -> u8 { panic!("table {} is gone", 3) }).unwrap_err();
        assert!(said.starts_with("table 3 is gone, at ") && said.contains("caught.rs:"), "{said}");
        assert_eq!(caught(|| 7), Ok(7));
    }
}
