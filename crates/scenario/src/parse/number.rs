//! One number: `4096`, `0x1000`, `010000`, `4K`.

use crate::diag::quoted;

/// Why a number has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NumberError {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// The value of a number in C's notation with an optional suffix, a power of 1024.
pub(super) fn number(text: &str) -> Result<u64, NumberError> {
    let (digits, shift) = split_suffix(text);
    let (radix, digits) = split_radix(digits);
    if digits.is_empty() {
        return Err(NumberError::new(format!("{} has no digits", quoted(text))));
    }
    let mut value = Some(0_u64);
    for c in digits.chars() {
        let digit = c.to_digit(radix).ok_or_else(|| bad_digit(text, c, radix))?;
        value = value
            .and_then(|value| value.checked_mul(u64::from(radix)))
            .and_then(|value| value.checked_add(u64::from(digit)));
    }
    value
        .and_then(|value| value.checked_mul(1 << shift))
        .ok_or_else(|| NumberError::new(format!("{} does not fit 64 bits", quoted(text))))
}

impl NumberError {
    fn new(message: String) -> Self {
        Self { message, help: None }
    }
}

fn split_suffix(text: &str) -> (&str, u32) {
    [('K', 10), ('M', 20), ('G', 30), ('T', 40)]
        .into_iter()
        .find_map(|(suffix, shift)| Some((text.strip_suffix(suffix)?, shift)))
        .unwrap_or((text, 0))
}

fn split_radix(digits: &str) -> (u32, &str) {
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return (16, hex);
    }
    match digits.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => (8, octal),
        _ => (10, digits),
    }
}

fn bad_digit(text: &str, digit: char, radix: u32) -> NumberError {
    let name = match radix {
        16 => "hexadecimal",
        8 => "octal",
        _ => "decimal",
    };
    let message = if digit.is_ascii_digit() {
        format!("{} in {} is no {name} digit", quoted(digit.encode_utf8(&mut [0; 4])), quoted(text))
    } else {
        format!("{} is not a number", quoted(text))
    };
    // A letter in a hexadecimal number is more likely a wrong digit than a suffix.
    let help = if radix == 16 { None } else { suffix_help(text) };
    NumberError { message, help }
}

/// What to write for a size in another notation: `4k`, `4KB`, `4KiB`.
fn suffix_help(text: &str) -> Option<String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let letter = match unit.to_ascii_uppercase().as_str() {
        "K" | "KB" | "KIB" => 'K',
        "M" | "MB" | "MIB" => 'M',
        "G" | "GB" | "GIB" => 'G',
        "T" | "TB" | "TIB" => 'T',
        _ => return None,
    };
    let count = text.strip_suffix(unit)?;
    Some(format!("write {}: K, M, G and T are powers of 1024", quoted(&format!("{count}{letter}"))))
}

#[cfg(test)]
mod tests {
    use super::number;

    fn message(text: &str) -> String {
        number(text).map_or_else(|error| error.message, |value| format!("value {value}"))
    }

    fn help(text: &str) -> Option<String> {
        number(text).err().and_then(|error| error.help)
    }

    #[test]
    fn notations() {
        let values = [
            ("0", 0),
            ("00", 0),
            ("4096", 4096),
            ("0x40000000", 0x4000_0000),
            ("0XfF", 0xff),
            ("010", 8),
            ("4K", 4096),
            ("010K", 8192),
            ("0x10M", 16 << 20),
            ("3G", 3 << 30),
            ("1T", 1 << 40),
            ("0T", 0),
            ("16777215T", 16_777_215 << 40),
            ("0xffffffffffffffff", u64::MAX),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, value) in values {
            assert_eq!(number(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit() {
        for text in ["16777216T", "18446744073709551616", "0x10000000000000000", "02000000000000000000000"] {
            assert_eq!(message(text), format!("`{text}` does not fit 64 bits"));
        }
    }

    #[test]
    fn what_is_no_number() {
        assert_eq!(message("0x"), "`0x` has no digits");
        assert_eq!(message("08"), "`8` in `08` is no octal digit");
        assert_eq!(message("1.5M"), "`1.5M` is not a number");
        assert_eq!(message("1_000"), "`1_000` is not a number");
        assert_eq!(message("4KK"), "`4KK` is not a number");
    }

    #[test]
    fn other_notations_of_sizes_get_help() {
        for text in ["4k", "4KB", "4KiB", "4kB"] {
            let wanted = "write `4K`: K, M, G and T are powers of 1024";
            assert_eq!(help(text).as_deref(), Some(wanted), "{text}");
        }
        assert_eq!(help("0x4g"), None);
        assert_eq!(help("010k").as_deref(), Some("write `010K`: K, M, G and T are powers of 1024"));
        assert_eq!(help("4x"), None);
        assert_eq!(help("1_000"), None);
    }
}
