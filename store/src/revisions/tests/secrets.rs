//! What must not be seen.

use std::os::unix::fs::PermissionsExt as _;

use smollama_engine::config::{Loader, load};

use super::*;

#[test]
fn only_the_owner_may_read_what_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let revisions = Revisions::open(&Arc::new(Host::for_tests(folder.path()))).unwrap();
    revisions.stage(&sample("1"), 0).unwrap();
    revisions.hash("a", "b").unwrap();
    for name in ["1.rev", "key"] {
        let meta = std::fs::metadata(folder.path().join("revisions").join(name)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(std::fs::read(folder.path().join("revisions/key")).unwrap().len(), 32);
}

/// Of the length of the name, the name and the value. The constant is from RFC 4231, test case 2.
#[test]
fn the_hash_is_hmac_sha_256() {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
    let message = [&2_u64.to_le_bytes()[..], b"ab", b"cd"].concat();
    let wanted = hmac::sign(&key, &message);
    assert_eq!(key::hash(&key, "ab", "cd").0, wanted.as_ref());
    let known = hmac::sign(&key, b"what do ya want for nothing?");
    assert_eq!(known.as_ref()[..4], [0x5b, 0xdc, 0xc1, 0x46], "what `ring` calls it is what it is");
}

#[test]
fn a_hash_tells_secrets_apart_and_data_directories_too() {
    let disk = SimulatedDisk::new(0);
    let revisions = open(&disk);
    let hash = revisions.hash("secret://env/A", "open sesame").unwrap();
    assert_eq!(open(&disk).hash("secret://env/A", "open sesame").unwrap(), hash);
    assert_ne!(revisions.hash("secret://env/A", "open sesame!").unwrap(), hash);
    assert_ne!(revisions.hash("secret://env/B", "open sesame").unwrap(), hash);
    assert_ne!(revisions.hash("secret://env/Ao", "pen sesame").unwrap(), hash);
    assert_ne!(open(&SimulatedDisk::new(0)).hash("secret://env/A", "open sesame").unwrap(), hash);
}

#[test]
fn a_secret_is_remembered_by_its_hash_and_a_variable_by_its_value() {
    let text = "name: a\nx: ${PLAIN}\ny: ${UNSET:-1}\nz: secret://env/HIDDEN\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    std::fs::write(&path, text).unwrap();
    let lookup = |name: &str| match name {
        "PLAIN" => Some("seen".to_owned()),
        "HIDDEN" => Some("hunter2".to_owned()),
        _ => None,
    };
    let loaded = load(&[&path], &lookup);
    let read = loaded.reads.values().next().unwrap();
    let disk = SimulatedDisk::new(0);
    let revisions = open(&disk);
    let remembered = revisions.file(read).unwrap();
    let one = |name: &str, value| RevisionVariable { name: name.into(), value };
    let hash = revisions.hash("secret://env/HIDDEN", "hunter2").unwrap();
    let wanted = [
        one("PLAIN", VariableValue::Plain("seen".into())),
        one("UNSET", VariableValue::Unset),
        one("secret://env/HIDDEN", VariableValue::Secret(hash)),
    ];
    assert_eq!(remembered.variables.len(), wanted.len(), "{remembered:?}");
    assert!(wanted.iter().all(|one| remembered.variables.contains(one)), "{remembered:?}");

    let revision = Revision { files: vec![remembered], ..sample("1") };
    let shown = format!("{revision:?}");
    assert!(!shown.contains("seen") && !shown.contains("hunter2"), "{shown}");
    revisions.stage(&revision, 0).unwrap();
    let kept = disk.read(Path::new("/data/revisions/1.rev")).unwrap();
    let holds = |text: &[u8]| kept.windows(text.len()).any(|window| window == text);
    assert!(holds(b"seen") && !holds(b"hunter2"));
}

/// Where the environment says something else by then, what was applied stays what it was, but for secrets.
#[test]
fn a_file_is_read_again_with_the_values_of_then() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    std::fs::write(&path, "name: ${A}\nx: ${B:-default}\ny: secret://env/C\n").unwrap();
    let then = |name: &str| (name != "B").then(|| format!("{name} then"));
    let now = |name: &str| Some(format!("{name} now"));
    let revisions = open(&SimulatedDisk::new(0));
    let mut read = load(&[&path], &then).reads.into_values().next().unwrap();
    read.beside.insert("/t.csv".into(), b"table"[..].into());
    let revision = Revision { files: vec![revisions.file(&read).unwrap()], ..sample("1") };
    revisions.stage(&revision, 0).unwrap();
    std::fs::write(&path, "name: changed").unwrap();

    let file = revisions.load(1).unwrap().revision.files.remove(0).into_read();
    assert_eq!((&file.path, &file.text, &file.beside), (&read.path, &read.text, &read.beside));
    let mut loader = Loader::new(&now);
    loader.again(&file, &now);
    let again = loader.finish().reads.into_values().next().unwrap();
    let values: Vec<_> = again
        .variables
        .iter()
        .map(|one| (&*one.name, one.value.as_ref().map(|value| value.expose())))
        .collect();
    assert_eq!(values, [("A", Some("A then")), ("B", None), ("secret://env/C", Some("C now"))]);
}

#[test]
fn a_key_that_is_none_is_named() {
    let disk = SimulatedDisk::new(0);
    let revisions = open(&disk);
    disk.create_new(Path::new("/data/revisions/key")).unwrap().write_all(b"short").unwrap();
    let error = revisions.hash("a", "b").unwrap_err();
    assert!(error.to_string().starts_with("`/data/revisions/key` has 5 bytes"), "{error}");
    disk.fail_reads(io::ErrorKind::PermissionDenied);
    let error = revisions.hash("a", "b").unwrap_err();
    assert!(error.to_string().starts_with("cannot read `/data/revisions/key`"), "{error}");
}
