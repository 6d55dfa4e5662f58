//! The calls: their names, their parameters and how each is made of its arguments.

use crate::call::{Access, Call, Switch, ThpKey, ThpMode, Timing};
use crate::diag::quoted;

use super::args::Args;
use super::expr::{ADVICE, CATEGORIES, FEATURES, MAPPING, MOVING, OFFSET, PROTECTION, SCANNING, Want};

/// One call that can be written.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) name: &'static str,
    /// The parameters as a message shows them.
    pub(super) parameters: &'static str,
    pub(super) build: fn(&mut Args<'_, '_>) -> Option<Call>,
}

/// All calls, in the order in which a message lists them.
pub(super) const FORMS: [Form; 31] = [
    form("mmap", "addr, len, prot, flags, fd, offset", mmap),
    form("munmap", "addr, len", munmap),
    form("mprotect", "addr, len, prot", mprotect),
    form("madvise", "addr, len, advice", madvise),
    form("mremap", "old_addr, old_len, new_len, flags[, new_addr]", mremap),
    form("memset", "addr, byte, len", memset),
    form("explicit_bzero", "addr, len", explicit_bzero),
    form("touch", "addr, len, access", touch),
    form("check", "addr, byte", check),
    form("fork", "", fork),
    form("exit_group", "status", exit_group),
    form("thp", "size, mode", thp),
    form("clear_refs", "what", clear_refs),
    form("uffd", "addr, len, features", uffd),
    form("uffd_unregister", "addr, len", uffd_unregister),
    form("uffd_wp", "addr, len, switch", uffd_wp),
    form("uffd_poison", "addr, len", uffd_poison),
    form("pagemap_scan", "addr, len, flags, mask, return[, max_pages]", pagemap_scan),
    form("reclaim", "addr, len", reclaim),
    form("split_folio", "addr, order", split_folio),
    form("numa", "nodes", numa),
    form("numa_alloc", "node", numa_alloc),
    form("numa_scan", "addr, len", numa_scan),
    form("swapon", "size", swapon),
    form("migrate_begin", "addr, len", migrate_begin),
    form("migrate_end", "addr, len", migrate_end),
    form("device_private", "addr, len", device_private),
    form("device_exclusive", "addr", device_exclusive),
    form("hwpoison", "addr", hwpoison),
    form("dump", "addr, len, name", dump),
    form("time", "switch", time),
];

const BYTE: Want = Want::plain("a byte", "a byte, 0 to 255");
const CLEAR_REFS: Want = Want::plain("what clear_refs knows", "1 to 5, of which 4 clears soft-dirty");
const NODES: Want = Want::plain("a number of nodes", "a number of nodes, 1 to 64");
const NODE: Want = Want::plain("a node", "a node, 0 to 63, or 64 for the local one");

const THP_SIZE: &str = "a size as sysfs names it, as in `\"64kB\"`, or `\"enabled\"`";
const THP_MODE: &str = "`\"always\"`, `\"madvise\"`, `\"inherit\"` or `\"never\"`";
const GLOBAL_THP_MODE: &str = "`\"always\"`, `\"madvise\"` or `\"never\"`";
const ACCESS: &str = "`READ` or `WRITE`";
const MAX_PAGES: Want = Want::plain("a number of pages", "a number of pages, or 0 for no limit");
const ORDER: Want = Want::plain("an order", "the order of a folio, as in `2` for four pages");
const SWITCH: &str = "`on` or `off`";
const TIMING: &str = "`\"on\"` or `\"off\"`";

const fn form(
    name: &'static str,
    parameters: &'static str,
    build: fn(&mut Args<'_, '_>) -> Option<Call>,
) -> Form {
    Form { name, parameters, build }
}

fn mmap(args: &mut Args<'_, '_>) -> Option<Call> {
    let addr = args.address("addr");
    let len = args.length("len");
    let prot = args.number("prot", &PROTECTION);
    let flags = args.number("flags", &MAPPING);
    let fd = args.int("fd", "a file descriptor, as in `-1`");
    let offset = args.number("offset", &OFFSET);
    Some(Call::Mmap { addr: addr?, len: len?, prot: prot?, flags: flags?, fd: fd?, offset: offset? })
}

fn munmap(args: &mut Args<'_, '_>) -> Option<Call> {
    let (addr, len) = range(args);
    Some(Call::Munmap { addr: addr?, len: len? })
}

