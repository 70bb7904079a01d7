use std::fs;

use super::*;
use crate::plan::diff::{Change, PipelineFate, diff, nobody_asked};
use crate::plan::test_nodes::registry;

/// A folder with pipeline files, what runs from it, and the variables of whoever applies.
struct Place {
    folder: tempfile::TempDir,
    running: Vec<ReadFile>,
    variables: BTreeMap<String, String>,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Place { folder, running: Vec::new(), variables: BTreeMap::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file with a pipeline for each name.
    fn write(&self, file: &str, names: &[&str]) {
        let documents = names.iter().map(|name| pipeline(name));
        fs::write(self.path(file), documents.collect::<Vec<_>>().join("---\n")).unwrap();
    }

    fn plan(&self, paths: &[&str], all: bool) -> Planned {
        let paths: Vec<PathBuf> = paths.iter().map(|path| self.path(path)).collect();
        let lookup = |name: &str| self.variables.get(name).cloned();
        let scope = Scope { paths: &paths, all };
        candidate(&self.running, scope, &lookup, &lookup, &registry())
    }

    /// Applies, and says what that does to each pipeline: `+one`, `~two`, `-three`, `=four`.
    fn apply(&mut self, paths: &[&str], all: bool) -> Result<String, String> {
        let before = self.plan(&[], false).graph.unwrap_or_default();
        let planned = self.plan(paths, all);
        let Some(after) = planned.graph else {
            let said = planned.diagnostics.render(&planned.files, false);
            return Err(said.replace(&self.folder.path().display().to_string(), "dir"));
        };
        let changes = diff(&before, &after, &nobody_asked);
        let mut fates: Vec<String> = changes
            .pipelines
            .iter()
            .map(|one| match one.fate {
                PipelineFate::Added => format!("+{}", one.name),
                PipelineFate::Removed => format!("-{}", one.name),
                PipelineFate::Changed => format!("~{}", one.name),
                PipelineFate::Kept => format!("={}", one.name),
            })
            .collect();
        fates.sort_by_key(|fate| fate[1..].to_owned());
        self.running = planned.reads;
        Ok(fates.join(" "))
    }
}

fn pipeline(name: &str) -> String {
    format!(
        "pipeline: {name}\nsources:\n  air: {{ feed: {{ topic: {name} }}, as: {name} }}\nsinks:\n  end: {{ inputs: [air], post: {{}} }}\n"
    )
}

#[test]
fn an_apply_changes_what_its_paths_hold_and_nothing_else() {
    let mut place = Place::new();
    place.write("one/a.yaml", &["a"]);
    place.write("one/b.yaml", &["b", "bb"]);
    place.write("two/c.yaml", &["c"]);
    assert_eq!(place.apply(&["one/a.yaml"], false).unwrap(), "+a");
    assert_eq!(place.apply(&["two"], false).unwrap(), "=a +c");
    assert_eq!(place.apply(&["one"], false).unwrap(), "=a +b +bb =c");
    // What lies elsewhere runs on as it was read, whatever the disk says now.
    place.write("two/c.yaml", &["d"]);
    fs::remove_file(place.path("one/a.yaml")).unwrap();
    assert_eq!(place.apply(&["one/b.yaml"], false).unwrap(), "=a =b =bb =c");
    // A file that is gone, a document that is deleted, a pipeline with another name.
    place.write("one/b.yaml", &["bb"]);
    assert_eq!(place.apply(&["one"], false).unwrap(), "-a -b =bb =c");
    let renamed = place.apply(&["two/c.yaml"], false).unwrap();
    assert_eq!(renamed, "=bb -c +d", "other settings: another pipeline");
    // The whole set.
    assert_eq!(place.apply(&["two"], true).unwrap(), "-bb =d");
}

#[test]
fn files_in_folders_below_belong_to_those() {
    let mut place = Place::new();
    fs::create_dir(place.path("one/below")).unwrap();
    place.write("one/a.yaml", &["a"]);
    place.write("one/below/b.yaml", &["b"]);
    place.write("one/notes.txt", &["n"]);
    assert_eq!(place.apply(&["one", "one/below", "one/notes.txt"], false).unwrap(), "+a +b +n");
    fs::remove_file(place.path("one/below/b.yaml")).unwrap();
    fs::remove_file(place.path("one/notes.txt")).unwrap();
    assert_eq!(place.apply(&["one"], false).unwrap(), "=a =b =n");
    assert_eq!(place.apply(&["one/below"], false).unwrap(), "=a -b =n");
    assert_eq!(place.apply(&["one/notes.txt"], false).unwrap(), "=a -n");
}

#[test]
fn a_path_that_nothing_runs_from_has_to_be_there() {
    let mut place = Place::new();
    place.write("one/a.yaml", &["a"]);
    place.apply(&["one"], false).unwrap();
    assert!(place.apply(&["one/aa.yaml"], false).unwrap_err().contains("SM0001"));
    assert!(place.apply(&["two"], false).unwrap_err().contains("SM0004"));
    fs::remove_file(place.path("one/a.yaml")).unwrap();
    let whole = place.apply(&["one/a.yaml"], true).unwrap_err();
    assert!(whole.contains("SM0001"), "the whole set is not nothing by mistake: {whole}");
    assert_eq!(place.apply(&["one/a.yaml"], false).unwrap(), "-a");
}

#[test]
fn a_name_belongs_to_the_file_it_runs_from() {
    let mut place = Place::new();
    place.write("one/a.yaml", &["a"]);
    place.apply(&["one"], false).unwrap();
    place.write("two/b.yaml", &["a", "b"]);
    let said = place.apply(&["two"], false).unwrap_err();
    insta::assert_snapshot!(said, @r#"
error[SM0087]: the pipeline `a` runs from `dir/one/a.yaml`
 --> dir/two/b.yaml:1:11
  |
1 | pipeline: a
  |           ^
  |
  = help: give one of them another name
  = help: or, if it has moved, apply both files: `dir/one/a.yaml dir/two/b.yaml`

1 error
"#);
    // It has moved: both files are named.
    fs::remove_file(place.path("one/a.yaml")).unwrap();
    assert_eq!(place.apply(&["one/a.yaml", "two"], false).unwrap(), "~a +b");
}

#[test]
fn what_runs_elsewhere_is_checked_together_with_what_is_applied() {
    let mut place = Place::new();
    place.write("one/a.yaml", &["a"]);
    place.apply(&["one"], false).unwrap();
    fs::write(
        place.path("two/b.yaml"),
        "pipeline: b\nsinks:\n  end: { inputs: [a/air], post: {} }\n",
    )
    .unwrap();
    assert_eq!(place.apply(&["two"], false).unwrap(), "=a +b");
    place.write("one/a.yaml", &["other"]);
    let said = place.apply(&["one"], false).unwrap_err();
    assert!(said.contains("SM0071") && said.contains("dir/two/b.yaml:3"), "{said}");
}

#[test]
fn variables_and_tables_of_what_runs_stay_what_they_were() {
    let mut place = Place::new();
    let yaml = |name: &str| {
        format!(
            "pipeline: {name}\nsources:\n  air: {{ feed: {{ topic: \"${{TOPIC}}\" }}, as: {name}, labels_from: rooms.csv }}\nsinks:\n  end: {{ inputs: [air], post: {{ password: secret://env/PW, to: \"${{TO:-here}}\" }} }}\n"
        )
    };
    fs::write(place.path("one/a.yaml"), yaml("a")).unwrap();
    fs::write(place.path("two/b.yaml"), yaml("b")).unwrap();
    for folder in ["one", "two"] {
        fs::write(place.path(folder).join("rooms.csv"), "source,room\n*,hall\n").unwrap();
    }
    place.variables.insert("TOPIC".into(), "first".into());
    place.variables.insert("PW".into(), "hunter2".into());
    place.apply(&["one"], false).unwrap();
    let [read] = &place.running[..] else { panic!("one file") };
    let names: Vec<_> = read.variables.iter().map(|one| (&*one.name, one.is_secret)).collect();
    assert_eq!(names, [("TO", false), ("TOPIC", false), ("secret://env/PW", true)]);
    assert_eq!(read.beside.keys().collect::<Vec<_>>(), [&place.path("one/rooms.csv")]);
    assert!(!format!("{read:?} {:?}", read.variables).contains("hunter2"));

    place.variables.insert("TOPIC".into(), "second".into());
    place.variables.insert("TO".into(), "there".into());
    for folder in ["one", "two"] {
        fs::write(place.path(folder).join("rooms.csv"), "source,room\n*,attic\n").unwrap();
    }
    assert_eq!(place.apply(&["two"], false).unwrap(), "=a +b");
    let graph = place.plan(&[], false).graph.unwrap();
    let shown = |address: &str| {
        let node = &graph.dag[graph.find(address).unwrap()];
        format!("{:?} {:?}", node.settings, node.labels_from.as_ref().map(|(_, table)| table))
    };
    assert!(shown("a/air").contains("first") && shown("a/air").contains("hall"));
    assert!(shown("b/air").contains("second") && shown("b/air").contains("attic"));
    assert!(shown("a/end").contains("here") && shown("b/end").contains("there"));
    // Applied again, it takes what is there now; and a table counts by its rows.
    assert_eq!(place.apply(&["one"], false).unwrap(), "~a =b");
    fs::write(place.path("two/rooms.csv"), "source,room\n*,\"attic\"\n").unwrap();
    assert_eq!(place.apply(&["two"], false).unwrap(), "=a =b");
    fs::write(place.path("two/rooms.csv"), "source,room\n*,cellar\n").unwrap();
    let (before, after) = (place.plan(&[], false), place.plan(&["two"], false));
    let changes = diff(&before.graph.unwrap(), &after.graph.unwrap(), &nobody_asked);
    let air = changes.nodes.iter().find(|node| &*node.address == "b/air").unwrap();
    let Change::Changed { what, .. } = &air.change else { panic!("{air:?}") };
    let table = place.path("two/rooms.csv").display().to_string();
    assert_eq!(what[0].from.as_ref(), Some(&table));
    assert_eq!(what[0].to, Some(format!("{table}, other rows")));
    assert_eq!(place.apply(&["two"], false).unwrap(), "=a ~b");
    // What nobody names is not kept any longer.
    let other = place.path("one/other.csv");
    place.running[0].beside.insert(other, b"source\n".as_slice().into());
    for read in place.plan(&[], false).reads {
        let beside: Vec<_> = read.beside.keys().collect();
        assert_eq!(beside, [&read.path.with_file_name("rooms.csv")]);
    }
    // A secret is looked up again each time.
    place.variables.remove("PW");
    assert!(place.plan(&[], false).diagnostics.has_errors());
}

#[cfg(unix)]
#[test]
fn a_file_that_is_linked_into_a_folder_belongs_to_it() {
    use std::os::unix::fs::symlink;
    let mut place = Place::new();
    place.write("two/a.yaml", &["a"]);
    symlink(place.path("two/a.yaml"), place.path("one/a.yaml")).unwrap();
    symlink(place.path("one"), place.path("three")).unwrap();
    assert_eq!(place.apply(&["one"], false).unwrap(), "+a");
    assert_eq!(place.apply(&["one"], false).unwrap(), "=a");
    // By another way to the same folder, and to the same file: it is the file's path that changes.
    assert_eq!(place.apply(&["three"], false).unwrap(), "~a");
    assert_eq!(place.apply(&["two/a.yaml"], false).unwrap(), "~a");
    fs::remove_file(place.path("one/a.yaml")).unwrap();
    place.write("one/b.yaml", &["b"]);
    assert_eq!(place.apply(&["three"], false).unwrap(), "=a +b");
}
