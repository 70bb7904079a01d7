//! A revision as bytes: what it is, then the contents of all its files in one compressed piece, so that a list need not unpack them.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use smollama_engine::time::Timestamp;

use super::revision::{
    Revision, RevisionFile, RevisionPipeline, RevisionVariable, Role, SecretHash, Stored, Summary,
    VariableValue,
};
use crate::envelope::{Kind, Unreadable, open, seal};

pub(super) const KIND: Kind = Kind { name: "revision", magic: *b"smolrevn", format: 1 };

/// What zstd calls its default; text of this size takes a moment at any level.
const COMPRESSION: i32 = 3;

/// The head of format 1, as postcard writes it; the compressed contents follow. The structs are apart from those outside: those may
/// change, these may not.
#[derive(Serialize, Deserialize)]
struct HeadForm<'a> {
    number: u64,
    previous: u64,
    time_us: i64,
    actor: &'a str,
    message: &'a str,
    /// Bytes, as the kernel has them: a path need not be text.
    #[serde(borrow)]
    paths: Vec<&'a [u8]>,
    files: Vec<FileForm<'a>>,
    variables: Vec<(&'a str, ValueForm<'a>)>,
    pipelines: Vec<(&'a str, &'a [u8])>,
}

#[derive(Serialize, Deserialize)]
struct FileForm<'a> {
    path: &'a [u8],
    role: RoleForm,
    len: u64,
}

#[derive(Serialize, Deserialize)]
enum RoleForm {
    Pipeline,
    Template,
    Table,
    Script,
}

#[derive(Serialize, Deserialize)]
enum ValueForm<'a> {
    Unset,
    Plain(&'a str),
    Secret([u8; 32]),
}

/// The whole file of a revision.
pub(super) fn encode(
    number: u64,
    previous: u64,
    revision: &Revision,
) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let Revision { time, actor, message, paths, files, variables, pipelines } = revision;
    let head = HeadForm {
        number,
        previous,
        time_us: time.as_micros(),
        actor,
        message,
        paths: paths.iter().map(|path| bytes_of(path)).collect(),
        files: files.iter().map(file_form).collect(),
        variables: variables.iter().map(|one| (&*one.name, value_form(&one.value))).collect(),
        pipelines: pipelines.iter().map(|one| (&*one.name, bytes_of(&one.file))).collect(),
    };
    let contents: Vec<u8> = files.iter().flat_map(|file| &file.bytes).copied().collect();
    let mut body = postcard::to_stdvec(&head)?;
    body.extend(zstd::bulk::compress(&contents, COMPRESSION)?);
    Ok(seal(&KIND, &body))
}

fn bytes_of(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

fn file_form(file: &RevisionFile) -> FileForm<'_> {
    let RevisionFile { path, role, bytes } = file;
    let role = match role {
        Role::Pipeline => RoleForm::Pipeline,
        Role::Template => RoleForm::Template,
        Role::Table => RoleForm::Table,
        Role::Script => RoleForm::Script,
    };
    FileForm { path: bytes_of(path), role, len: bytes.len() as u64 }
}

fn value_form(value: &VariableValue) -> ValueForm<'_> {
    match value {
        VariableValue::Unset => ValueForm::Unset,
        VariableValue::Plain(text) => ValueForm::Plain(text),
        VariableValue::Secret(SecretHash(hash)) => ValueForm::Secret(*hash),
    }
}

/// The head of a file, and the compressed contents behind it.
fn head(file: &[u8], number: u64) -> Result<(HeadForm<'_>, &[u8]), Unreadable> {
    let (_format, body) = open(&KIND, file)?;
    let (head, contents): (HeadForm<'_>, &[u8]) =
        postcard::take_from_bytes(body).map_err(Unreadable::damaged)?;
    if head.number != number {
        return Err(Unreadable::Damaged(format!("it is number {}", head.number)));
    }
    Ok((head, contents))
}

/// What a list says of a revision.
pub(super) fn summary(file: &[u8], number: u64) -> Result<Summary, Unreadable> {
    let (head, _) = head(file, number)?;
    Ok(Summary {
        previous: head.previous,
        time: Timestamp::from_micros(head.time_us),
        actor: head.actor.into(),
        message: head.message.into(),
        paths: head.paths.iter().map(|path| path_of(path)).collect(),
        pipelines: pipelines(&head.pipelines),
        files: head.files.len(),
    })
}

/// A revision out of its whole file.
pub(super) fn decode(file: &[u8], number: u64) -> Result<Stored, Unreadable> {
    let (head, contents) = head(file, number)?;
    let lens = head.files.iter().map(|file| usize::try_from(file.len).ok());
    let len = lens.clone().try_fold(0_usize, |sum, len| sum.checked_add(len?));
    let len = len.ok_or_else(|| Unreadable::damaged("its files are too long"))?;
    let contents = unpack(contents, len).map_err(Unreadable::damaged)?;
    let mut rest = &contents[..];
    let mut files = Vec::with_capacity(head.files.len());
    for (file, len) in head.files.iter().zip(lens) {
        let split = len.and_then(|len| rest.split_at_checked(len));
        let (bytes, after) = split.ok_or_else(|| Unreadable::damaged("a file is missing"))?;
        rest = after;
        let role = match file.role {
            RoleForm::Pipeline => Role::Pipeline,
            RoleForm::Template => Role::Template,
            RoleForm::Table => Role::Table,
            RoleForm::Script => Role::Script,
        };
        files.push(RevisionFile { path: path_of(file.path), role, bytes: bytes.to_vec() });
    }
    let revision = Revision {
        time: Timestamp::from_micros(head.time_us),
        actor: head.actor.into(),
        message: head.message.into(),
        paths: head.paths.iter().map(|path| path_of(path)).collect(),
        files,
        variables: head.variables.iter().map(variable).collect(),
        pipelines: pipelines(&head.pipelines),
    };
    Ok(Stored { number, previous: head.previous, revision })
}

/// Unpacks to at most as many bytes as there should be, and one: what is too long is found without taking the memory for it.
fn unpack(packed: &[u8], len: usize) -> std::io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    let limit = u64::try_from(len).unwrap_or(u64::MAX).saturating_add(1);
    zstd::Decoder::new(packed)?.take(limit).read_to_end(&mut contents)?;
    if contents.len() == len {
        return Ok(contents);
    }
    Err(std::io::Error::other("its files have another length"))
}

fn variable((name, value): &(&str, ValueForm<'_>)) -> RevisionVariable {
    let value = match value {
        ValueForm::Unset => VariableValue::Unset,
        ValueForm::Plain(text) => VariableValue::Plain((*text).into()),
        ValueForm::Secret(hash) => VariableValue::Secret(SecretHash(*hash)),
    };
    RevisionVariable { name: (*name).into(), value }
}

fn pipelines(forms: &[(&str, &[u8])]) -> Vec<RevisionPipeline> {
    let one = |(name, file): &(&str, &[u8])| RevisionPipeline {
        name: (*name).into(),
        file: path_of(file),
    };
    forms.iter().map(one).collect()
}
