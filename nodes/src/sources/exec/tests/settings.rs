//! What can be wrong with settings.

use smollama_engine::registry::Pace;

use super::*;

fn problems(settings: Json) -> Vec<String> {
    let config: ExecConfig = serde_json::from_value(settings).unwrap();
    config.problems().into_iter().map(|one| format!("{}: {}", one.field, one.message)).collect()
}

#[test]
fn problems_are_named() {
    for (settings, problem) in [
        (json!({}), ": nothing says what to start"),
        (json!({ "command": ["a"], "shell": "a" }), "shell: `command` and `shell` are both set"),
        (json!({ "command": [] }), "command: it names no program"),
        (json!({ "command": ["a\0"] }), "command: no argument can hold a zero byte"),
        (json!({ "shell": " " }), "shell: it is empty"),
        (json!({ "shell": "a", "env": { "a=b": "c" } }), "env: `a=b` cannot be a variable"),
        (json!({ "shell": "a", "timeout": "0s" }), "timeout: no program ends in no time"),
        (
            json!({ "shell": "a", "stop_timeout": "5s" }),
            "stop_timeout: it can be 4s at most: the host itself stops within ten seconds",
        ),
        (
            json!({ "shell": "a", "max_size": "65MiB" }),
            "max_size: it must lie between 1B and 64MiB",
        ),
        (
            json!({ "shell": "a", "value": "b", "fields": "all" }),
            "fields: `value` and `fields` are both set",
        ),
    ] {
        assert_eq!(problems(settings), [problem]);
    }
}

#[test]
fn a_command_in_one_text_is_told_how_to_be_a_list() {
    let error = serde_json::from_value::<ExecConfig>(json!({ "command": "rtl_433 -F json" }));
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("write `[rtl_433, -F, json]`, or `shell: \"rtl_433 -F json\"`"),
        "{error}"
    );
}

#[test]
fn some_go_with_every_and_some_without_it_only() {
    let fields = |settings: Json, every: Option<Duration>| {
        let config = config(settings);
        config.problems_with(every).into_iter().map(|one| one.field).collect::<Vec<_>>()
    };
    let every = Some(Duration::from_secs(1));
    let settings = json!({ "shell": "a", "timeout": "1s", "format": "cbor" });
    assert_eq!(fields(settings.clone(), None), ["timeout", "format"]);
    assert_eq!(fields(settings, every), [""; 0]);
    let settings = json!({ "shell": "a", "restart": "never" });
    assert_eq!(fields(settings.clone(), every), ["restart"]);
    assert_eq!(fields(settings, None), [""; 0]);
}

#[test]
fn what_is_missing_here_is_known_before_it_is_started() {
    let missing = |settings: Json| {
        let missing = config(settings).missing(Path::new("/")).into_iter();
        missing.map(|one| format!("{}: {}", one.field, one.message)).collect::<Vec<_>>()
    };
    assert_eq!(missing(json!({ "command": ["sh"], "cwd": "bin" })), [""; 0]);
    assert_eq!(missing(json!({ "command": ["bin/sh"] })), [""; 0]);
    let both = json!({ "command": ["no-such-program"], "cwd": "nowhere" });
    assert_eq!(
        missing(both),
        ["cwd: there is no folder `/nowhere`", "command: there is no program `no-such-program`"]
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display().to_string();
    let told = format!("command: `{path}` is not executable");
    assert_eq!(missing(json!({ "command": [path] })), [told]);
}

#[test]
fn it_speaks_as_its_settings_say() {
    let profile = |restart: Option<&str>| {
        let mut settings = json!({ "shell": "a" });
        if let Some(restart) = restart {
            settings["restart"] = restart.into();
        }
        config(settings).profile()
    };
    assert_eq!(profile(None).pace, Some(Pace::Live));
    let ends =
        [None, Some("always"), Some("on_failure"), Some("never")].map(|one| profile(one).ends);
    assert_eq!(ends, [false, false, true, true]);
    let Profile { waits, promises, takes_every, .. } = profile(None);
    assert!(waits && !promises && takes_every);
}
