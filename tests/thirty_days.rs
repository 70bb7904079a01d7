//! Thirty days of shipped everyday pipelines on a host that is killed, or loses its power, every 43 minutes: a thousand times. No alarm
//! is lost, none is told twice, and the history has nothing twice.

use std::fmt::Display;

use smollama_engine::plan::plan_loaded;
use smollama_engine::testing;

use crate::pipelines::{root, text};

const RESTARTS: [&str; 2] = ["kill", "power_cut"];

/// What is given in three days, and what is expected then: lines of a test.
type ThreeDays = fn(number: usize) -> (String, String);

/// Runs ten tests of three days each, with a hundred restarts in each.
fn thirty_days(pipeline: &str, three_days: ThreeDays) {
    let tests: String = (0..10)
        .map(|number| {
            let (given, expect) = three_days(number);
            let faults: String = (0..100).map(|at| restart(number, at)).collect();
            format!(
                "  - name: part {number}
    given:
{given}    faults:
{faults}    expect:
{expect}      - {{ node: history, doubled: 0 }}
"
            )
        })
        .collect();
    run_tests(pipeline, &tests, 10);
}

/// Runs so many tests on a shipped pipeline, in place of its own.
fn run_tests(pipeline: &str, tests: &str, count: usize) {
    let path = root().join(format!("pipelines/examples/{pipeline}.yaml"));
    let shipped = std::fs::read_to_string(&path).unwrap();
    let (shipped, _) = shipped.split_once("\ntests:\n").unwrap();
    let yaml = format!("{shipped}\ntests:\n{tests}");
    let planned = plan_loaded(text(&path, &yaml), &smollama_nodes::registry());
    let found = planned.diagnostics.render(&planned.files, false);
    let graph = planned.graph.unwrap_or_else(|| panic!("{found}"));
    let cases = testing::tests(&graph);
    assert_eq!(cases.len(), count);
    for case in cases {
        let failures = testing::run(&graph, &case);
        assert!(failures.is_empty(), "{pipeline}: {}: {failures:#?}", case.name());
    }
}

fn restart(number: usize, at: usize) -> String {
    let (kind, minutes, seconds) = (RESTARTS[at % RESTARTS.len()], at * 43, 7 + number * 23);
    format!("      - {{ restart: {kind}, at: {}s }}\n", minutes * 60 + seconds)
}

/// A line of `given`: a value every so many minutes, from one count of them to another.
fn run<V: Display>(
    series: &str,
    minutes: usize,
    counts: std::ops::Range<usize>,
    value: impl Fn(usize) -> V,
) -> String {
    let from = counts.start * minutes;
    let values: Vec<String> = counts.map(|at| value(at).to_string()).collect();
    let values = values.join(", ");
    format!("      - {{ {series}, from: {from}m, every: {minutes}m, values: [{values}] }}\n")
}

/// A line of `expect`: so many items of a node.
fn count(node: &str, count: usize) -> String {
    format!("      - {{ node: {node}, count: {count} }}\n")
}

/// Everything lies where it lies without the restarts, with the same time and text.
const NOTHING_LOST: &str =
    "      - { node: history, lost: 0 }\n      - { node: screen, lost: 0 }\n";

/// It is too warm for two hours of each day, and in one of the parts the sensor is silent for a night.
#[test]
fn a_thousand_kills_lose_no_alarm_of_the_freezer_and_tell_none_twice() {
    thirty_days("freezer", |number| {
        let probe = "node: probe, source: \"cold:freezer/temperature\"";
        let value = |at: usize| if (144..168).contains(&(at % 288)) { -12 } else { -18 };
        // Each day it rings, reminds and clears. In the night it falls silent, reminds six times, and speaks again.
        let (given, news) = match number {
            4 => (run(probe, 5, 0..312, value) + &run(probe, 5, 408..864, value), 9 + 8),
            _ => (run(probe, 5, 0..864, value), 9),
        };
        let rings = "      - { node: warm.news, observation: { text: for 10m }, count: 3 }\n";
        (given, count("warm.news", news) + rings + NOTHING_LOST)
    });
}

/// The air is used up from ten to eleven each day, when people are there, and from one to two each night, when nobody is.
#[test]
fn a_thousand_kills_lose_no_alarm_of_the_office_and_tell_none_twice() {
    thirty_days("office-air", |number| {
        let there = |hour: usize| (8..18).contains(&(hour % 24));
        let air = |at: usize| match at % 144 {
            6..12 | 60..66 => 1300 + number,
            _ => 600,
        };
        let given = run("node: desk, source: \"office:desk/presence\"", 60, 0..72, there)
            + &run("node: window, source: \"office:window/contact\"", 60, 0..72, |_| true)
            + &run("node: air, source: \"office:air/co2\", unit: ppm", 10, 0..432, air);
        // It rings, reminds three times, and clears.
        (given, count("told", 3 * 5) + &count("alive.news", 0) + NOTHING_LOST)
    });
}

