//! Rules about the paths and files that were named.

use super::{Fix, Rule};

/// This table, by id.
pub(super) static ALL: &[&Rule] = &[
    &MISSING_PATH,
    &UNREADABLE_PATH,
    &NOT_A_FILE,
    &NO_PIPELINES,
    &EMPTY_FILE,
    &NOT_UTF8,
    &FILE_TOO_LARGE,
];

/// No such file or folder.
pub static MISSING_PATH: Rule = Rule {
    id: "SM0001",
    name: "missing-path",
    title: "no such file or folder",
    meaning: "A path that was named does not exist. Paths are taken as they are written, from the \
        folder the command was started in.",
    example: "",
    fix: Fix::Words(
        "Check the spelling, or start the command in the folder the path is relative to.",
    ),
};

/// A file or folder cannot be read.
pub static UNREADABLE_PATH: Rule = Rule {
    id: "SM0002",
    name: "unreadable-path",
    title: "a file or folder cannot be read",
    meaning: "The operating system refused to open the path, for instance because the user that runs \
        the engine has no permission to read it. The message repeats what the system said.",
    example: "",
    fix: Fix::Words(
        "Give the user read permission (for a folder also the permission to enter it), or name \
        another path.",
    ),
};

/// The path is neither a file nor a folder.
pub static NOT_A_FILE: Rule = Rule {
    id: "SM0003",
    name: "not-a-file",
    title: "the path is neither a file nor a folder",
    meaning: "Pipelines are read from plain files. A device, socket or named pipe is refused, because \
        reading it might never end.",
    example: "",
    fix: Fix::Words("Write the pipeline into a file and name that."),
};

/// A folder holds no pipeline files.
pub static NO_PIPELINES: Rule = Rule {
    id: "SM0004",
    name: "no-pipelines",
    title: "a folder holds no pipeline files",
    meaning: "A folder stands for the `*.yaml` and `*.yml` files directly in it. Hidden files and \
        files in sub-folders do not count.",
    example: "",
    fix: Fix::Words("Name the folder that holds the files, or name the files themselves."),
};

/// A file holds nothing.
pub static EMPTY_FILE: Rule = Rule {
    id: "SM0005",
    name: "empty-file",
    title: "a file holds nothing",
    meaning: "The file is empty, or holds only comments. A pipeline needs at least a name and one \
        node.",
    example: "# to do",
    fix: Fix::Yaml(
        "\
pipeline: home
sources:
  board: { system: {} }",
    ),
};

/// A file is not UTF-8 text.
pub static NOT_UTF8: Rule = Rule {
    id: "SM0006",
    name: "not-utf8",
    title: "a file is not UTF-8 text",
    meaning: "Pipelines are UTF-8 text. The file holds bytes that are not, usually because it was \
        saved in another encoding (Latin-1, UTF-16) or is not a text file at all.",
    example: "",
    fix: Fix::Words(
        "Save the file as UTF-8. `iconv -f latin1 -t utf-8 old.yaml > new.yaml` converts one.",
    ),
};

/// More text than a pipeline may have.
pub static FILE_TOO_LARGE: Rule = Rule {
    id: "SM0007",
    name: "file-too-large",
    title: "more text than a pipeline may have",
    meaning: "One file may have 16 MiB, all files of one command together 64 MiB. This bounds the \
        memory that a hostile or mistaken file can take.",
    example: "",
    fix: Fix::Words(
        "Split the pipeline into several files; they may refer to each other's nodes as \
        `pipeline/node`. Tables of data belong in a file that a node reads, not in the pipeline.",
    ),
};
