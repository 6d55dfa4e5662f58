//! The order in which lines run.

use ptelab_scenario::{Item, Scenario, parse};
use ptelab_uapi::Call;

fn scenario(source: &str) -> Scenario {
    parse(source).expect("the text is right")
}

/// The first argument of every `check` that runs.
fn run(scenario: &Scenario) -> Vec<u64> {
    let addr = |call: &Call| match call {
        Call::Check { addr, .. } => *addr,
        other => panic!("only check was written, not {other}"),
    };
    scenario.steps().map(|step| addr(&step.line.call)).collect()
}

#[test]
fn blocks_are_unrolled_in_order() {
    let scenario = scenario(
        "check(1, 0)\n\
         repeat 2 {\n\
         # nothing\n\
         check(2, 0)\n\
         repeat 3 {\n\
         check(3, 0)\n\
         \n\
         }\n\
         }\n\
         check(4, 0)\n",
    );
    assert_eq!(run(&scenario), [1, 2, 3, 3, 3, 2, 3, 3, 3, 4]);
    assert_eq!(scenario.step_count(), 10);
    let indices: Vec<_> = scenario.steps().map(|step| step.index).collect();
    assert_eq!(indices, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_billion_steps_cost_nothing_until_taken() {
    let scenario = scenario("repeat 1000000000 {\ncheck(1, 0)\ncheck(2, 0)\n}\n");
    assert_eq!(scenario.step_count(), 2_000_000_000);
    let step = scenario.steps().nth(100_001).expect("far from the end");
    assert_eq!((step.index, step.line.line), (100_001, 3));
}

#[test]
fn blocks_that_run_nothing_are_passed_over_at_once() {
    let huge = "repeat 18446744073709551615 {\n";
    let text = format!(
        "{}# nothing\nrepeat 0 {{\ncheck(9, 0)\n}}\n{}check(1, 0)\n",
        huge.repeat(60),
        "}\n".repeat(60)
    );
    let scenario = scenario(&text);
    assert_eq!(run(&scenario), [1]);
    assert_eq!(scenario.step_count(), 1);
}

#[test]
fn the_count_saturates() {
    let huge = "repeat 18446744073709551615 {\n";
    let text = format!("{}check(1, 0)\n{}", huge.repeat(3), "}\n".repeat(3));
    let scenario = scenario(&text);
    assert_eq!(scenario.step_count(), u128::MAX);
    assert_eq!(scenario.steps().take(5).count(), 5);
}

#[test]
fn an_empty_scenario_has_no_steps() {
    for text in ["", "\n\n", "# nothing", "repeat 5 {\n}\n"] {
        let scenario = scenario(text);
        assert_eq!((scenario.steps().count(), scenario.step_count()), (0, 0), "{text:?}");
    }
}

#[test]
fn steps_end_for_good() {
    let scenario = scenario("repeat 2 {\ncheck(1, 0)\n}");
    let mut steps = scenario.steps();
    assert_eq!(steps.by_ref().count(), 2);
    assert!(steps.next().is_none() && steps.next().is_none());
}

#[test]
fn steps_know_their_source_line() {
    let scenario = scenario("\r\n# one\r\nrepeat 1 {\r\n  check(1, 0)\r\n}\r\ncheck(2, 0)");
    let lines: Vec<_> = scenario.steps().map(|step| step.line.line).collect();
    assert_eq!(lines, [4, 6]);
    assert!(matches!(&scenario.items[2], Item::Repeat(repeat) if repeat.line == 3));
}