fn mprotect(args: &mut Args<'_, '_>) -> Option<Call> {
    let (addr, len) = range(args);
    let prot = args.number("prot", &PROTECTION);
    Some(Call::Mprotect { addr: addr?, len: len?, prot: prot? })
}

fn madvise(args: &mut Args<'_, '_>) -> Option<Call> {
    let (addr, len) = range(args);
    let advice = args.number("advice", &ADVICE);
    Some(Call::Madvise { addr: addr?, len: len?, advice: advice? })
}

fn mremap(args: &mut Args<'_, '_>) -> Option<Call> {
    let old_addr = args.address("old_addr");
    let old_len = args.length("old_len");
    let new_len = args.length("new_len");
    let flags = args.number("flags", &MOVING);
    let new_addr = args.optional_address("new_addr");
    Some(Call::Mremap {
        old_addr: old_addr?,
        old_len: old_len?,
        new_len: new_len?,
        flags: flags?,
        new_addr: new_addr?,
    })
}

fn memset(args: &mut Args<'_, '_>) -> Option<Call> {
    let addr = args.address("addr");
    let byte = args.bounded("byte", &BYTE, &(0..=255));
    let len = args.length("len");
    Some(Call::Memset { addr: addr?, byte: byte?, len: len? })
}

fn explicit_bzero(args: &mut Args<'_, '_>) -> Option<Call> {
    let (addr, len) = range(args);
    Some(Call::ExplicitBzero { addr: addr?, len: len? })
}

fn touch(args: &mut Args<'_, '_>) -> Option<Call> {
    let (addr, len) = range(args);
    let words = [Access::Read, Access::Write].map(|access| (access.name(), access));
    let access = args.word("access", ACCESS, &words);
    Some(Call::Touch { addr: addr?, len: len?, access: access? })
}

fn check(args: &mut Args<'_, '_>) -> Option<Call> {
    let addr = args.address("addr");
    let byte = args.bounded("byte", &BYTE, &(0..=255));
    Some(Call::Check { addr: addr?, byte: byte? })
}

#[expect(clippy::unnecessary_wraps, reason = "has the type that every call's function has")]
fn fork(_: &mut Args<'_, '_>) -> Option<Call> {
    Some(Call::Fork)
}

fn exit_group(args: &mut Args<'_, '_>) -> Option<Call> {
    let status = args.int("status", "an exit status, as in `0`")?;
    Some(Call::ExitGroup { status })
}

fn thp(args: &mut Args<'_, '_>) -> Option<Call> {
    let size = args.text("size", THP_SIZE);
    let size = size.and_then(|text| thp_key(args, &text));
    let words = ThpMode::ALL.map(|mode| (mode.name(), mode));
    let mode = args.quoted_word("mode", THP_MODE, &words);
    if let (Some(ThpKey::Enabled), Some(ThpMode::Inherit)) = (size, mode) {
        let message = "the switch itself has nothing to inherit from".to_owned();
        args.wrong(message, GLOBAL_THP_MODE, None);
        return None;
    }
    Some(Call::Thp { size: size?, mode: mode? })
}

fn clear_refs(args: &mut Args<'_, '_>) -> Option<Call> {
    let what = args.bounded("what", &CLEAR_REFS, &(1..=5))?;
    Some(Call::ClearRefs { what })
}

fn uffd(args: &mut Args<'_, '_>) -> Option<Call> {
    let (addr, len) = range(args);
    let features = args.number("features", &FEATURES);
    Some(Call::Uffd { addr: addr?, len: len?, features: features? })
}

fn uffd_unregister(args: &mut Args<'_, '_>) -> Option<Call> {
    let (addr, len) = range(args);
    Some(Call::UffdUnregister { addr: addr?, len: len? })
}

fn uffd_wp(args: &mut Args<'_, '_>) -> Option<Call> {
    let (addr, len) = range(args);
    let words = [Switch::On, Switch::Off].map(|switch| (switch.name(), switch));
    let how = args.word("switch", SWITCH, &words);
    Some(Call::UffdWp { addr: addr?, len: len?, how: how? })
}

fn uffd_poison(args: &mut Args<'_, '_>) -> Option<Call> {
    let (addr, len) = range(args);
    Some(Call::UffdPoison { addr: addr?, len: len? })
}

