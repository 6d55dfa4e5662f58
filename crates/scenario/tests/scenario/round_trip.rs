//! What is printed reads back to the same scenario.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use ptelab_scenario::{Expect, Item, Line, Repeat, Scenario, parse};
use ptelab_uapi::{Call, Errno, FORMS, Kind, Signal, Slot, ThpKey, ThpMode, Value};

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

/// An argument that a parameter may have.
fn argument(slot: &'static Slot) -> BoxedStrategy<Value> {
    let value = match slot.kind {
        Kind::Number(bounds) => (bounds.min..=bounds.max).prop_map(Value::Number).boxed(),
        Kind::Int(_) => any::<i32>().prop_map(Value::Int).boxed(),
        Kind::Word(words) | Kind::Quoted(words) => (0..words.len() as u64).prop_map(Value::Number).boxed(),
        Kind::Text(_) => any::<String>().prop_map(Value::Text).boxed(),
        Kind::ThpKey => {
            let key = prop_oneof![1 => Just(ThpKey::Enabled), 4 => (0..64_u32).prop_map(|log2| ThpKey::Kb(1 << log2))];
            key.prop_map(Value::ThpKey).boxed()
        }
        Kind::Ranges => vec((number(), number()), 0..4).prop_map(Value::Ranges).boxed(),
        Kind::Addr
        | Kind::Len
        | Kind::NewAddr
        | Kind::NewLen
        | Kind::Offset
        | Kind::Bytes
        | Kind::Flags(_) => number().prop_map(Value::Number).boxed(),
    };
    if slot.optional { prop_oneof![1 => Just(Value::Missing), 3 => value].boxed() } else { value }
}

/// Any call that there is, with what is left out left out to the end.
fn call() -> impl Strategy<Value = Call> {
    select((0..FORMS.len()).collect::<Vec<_>>()).prop_flat_map(|at| {
        let form = &FORMS[at];
        let values: Vec<_> = form.params.iter().map(argument).collect();
        values.prop_filter_map("is well formed", move |mut values| {
            if let Some(first) = values.iter().position(|value| *value == Value::Missing) {
                values[first..].fill(Value::Missing);
            }
            let inherits = [Value::ThpKey(ThpKey::Enabled), Value::Number(ThpMode::Inherit as u64)];
            if values == inherits { None } else { (FORMS[at].build)(values) }
        })
    })
}

fn expect() -> impl Strategy<Value = Expect> {
    prop_oneof![
        number().prop_map(Expect::Value),
        select(Errno::ALL).prop_map(Expect::Errno),
        select(&[Signal::BUS, Signal::SEGV]).prop_map(Expect::Signal),
    ]
}

fn line() -> impl Strategy<Value = Line> {
    (option::of(1..=u32::MAX), call(), option::of(expect()), option::of(comment()))
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
