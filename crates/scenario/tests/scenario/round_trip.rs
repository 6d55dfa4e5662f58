//! What is printed reads back to the same scenario.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use ptelab_scenario::{
    Access, Call, Errno, Expect, Item, Line, Repeat, Scenario, Signal, Switch, ThpKey, ThpMode, Timing, parse,
};

/// Numbers near to what programs use as often as any.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..100_u64,
        (0..1_u64 << 20).prop_map(|n| n << 12),
        (0..64_u32).prop_map(|n| 1 << n),
        any::<u64>()
    ]
}

fn comment() -> impl Strategy<Value = String> {
    "[ \\t]?([^\\pC]([^\\pC]|[ \\t])*[^\\pC\\pZ])?"
        .prop_map(|text| text.trim_end_matches([' ', '\t']).to_owned())
}

fn mapping() -> impl Strategy<Value = Call> {
    prop_oneof![
        (number(), number(), number(), number(), any::<i32>(), number()).prop_map(
            |(addr, len, prot, flags, fd, offset)| Call::Mmap { addr, len, prot, flags, fd, offset }
        ),
        (number(), number()).prop_map(|(addr, len)| Call::Munmap { addr, len }),
        (number(), number(), number()).prop_map(|(addr, len, prot)| Call::Mprotect { addr, len, prot }),
        (number(), number(), number()).prop_map(|(addr, len, advice)| Call::Madvise { addr, len, advice }),
        (number(), number(), number(), number(), number()).prop_map(
            |(old_addr, old_len, new_len, flags, new_addr)| {
                Call::Mremap { old_addr, old_len, new_len, flags, new_addr }
            }
        ),
    ]
}

fn access() -> impl Strategy<Value = Call> {
    let access = select(&[Access::Read, Access::Write]);
    prop_oneof![
        (number(), any::<u8>(), number()).prop_map(|(addr, byte, len)| Call::Memset { addr, byte, len }),
        (number(), number()).prop_map(|(addr, len)| Call::ExplicitBzero { addr, len }),
        (number(), number(), access).prop_map(|(addr, len, access)| Call::Touch { addr, len, access }),
        (number(), any::<u8>()).prop_map(|(addr, byte)| Call::Check { addr, byte }),
    ]
}

fn thp() -> impl Strategy<Value = Call> {
    let size = prop_oneof![Just(ThpKey::Enabled), any::<u64>().prop_map(ThpKey::Kb)];
    (size, select(&ThpMode::ALL)).prop_map(|(size, mode)| match (size, mode) {
        (ThpKey::Enabled, ThpMode::Inherit) => Call::Thp { size, mode: ThpMode::Never },
        _ => Call::Thp { size, mode },
    })
}

fn other() -> impl Strategy<Value = Call> {
    prop_oneof![
        Just(Call::Fork),
        thp(),
        any::<i32>().prop_map(|status| Call::ExitGroup { status }),
        (1..=5_u8).prop_map(|what| Call::ClearRefs { what }),
        (1..=64_u8).prop_map(|nodes| Call::Numa { nodes }),
        (0..=64_u8).prop_map(|node| Call::NumaAlloc { node }),
        (number(), number()).prop_map(|(addr, len)| Call::NumaScan { addr, len }),
        number().prop_map(|size| Call::Swapon { size }),
        number().prop_map(|addr| Call::DeviceExclusive { addr }),
        number().prop_map(|addr| Call::Hwpoison { addr }),
        (number(), number()).prop_map(|(addr, len)| Call::MigrateBegin { addr, len }),
        (number(), number()).prop_map(|(addr, len)| Call::MigrateEnd { addr, len }),
        (number(), number()).prop_map(|(addr, len)| Call::DevicePrivate { addr, len }),
        (number(), number(), any::<String>()).prop_map(|(addr, len, name)| Call::Dump { addr, len, name }),
        (number(), number()).prop_map(|(addr, len)| Call::Reclaim { addr, len }),
        (number(), 0..=63_u8).prop_map(|(addr, order)| Call::SplitFolio { addr, order }),
        select(&[Timing::On, Timing::Off]).prop_map(|on| Call::Time { on }),
    ]
}

fn userfault() -> impl Strategy<Value = Call> {
    let how = select(&[Switch::On, Switch::Off]);
    prop_oneof![
        (number(), number(), number()).prop_map(|(addr, len, features)| Call::Uffd { addr, len, features }),
        (number(), number()).prop_map(|(addr, len)| Call::UffdUnregister { addr, len }),
        (number(), number(), how).prop_map(|(addr, len, how)| Call::UffdWp { addr, len, how }),
        (number(), number()).prop_map(|(addr, len)| Call::UffdPoison { addr, len }),
        (number(), number(), number(), number(), number(), number()).prop_map(
            |(addr, len, flags, mask, returned, max_pages)| {
                Call::PagemapScan { addr, len, flags, mask, returned, max_pages }
            }
        ),
    ]
}

fn expect() -> impl Strategy<Value = Expect> {
    prop_oneof![
        number().prop_map(Expect::Value),
        select(Errno::ALL).prop_map(Expect::Errno),
        select(&[Signal::Bus, Signal::Segv]).prop_map(Expect::Signal),
    ]
}

fn line() -> impl Strategy<Value = Line> {
    let call = prop_oneof![mapping(), access(), userfault(), other()];
    (option::of(1..=u32::MAX), call, option::of(expect()), option::of(comment()))
        .prop_map(|(pid, call, expect, comment)| Line { pid, call, expect, comment, line: 0 })
}

fn item() -> impl Strategy<Value = Item> {
    let leaf = prop_oneof![
        4 => line().prop_map(Item::Line),
        1 => comment().prop_map(Item::Comment),
        1 => Just(Item::Blank),
    ];
    leaf.prop_recursive(4, 24, 5, |item| {
        (any::<u64>(), vec(item, 0..5), option::of(comment()), option::of(comment())).prop_map(
            |(count, body, comment, end_comment)| {
                Item::Repeat(Repeat { count, body, comment, end_comment, line: 0 })
            },
        )
    })
}

proptest! {
    #[test]
    fn scenarios(items in vec(item(), 0..12)) {
        let scenario = Scenario { items };
        let text = scenario.to_string();
        prop_assert_eq!(parse(&text), Ok(scenario.clone()), "{}", text);
        let windows = text.replace('\n', "\r\n");
        prop_assert_eq!(parse(&windows), Ok(scenario), "{}", windows);
    }

    #[test]
    fn lines(line in line()) {
        let text = line.to_string();
        let items = vec![Item::Line(Line { comment: None, ..line })];
        prop_assert_eq!(parse(&text), Ok(Scenario { items }), "{}", text);
    }
}
