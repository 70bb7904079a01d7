mod crashes;
mod keeping;
mod secrets;

use std::path::Path;
use std::sync::Arc;

use smollama_engine::context::Host;
use smollama_engine::disk::{Disk, SimulatedDisk};
use smollama_engine::time::Timestamp;

use super::*;

const FOLDER: &str = "/data/revisions";

fn host(disk: Arc<dyn Disk>) -> Arc<Host> {
    Arc::new(Host { disk, ..Host::for_tests(Path::new("/data")) })
}

fn open(disk: &SimulatedDisk) -> Revisions {
    Revisions::open(&host(disk.shared())).unwrap()
}

fn file(path: &str, text: &str, beside: Vec<RevisionBeside>) -> RevisionFile {
    RevisionFile { path: path.into(), text: text.into(), variables: Vec::new(), beside }
}

fn beside(path: &str, role: Role, bytes: &[u8]) -> RevisionBeside {
    RevisionBeside { path: path.into(), role, bytes: bytes.to_vec() }
}

/// A revision with one of everything, and a message to tell it by.
fn sample(message: &str) -> Revision {
    let variable = |name: &str, value| RevisionVariable { name: name.into(), value };
    Revision {
        time: Timestamp::from_micros(1_700_000_000_000_001),
        actor: "cli uid 1000".into(),
        message: message.into(),
        paths: vec!["/etc/p".into(), "/home/é.yaml".into()],
        files: vec![
            RevisionFile {
                variables: vec![
                    variable("HOME", VariableValue::Plain("/root".into())),
                    variable("NOT_SET", VariableValue::Unset),
                    variable("secret://env/KEY", VariableValue::Secret(SecretHash([7; 32]))),
                ],
                ..file(
                    "/etc/p/a.yaml",
                    "name: a\nsources: {}\n",
                    vec![
                        beside("/etc/p/t.yaml", Role::Template, b""),
                        beside("/etc/p/t.csv", Role::Table, b"\0\xff,1\n"),
                        beside("/etc/p/s.rhai", Role::Script, b"1 + 1"),
                    ],
                )
            },
            RevisionFile {
                variables: vec![variable("HOME", VariableValue::Plain("/home".into()))],
                ..file("/home/é.yaml", "name: é\n", vec![beside("/etc/p/t.csv", Role::Table, b"2")])
            },
        ],
        pipelines: vec![RevisionPipeline { name: "a".into(), file: "/etc/p/a.yaml".into() }],
    }
}

/// One that takes about so many bytes: noise does not compress.
fn large(bytes: usize) -> Revision {
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    });
    let noise: Vec<u8> = noise.take(bytes).collect();
    let beside = vec![beside("/t.csv", Role::Table, &noise)];
    Revision { files: vec![file("/a.yaml", "", beside)], ..sample("large") }
}

fn numbers(revisions: &Revisions, current: u64) -> Vec<u64> {
    revisions.list(current).unwrap().iter().map(|listed| listed.number).collect()
}

/// Every revision that is there can be read and is what was staged under its number, with the number as message.
fn check_whole(revisions: &Revisions) {
    for number in numbers(revisions, 0) {
        assert_eq!(revisions.load(number).unwrap().revision, sample(&number.to_string()));
    }
}