fn pagemap_scan(args: &mut Args<'_, '_>) -> Option<Call> {
    let (addr, len) = range(args);
    let flags = args.number("flags", &SCANNING);
    let mask = args.number("mask", &CATEGORIES);
    let returned = args.number("return", &CATEGORIES);
    let max_pages = args.optional_number("max_pages", &MAX_PAGES);
    Some(Call::PagemapScan {
        addr: addr?,
        len: len?,
        flags: flags?,
        mask: mask?,
        returned: returned?,
        max_pages: max_pages?,
    })
}

fn reclaim(args: &mut Args<'_, '_>) -> Option<Call> {
    let (addr, len) = range(args);
    Some(Call::Reclaim { addr: addr?, len: len? })
}

fn split_folio(args: &mut Args<'_, '_>) -> Option<Call> {
    let addr = args.address("addr");
    let order = args.bounded("order", &ORDER, &(0..=63));
    Some(Call::SplitFolio { addr: addr?, order: order? })
}

fn numa(args: &mut Args<'_, '_>) -> Option<Call> {
    let nodes = args.bounded("nodes", &NODES, &(1..=64))?;
    Some(Call::Numa { nodes })
}

fn numa_alloc(args: &mut Args<'_, '_>) -> Option<Call> {
    let node = args.bounded("node", &NODE, &(0..=64))?;
    Some(Call::NumaAlloc { node })
}

fn numa_scan(args: &mut Args<'_, '_>) -> Option<Call> {
    let (addr, len) = range(args);
    Some(Call::NumaScan { addr: addr?, len: len? })
}

fn swapon(args: &mut Args<'_, '_>) -> Option<Call> {
    let size = args.length("size")?;
    Some(Call::Swapon { size })
}

fn migrate_begin(args: &mut Args<'_, '_>) -> Option<Call> {
    let (addr, len) = range(args);
    Some(Call::MigrateBegin { addr: addr?, len: len? })
}

fn migrate_end(args: &mut Args<'_, '_>) -> Option<Call> {
    let (addr, len) = range(args);
    Some(Call::MigrateEnd { addr: addr?, len: len? })
}

fn device_private(args: &mut Args<'_, '_>) -> Option<Call> {
    let (addr, len) = range(args);
    Some(Call::DevicePrivate { addr: addr?, len: len? })
}

fn device_exclusive(args: &mut Args<'_, '_>) -> Option<Call> {
    let addr = args.address("addr")?;
    Some(Call::DeviceExclusive { addr })
}

fn hwpoison(args: &mut Args<'_, '_>) -> Option<Call> {
    let addr = args.address("addr")?;
    Some(Call::Hwpoison { addr })
}

fn dump(args: &mut Args<'_, '_>) -> Option<Call> {
    let (addr, len) = range(args);
    let name = args.text("name", "a name in quotes, as in `\"after\"`");
    Some(Call::Dump { addr: addr?, len: len?, name: name? })
}

fn time(args: &mut Args<'_, '_>) -> Option<Call> {
    let words = [Timing::On, Timing::Off].map(|timing| (timing.name(), timing));
    let on = args.quoted_word("switch", TIMING, &words)?;
    Some(Call::Time { on })
}

/// The two arguments that most calls begin with.
fn range(args: &mut Args<'_, '_>) -> (Option<u64>, Option<u64>) {
    (args.address("addr"), args.length("len"))
}

fn thp_key(args: &mut Args<'_, '_>, text: &str) -> Option<ThpKey> {
    if text == "enabled" {
        return Some(ThpKey::Enabled);
    }
    let key = text.strip_suffix("kB").and_then(kilobytes).map(ThpKey::Kb);
    if key.is_none() {
        let help = thp_key_help(text).or_else(|| args.did_you_mean(text, "enabled"));
        args.wrong(format!("{} is not the name of a size", quoted(text)), THP_SIZE, help);
    }
    key
}

/// Decimal, without a zero in front: sysfs has no other names.
fn kilobytes(digits: &str) -> Option<u64> {
    let is_canonical = digits == "0" || !digits.starts_with(['0', '+']);
    digits.parse().ok().filter(|_| is_canonical)
}

/// What to write for `64K`, `64KB`, `2M` ...
fn thp_key_help(text: &str) -> Option<String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let factor = match unit.to_ascii_uppercase().as_str() {
        "K" | "KB" | "KIB" => 1,
        "M" | "MB" | "MIB" => 1024,
        "G" | "GB" | "GIB" => 1024 * 1024,
        _ => return None,
    };
    let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
    Some(format!("write `\"{}kB\"`", count.checked_mul(factor)?))
}
