use insta::assert_snapshot;
use proptest::prelude::{ProptestConfig, any, proptest};

use super::{Needs, Settings, Unit, said};
use crate::config::{read, tests::load_text};

#[test]
fn unknown_keys() {
    assert_snapshot!(said::<Settings>(" { deadbnd: 2, keeep: last, zzz: 1 }"), @r#"
error[SM0030]: `dedup` has no key `deadbnd`
 --> home.yaml:1:10
  |
1 | dedup: { deadbnd: 2, keeep: last, zzz: 1 }
  |          ^^^^^^^
  |
  = help: did you mean `deadband`?

error[SM0030]: `dedup` has no key `keeep`
 --> home.yaml:1:22
  |
1 | dedup: { deadbnd: 2, keeep: last, zzz: 1 }
  |                      ^^^^^
  |
  = help: did you mean `keep`?

error[SM0030]: `dedup` has no key `zzz`
 --> home.yaml:1:35
  |
1 | dedup: { deadbnd: 2, keeep: last, zzz: 1 }
  |                                   ^^^
  |
  = help: known are `deadband`, `heartbeat`, `keep`, `overrides`, `names`, `pair`, `port`, `password`, `text`, `on` and `start`

3 errors
a value
"#);
    assert_snapshot!(said::<Unit>(" { a: 1 }"), @r#"
error[SM0030]: `dedup` has no key `a`
 --> home.yaml:1:10
  |
1 | dedup: { a: 1 }
  |          ^
  |
  = help: `dedup` takes no settings

1 error
a value
"#);
}

#[test]
fn every_error_at_once() {
    assert_snapshot!(said::<Settings>("
  deadband: lots
  heartbeat: 10 parsecs
  keep: lsat
  names: { one: 1, two: 256 }
  pair: [1, a, 2]
  port: -1
  text: { a: b }
  on: yes"), @r#"
error[SM0032]: `deadband` takes a number, found the text `lots`
 --> home.yaml:2:13
  |
2 |   deadband: lots
  |             ^^^^

error[SM0035]: `10 parsecs` is not a duration
 --> home.yaml:3:14
  |
3 |   heartbeat: 10 parsecs
  |              ^^^^^^^^^^
  |
  = help: write `10s`

error[SM0034]: `keep` takes `first` or `last`, found `lsat`
 --> home.yaml:4:9
  |
4 |   keep: lsat
  |         ^^^^
  |
  = help: did you mean `last`?

error[SM0033]: `two` takes a whole number from 0 to 255, found `256`
 --> home.yaml:5:25
  |
5 |   names: { one: 1, two: 256 }
  |                         ^^^

error[SM0033]: `pair` takes a list of 2, found 3 elements
 --> home.yaml:6:9
  |
6 |   pair: [1, a, 2]
  |         ^^^^^^^^^

error[SM0033]: `port` takes a whole number from 0 to 65535, found `-1`
 --> home.yaml:7:9
  |
7 |   port: -1
  |         ^^

error[SM0032]: `text` takes text, found a mapping
 --> home.yaml:8:9
  |
8 |   text: { a: b }
  |         ^^^^^^^^

error[SM0032]: `on` takes `true` or `false`, found the text `yes`
 --> home.yaml:9:7
  |
9 |   on: yes
  |       ^^^
  |
  = help: write `true`

8 errors
no value
"#);
}

#[test]
fn every_error_below() {
    assert_snapshot!(said::<Settings>("
  overrides:
    - { match: [a], deadband: 1, sise: 3 }
    - { match: a, deadband: '1' }
    - { deadband: 1 }
    - a
  start: { after: { seconds: many } }"), @r#"
error[SM0032]: `match` takes text, found a list
 --> home.yaml:3:16
  |
3 |     - { match: [a], deadband: 1, sise: 3 }
  |                ^^^

error[SM0030]: an element of `overrides` has no key `sise`
 --> home.yaml:3:34
  |
3 |     - { match: [a], deadband: 1, sise: 3 }
  |                                  ^^^^
  |
  = help: known are `match` and `deadband`

error[SM0032]: `deadband` takes a number, found the text `1` in quotes
 --> home.yaml:4:29
  |
4 |     - { match: a, deadband: '1' }
  |                             ^^^
  |
  = help: text in quotes is always text; take the quotes away

error[SM0031]: the key `match` is missing in an element of `overrides`
 --> home.yaml:5:7
  |
5 |     - { deadband: 1 }
  |       ^^^^^^^^^^^^^^^
  |
  = help: add `match: ...`

error[SM0032]: an element of `overrides` takes a mapping, found the text `a`
 --> home.yaml:6:7
  |
6 |     - a
  |       ^

error[SM0032]: `seconds` takes a whole number, found the text `many`
 --> home.yaml:7:30
  |
7 |   start: { after: { seconds: many } }
  |                              ^^^^

6 errors
no value
"#);
}

#[test]
fn missing_keys() {
    assert_snapshot!(said::<Needs>(""), @r#"
error[SM0031]: the key `path` is missing in `dedup`
 --> home.yaml:1:1
  |
1 | dedup:
  | ^^^^^
  |
  = help: add `path: ...`

1 error
no value
"#);
    assert_snapshot!(said::<Needs>(" { path: a }"), @r#"
error[SM0031]: the key `every` is missing in `dedup`
 --> home.yaml:1:1
  |
1 | dedup: { path: a }
  | ^^^^^
  |
  = help: add `every: ...`

1 error
no value
"#);
    assert_snapshot!(said::<Needs>(" { path: a, every: 0 }"), @r#"
error[SM0033]: `every` takes a nonzero u32, found the number `0`
 --> home.yaml:1:26
  |
1 | dedup: { path: a, every: 0 }
  |                          ^

1 error
no value
"#);
    assert_snapshot!(said::<Needs>(" { path: [], pth: 1 }"), @r#"
error[SM0032]: `path` takes text, found a list
 --> home.yaml:1:16
  |
1 | dedup: { path: [], pth: 1 }
  |                ^^

error[SM0030]: `dedup` has no key `pth`
 --> home.yaml:1:20
  |
1 | dedup: { path: [], pth: 1 }
  |                    ^^^
  |
  = help: did you mean `path`?

2 errors
no value
"#);
}

#[test]
fn not_a_mapping() {
    assert_snapshot!(said::<Settings>(" [1]"), @r#"
error[SM0032]: `dedup` takes a mapping, found a list
 --> home.yaml:1:8
  |
1 | dedup: [1]
  |        ^^^

1 error
no value
"#);
    assert_snapshot!(said::<Settings>(" 10"), @r#"
error[SM0032]: `dedup` takes a mapping, found the number `10`
 --> home.yaml:1:8
  |
1 | dedup: 10
  |        ^^

1 error
no value
"#);
}

#[test]
fn wrong_scalars() {
    assert_snapshot!(said::<Settings>("
  deadband: 0,2
  text:
  on: 'true'
  port: 3.5"), @r#"
error[SM0032]: `deadband` takes a number, found the text `0,2`
 --> home.yaml:2:13
  |
2 |   deadband: 0,2
  |             ^^^
  |
  = help: the decimal point is a dot: `0.2`

error[SM0032]: `text` takes text, found nothing
 --> home.yaml:3:3
  |
3 |   text:
  |   ^^^^

error[SM0032]: `on` takes `true` or `false`, found the text `true` in quotes
 --> home.yaml:4:7
  |
4 |   on: 'true'
  |       ^^^^^^
  |
  = help: text in quotes is always text; take the quotes away

error[SM0032]: `port` takes a whole number, found the number `3.5`
 --> home.yaml:5:9
  |
5 |   port: 3.5
  |         ^^^

4 errors
no value
"#);
    assert_snapshot!(said::<Settings>(" { text: secret://env/TOKEN, deadband: .inf, port: '${ROOM}' }"), @r#"
error[SM0024]: `text` is shown in plans and logs and cannot hold the secret `secret://env/TOKEN`
 --> home.yaml:1:16
  |
1 | dedup: { text: secret://env/TOKEN, deadband: .inf, port: '${ROOM}' }
  |                ^^^^^^^^^^^^^^^^^^
  |
  = help: use `${NAME}` if the value is no secret

error[SM0033]: `deadband` takes a finite number, found `.inf`
 --> home.yaml:1:46
  |
1 | dedup: { text: secret://env/TOKEN, deadband: .inf, port: '${ROOM}' }
  |                                              ^^^^

error[SM0032]: `port` takes a whole number, found the text `kitchen` in quotes (after interpolation)
 --> home.yaml:1:58
  |
1 | dedup: { text: secret://env/TOKEN, deadband: .inf, port: '${ROOM}' }
  |                                                          ^^^^^^^^^

3 errors
no value
"#);
}

#[test]
fn wrong_types() {
    assert_snapshot!(said::<Settings>("
  overrides: a
  names:
  pair: 3
  keep: {}
  start: { after: {}, now: {} }
  password: [a]"), @r#"
error[SM0032]: `overrides` takes a list, found the text `a`
 --> home.yaml:2:14
  |
2 |   overrides: a
  |              ^
  |
  = help: a list of one is written `[a]`

error[SM0032]: `names` takes a mapping, found nothing
 --> home.yaml:3:3
  |
3 |   names:
  |   ^^^^^
  |
  = help: an empty mapping is written `{}`

error[SM0032]: `pair` takes a list of 2, found the number `3`
 --> home.yaml:4:9
  |
4 |   pair: 3
  |         ^

error[SM0032]: `keep` takes `first` or `last`, found a mapping
 --> home.yaml:5:9
  |
5 |   keep: {}
  |         ^^

error[SM0033]: `start` takes one of `now`, `after` or `walk` and nothing beside it
 --> home.yaml:6:23
  |
6 |   start: { after: {}, now: {} }
  |                       ^^^ a second key

error[SM0032]: `password` takes a secret such as `secret://env/NAME`, found a list
 --> home.yaml:7:13
  |
7 |   password: [a]
  |             ^^^

6 errors
no value
"#);
}

#[test]
fn what_is_broken_is_not_reported_again() {
    assert_snapshot!(said::<Settings>(" { text: '${NONE}', port: x }"), @r#"
error[SM0020]: the variable `NONE` is not set
 --> home.yaml:1:16
  |
1 | dedup: { text: '${NONE}', port: x }
  |                ^^^^^^^^^
  |
  = help: set it, or give a default: `${NONE:-default}`

error[SM0032]: `port` takes a whole number, found the text `x`
 --> home.yaml:1:33
  |
1 | dedup: { text: '${NONE}', port: x }
  |                                 ^

2 errors
no value
"#);
    assert_snapshot!(said::<Needs>(" { path: '${NONE}', every: 1 }"), @r#"
error[SM0020]: the variable `NONE` is not set
 --> home.yaml:1:16
  |
1 | dedup: { path: '${NONE}', every: 1 }
  |                ^^^^^^^^^
  |
  = help: set it, or give a default: `${NONE:-default}`

1 error
no value
"#);
}

#[test]
fn errors_in_a_long_list_are_all_found() {
    let elements: String = (0..300)
        .map(|i| format!("{{ match: a, deadband: {} }}, ", if i % 3 == 0 { "x" } else { "1" }))
        .collect();
    let mut loaded = load_text(&format!("dedup: {{ overrides: [{elements}] }}\n"));
    let entry = loaded.documents[0].root.as_mapping().unwrap().get("dedup").unwrap();
    let value: Option<Settings> =
        read(&entry.value, entry.key.span, "`dedup`", &mut loaded.diagnostics);
    assert_eq!((value, loaded.diagnostics.errors()), (None, 100));
}

#[test]
fn a_hostile_list_of_errors_ends() {
    let elements = "x, ".repeat(20_000);
    let unknown: String = (0..5_000).map(|i| format!("k{i}: 1, ")).collect();
    let mut loaded = load_text(&format!("dedup: {{ {unknown} overrides: [{elements}] }}\n"));
    let entry = loaded.documents[0].root.as_mapping().unwrap().get("dedup").unwrap();
    let value: Option<Settings> =
        read(&entry.value, entry.key.span, "`dedup`", &mut loaded.diagnostics);
    assert!(value.is_none() && loaded.diagnostics.errors() > 5_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// However many fields are bad, each is reported, and nothing else is.
    #[test]
    fn each_bad_field_is_reported_once(bad in proptest::collection::vec(any::<bool>(), 9)) {
        const FIELDS: [(&str, &str); 9] = [
            ("deadband: 1", "deadband: x"),
            ("heartbeat: 10s", "heartbeat: 11s"),
            ("keep: last", "keep: never"),
            ("overrides: [{ match: a, deadband: 1 }]", "overrides: [{ match: a }, { match: b, deadband: 1 }]"),
            ("names: { a: 1, b: 2 }", "names: { a: 1, b: -2 }"),
            ("pair: [1, a]", "pair: [1, []]"),
            ("port: 80", "prt: 80"),
            ("on: true", "on: [true]"),
            ("start: { walk: { step: 1 } }", "start: { walk: { step: {} } }"),
        ];
        let fields: Vec<_> =
            FIELDS.iter().zip(&bad).map(|(&(good, wrong), &bad)| if bad { wrong } else { good }).collect();
        let mut loaded = load_text(&format!("dedup: {{ {} }}\n", fields.join(", ")));
        let entry = loaded.documents[0].root.as_mapping().unwrap().get("dedup").unwrap();
        let value: Option<Settings> = read(&entry.value, entry.key.span, "`dedup`", &mut loaded.diagnostics);
        let expected = bad.iter().filter(|&&bad| bad).count();
        proptest::prop_assert_eq!(loaded.diagnostics.errors(), expected);
        // An unknown key alone does not keep the value from coming back.
        let unknown_only = expected == usize::from(bad[6]);
        proptest::prop_assert_eq!(value.is_some(), unknown_only);
    }
}
