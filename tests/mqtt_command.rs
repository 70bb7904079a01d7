//! `smollama mqtt` against a real broker.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::mosquitto::{FORGETS, Mosquitto};
use crate::place::{Place, signal, text};

/// A place whose broker is this one.
fn place(broker: &Mosquitto) -> Place {
    let place = Place::new();
    place.write("config.yaml", &format!("mqtt: {{ broker: 127.0.0.1, port: {} }}\n", broker.port));
    place
}

/// A file of passwords with one user.
pub(crate) fn password_file(folder: &Path, user: &str, password: &str) -> PathBuf {
    let path = folder.join("passwords");
    let mut command = Command::new("mosquitto_passwd");
    let made = command.arg("-b").arg("-c").arg(&path).args([user, password]).status();
    assert!(made.expect("mosquitto_passwd").success());
    path
}

#[test]
fn what_is_published_is_shown_and_kept_messages_come_first() {
    let broker = Mosquitto::start(FORGETS);
    let place = place(&broker);
    place.says(&["mqtt", "pub", "home/kitchen/light", "on", "--retain", "--qos", "1"]);
    let shown = place.says(&["mqtt", "sub", "home/+/light", "-C", "1", "-v"]);
    assert_eq!(shown, "home/kitchen/light on\n");
    let shown = place.json(&["mqtt", "sub", "home/#", "-C", "1", "--qos", "2"]);
    assert_eq!(shown["payload"], "on");
    assert_eq!(shown["retained"], true);
    // The older version of the protocol.
    place.write(
        "config.yaml",
        &format!("mqtt: {{ port: {}, broker: 127.0.0.1, version: 3.1.1 }}\n", broker.port),
    );
    assert_eq!(place.says(&["mqtt", "sub", "home/#", "-C", "1"]), "on\n");
}

#[test]
fn lines_come_in_order_and_ctrl_c_is_no_error() {
    let broker = Mosquitto::start(FORGETS);
    let place = place(&broker);
    let mut listener = place.command(&["mqtt", "sub", "lines", "ready", "--qos", "1"]);
    let mut listener = listener.stdout(Stdio::piped()).spawn().expect("the listener");
    let mut shown = BufReader::new(listener.stdout.take().expect("its output")).lines();
    // Until it has subscribed, nothing reaches it: a kept message tells when it has.
    place.says(&["mqtt", "pub", "ready", "now", "--retain", "--qos", "1"]);
    assert_eq!(shown.next().expect("a line").expect("text"), "now");

    let mut writer = place.command(&["mqtt", "pub", "lines", "--lines", "--qos", "1"]);
    let mut writer = writer.stdin(Stdio::piped()).spawn().expect("the writer");
    let wanted: Vec<String> = (0..500).map(|number| format!("line {number}")).collect();
    let all = wanted.join("\n");
    writer.stdin.take().expect("its input").write_all(all.as_bytes()).expect("the lines");
    assert!(writer.wait().expect("its end").success());
    for line in wanted {
        assert_eq!(shown.next().expect("a line").expect("text"), line);
    }
    signal(&listener, "INT");
    assert_eq!(listener.wait().expect("its end").code(), Some(0));
}

#[test]
fn what_keeps_it_from_the_broker_is_one_line() {
    let place = Place::new();
    let keys = Place::new();
    let passwords = password_file(keys.folder(), "pi", "raspberry");
    let config = format!("allow_anonymous false\npassword_file {}", passwords.display());
    let broker = Mosquitto::start(&config);
    let port = broker.port.to_string();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let closed = closed.expect("a free port").port().to_string();
    for (args, part) in [
        (vec!["--host", "127.0.0.1", "--port", &port], "does not accept"),
        (
            vec![
                "--host",
                "127.0.0.1",
                "--port",
                &port,
                "--username",
                "pi",
                "--password-env",
                "WRONG",
            ],
            "does not accept",
        ),
        (vec!["--host", "127.0.0.1", "--port", &closed], "nothing listens there"),
        (vec!["--host", "no-such-host.invalid"], "no-such-host.invalid"),
    ] {
        let args = [vec!["mqtt", "pub", "a", "b"], args].concat();
        let ran = place.command(&args).env("WRONG", "wrong").output().expect("it runs");
        let said = text(&ran.stderr);
        assert_eq!(ran.status.code(), Some(1), "{said}");
        assert!(said.contains(part) && said.trim().lines().count() == 1, "{said}");
    }
    let mut right = place.command(&["mqtt", "pub", "a", "b", "--host", "127.0.0.1"]);
    right.args(["--port", &port, "--username", "pi", "--password-env", "RIGHT"]);
    let ran = right.env("RIGHT", "raspberry").output().expect("it runs");
    assert!(ran.status.success(), "{}", text(&ran.stderr));

    for args in [
        vec!["pub", "home/+", "x"],
        vec!["sub", "home/#/x"],
        vec!["sub", "a", "--connection", "roof"],
    ] {
        let ran = place.run(&[vec!["mqtt"], args].concat());
        assert_eq!(ran.status.code(), Some(2), "{}", text(&ran.stderr));
    }
}