/// Two visits an hour, and each night half an hour in which the file stands still.
#[test]
fn a_thousand_kills_count_no_visit_of_the_camera_twice() {
    thirty_days("camera", |_| {
        let eye = "node: eye, source: \"eye:person_count\", unit: count";
        let value = |at: usize| u8::from([10, 11, 30].contains(&(at % 60)));
        let given: String =
            (0..3).map(|day| run(eye, 1, day * 1440 + 35..(day + 1) * 1440 + 5, value)).collect();
        let silent =
            "      - { node: alive.news, observation: { text: silent for 2m }, count: 2 }\n";
        (given, silent.to_owned() + NOTHING_LOST)
    });
}

/// Frost for an hour of each day, and soil that dries in each afternoon.
#[test]
fn a_thousand_kills_lose_no_alarm_of_the_greenhouse_and_tell_none_twice() {
    thirty_days("greenhouse", |number| {
        let north = |node: &str, field: &str, unit: &str| {
            format!(
                "node: {node}, source: \"{node}:north/{field}\", unit: \"{unit}\", labels: {{ bed: north }}"
            )
        };
        let warmth = |at: usize| if (12..18).contains(&(at % 144)) { 1 } else { 10 + number };
        let given = run(&north("air", "temperature", "°C"), 10, 0..432, warmth)
            + &run(&north("air", "humidity", "%"), 10, 0..432, |at| 60 + at % 20)
            + &run(&north("soil", "moisture", "%"), 60, 0..72, |hour| {
                if hour % 24 > 12 { 15 } else { 40 }
            });
        // The soil is wet again at midnight, which is told in the morning; after the last one there is none.
        let news =
            count("frost.news", 6) + &count("dry.news", 5) + &count("mould.news", 0) + NOTHING_LOST;
        (given, news)
    });
}

/// A battery that is low for fourteen hours of each day, and a sensor that dies on the first.
#[test]
fn a_thousand_kills_lose_no_alarm_of_the_zigbee_sensors_and_tell_none_twice() {
    thirty_days("zigbee", |number| {
        let zigbee = |id: &str, unit: &str| {
            format!("node: sensors, source: \"zigbee:{id}\", unit: \"{unit}\"")
        };
        let warmth = |at: usize| 18 + (at + number) % 7;
        let low = |hour: usize| if hour % 24 < 10 { 80 } else { 12 };
        let given = run(&zigbee("bedroom-1/temperature", "°C"), 30, 0..144, warmth)
            + &run(&zigbee("bedroom-2/temperature", "°C"), 30, 0..144, |at| 17 + at % 5)
            + &run(&zigbee("bedroom-1/battery", "%"), 60, 0..72, low)
            + &run(&zigbee("bath-1/battery", "%"), 60, 0..7, |_| 80);
        // It is low at ten, and well at midnight, which is told in the morning; after the last one there is none.
        (given, count("batteries.news", 5 + 1) + NOTHING_LOST)
    });
}

/// Fifty in each of four rooms, 192,000 readings. One battery becomes low after ten days, and one sensor dies in a night.
#[test]
fn two_hundred_zigbee_sensors_for_thirty_days_tell_of_two() {
    let mut given = String::new();
    let mut says = |sensor: &str, field: &str, rest: &str| {
        let series = format!("node: sensors, source: \"zigbee:{sensor}/{field}\"");
        given.push_str(&format!("      - {{ {series}, {rest} }}\n"));
    };
    for room in ["kitchen", "bath", "bedroom", "cellar"] {
        for number in 1..=50 {
            let sensor = format!("{room}-{number}");
            let warmth =
                format!("unit: °C, from: 0s, every: 1h, count: 720, value: {}", 18 + number % 5);
            says(&sensor, "temperature", &warmth);
            let battery = |count, value, from| {
                format!("unit: \"%\", from: {from}h, every: 3h, count: {count}, value: {value}")
            };
            match (room, number) {
                ("bedroom", 7) => {
                    says(&sensor, "battery", &battery(80, 80, 0));
                    says(&sensor, "battery", &battery(160, 12, 240));
                }
                ("bath", 9) => says(&sensor, "battery", &battery(160, 80, 0)),
                _ => says(&sensor, "battery", &battery(240, 80, 0)),
            }
        }
    }
    let told = |text: &str| {
        format!(
            "      - {{ node: batteries.news, observation: {{ text: \"{text}\" }}, count: 1 }}\n"
        )
    };
    let tests = format!(
        "  - name: thirty days\n    given:\n{given}    until: 719h\n    expect:\n{}{}{}{}{}",
        told("bedroom-7/battery (bedroom) is at 12%"),
        told("bath-9/battery (bath) is silent for 11h"),
        count("batteries.news", 2),
        count("temperature", 4 * 720),
        "      - { node: screen, at: 1m, reading: { source: \"room:bath/temperature\", value: 20, unit: °C } }\n",
    );
    run_tests("zigbee", &tests, 1);
}
