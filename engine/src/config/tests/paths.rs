use std::{fs, path::Path};

use insta::assert_snapshot;

use super::{
    super::load::{FILE_BYTES_MAX, load},
    variable,
};
use crate::config::Loaded;

fn at(folder: &Path, name: &str) -> Loaded {
    load(&[folder.join(name)], &variable)
}

/// What is said, with the name of the temporary folder taken out.
fn said(folder: &Path, loaded: &Loaded) -> String {
    loaded.diagnostics.render(&loaded.files, false).replace(&folder.display().to_string(), "dir")
}

#[test]
fn paths_that_cannot_be_read() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    fs::write(folder.join("home.yaml"), "pipeline: home\n").unwrap();
    fs::create_dir(folder.join("empty")).unwrap();
    fs::write(folder.join("nothing.yaml"), "").unwrap();
    fs::write(folder.join("latin.yaml"), b"pipeline: home\ndescription: K\xfcche\n").unwrap();
    fs::write(folder.join("large.yaml"), vec![b'#'; FILE_BYTES_MAX + 1]).unwrap();
    let show = |name: &str| said(folder, &at(folder, name));
    assert_snapshot!(show("hone.yaml"), @r#"
error[SM0001]: `dir/hone.yaml` does not exist
--> dir/hone.yaml
 = help: did you mean `dir/home.yaml`?

1 error
"#);
    assert_snapshot!(show("no/such.yaml"), @r#"
error[SM0001]: `dir/no/such.yaml` does not exist
--> dir/no/such.yaml
 = help: paths begin at the folder the command was started in

1 error
"#);
    assert_snapshot!(show("empty"), @r#"
error[SM0004]: no `*.yaml` or `*.yml` lies in the folder `dir/empty`
--> dir/empty
 = help: files in its sub-folders do not count; name the folder they lie in

1 error
"#);
    assert_snapshot!(show("nothing.yaml"), @r#"
error[SM0005]: `dir/nothing.yaml` holds no pipeline
--> dir/nothing.yaml
 = help: a pipeline has at least a name and a node: `pipeline: home`, then `sources:`

1 error
"#);
    assert_snapshot!(show("latin.yaml"), @r#"
error[SM0006]: `dir/latin.yaml` is not UTF-8 text
 --> dir/latin.yaml:2:15
  |
2 | description: K�che
  |               ^ this byte belongs to no character
  |
  = help: save the file as UTF-8

1 error
"#);
    assert_snapshot!(show("large.yaml"), @r#"
error[SM0007]: `dir/large.yaml` is larger than 16 MiB
--> dir/large.yaml
 = help: keep tables of data in a file that a node reads

1 error
"#);
    #[cfg(unix)]
    assert_snapshot!(load(&["/dev/null"], &variable).diagnostics.iter().next().unwrap().message, @r#"`/dev/null` is not a plain file"#);
}

#[cfg(unix)]
#[test]
fn a_folder_without_permission() {
    use std::os::unix::fs::PermissionsExt as _;

    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("closed");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o000)).unwrap();
    let readable = fs::read_dir(&folder).is_ok();
    let text = said(temporary.path(), &load(&[&folder], &variable));
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    if readable {
        // The superuser may read everything; then the folder is merely empty.
        assert!(text.contains("SM0004"), "{text}");
    } else {
        assert_snapshot!(text, @"");
    }
}

#[test]
fn a_folder_is_its_yaml_files_by_name() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    for name in ["b.yaml", "a.yml", ".hidden.yaml", "notes.txt", "c.yaml.bak"] {
        fs::write(folder.join(name), format!("pipeline: x # {name}\n")).unwrap();
    }
    fs::create_dir(folder.join("sub.yaml")).unwrap();
    fs::write(folder.join("sub.yaml/d.yaml"), "pipeline: d\n").unwrap();
    let twice = [folder.to_owned(), folder.join("b.yaml")];
    let loaded = load(&twice, &variable);
    let names: Vec<_> = loaded
        .files
        .iter()
        .map(|(_, path, _)| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(names, ["a.yml", "b.yaml"]);
    assert_eq!(loaded.documents.len(), 2);
    assert!(loaded.diagnostics.is_empty());
}

#[test]
fn a_bad_file_does_not_hide_the_next() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    fs::write(folder.join("a.yaml"), "pipeline: [\n").unwrap();
    fs::write(folder.join("b.yaml"), "\u{feff}pipeline: b\n---\npipeline: c\n").unwrap();
    let loaded = load(&[folder], &variable);
    assert_eq!(loaded.diagnostics.errors(), 1);
    assert_eq!(loaded.documents.iter().map(|d| d.index).collect::<Vec<_>>(), [0, 1]);
    assert!(
        loaded.documents[0].root.as_mapping().unwrap().get("pipeline").is_some(),
        "no byte order mark"
    );
}
