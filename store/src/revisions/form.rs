//! A revision as bytes: what it is, then the contents of all its files in one compressed piece, so that a list need not unpack them.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use smollama_engine::time::Timestamp;

use super::revision::{
    Revision, RevisionBeside, RevisionFile, RevisionPipeline, RevisionVariable, Role, SecretHash,
    Stored, Summary, VariableValue,
};
use crate::envelope::{Kind, Unreadable, open, seal};

pub(crate) const KIND: Kind = Kind { name: "revision", magic: *b"smolrevn", format: 1 };

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
    pipelines: Vec<(&'a str, &'a [u8])>,
}

#[derive(Serialize, Deserialize)]
struct FileForm<'a> {
    path: &'a [u8],
    len: u64,
    #[serde(borrow)]
    variables: Vec<(&'a str, ValueForm<'a>)>,
    beside: Vec<BesideForm<'a>>,
}

#[derive(Serialize, Deserialize)]
struct BesideForm<'a> {
    path: &'a [u8],
    role: RoleForm,
    len: u64,
}

#[derive(Serialize, Deserialize)]
enum RoleForm {
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
    let Revision { time, actor, message, paths, files, pipelines } = revision;
    let head = HeadForm {
        number,
        previous,
        time_us: time.as_micros(),
        actor,
        message,
        paths: paths.iter().map(|path| bytes_of(path)).collect(),
        files: files.iter().map(file_form).collect(),
        pipelines: pipelines.iter().map(|one| (&*one.name, bytes_of(&one.file))).collect(),
    };
    let mut contents = Vec::new();
    for file in files {
        contents.extend_from_slice(file.text.as_bytes());
        file.beside.iter().for_each(|beside| contents.extend_from_slice(&beside.bytes));
    }
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
    let RevisionFile { path, text, variables, beside } = file;
    FileForm {
        path: bytes_of(path),
        len: text.len() as u64,
        variables: variables.iter().map(|one| (&*one.name, value_form(&one.value))).collect(),
        beside: beside.iter().map(beside_form).collect(),
    }
}

fn beside_form(beside: &RevisionBeside) -> BesideForm<'_> {
    let RevisionBeside { path, role, bytes } = beside;
    let role = match role {
        Role::Template => RoleForm::Template,
        Role::Table => RoleForm::Table,
        Role::Script => RoleForm::Script,
    };
    BesideForm { path: bytes_of(path), role, len: bytes.len() as u64 }
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
    let (head, packed) = head(file, number)?;
    let mut contents = Contents::unpack(packed, &head)?;
    let files = head.files.iter().map(|form| contents.file(form)).collect::<Result<_, _>>()?;
    let revision = Revision {
        time: Timestamp::from_micros(head.time_us),
        actor: head.actor.into(),
        message: head.message.into(),
        paths: head.paths.iter().map(|path| path_of(path)).collect(),
        files,
        pipelines: pipelines(&head.pipelines),
    };
    Ok(Stored { number, previous: head.previous, revision })
}

/// The contents of all files, in their order.
struct Contents {
    bytes: Vec<u8>,
    taken: usize,
}

impl Contents {
    /// Unpacks to at most as many bytes as there should be, and one: what is too long is found without taking the memory for it.
    fn unpack(packed: &[u8], head: &HeadForm<'_>) -> Result<Contents, Unreadable> {
        let beside =
            |file: &FileForm<'_>| file.beside.iter().map(|one| one.len).collect::<Vec<_>>();
        let lens = head.files.iter().flat_map(|file| std::iter::once(file.len).chain(beside(file)));
        let len = lens.fold(0, u64::saturating_add);
        let (mut bytes, limit) = (Vec::new(), len.saturating_add(1));
        let unpacked = zstd::Decoder::new(packed)
            .and_then(|packed| packed.take(limit).read_to_end(&mut bytes));
        match unpacked {
            Ok(_) if bytes.len() as u64 == len => Ok(Contents { bytes, taken: 0 }),
            Ok(_) => Err(Unreadable::damaged("its files have another length")),
            Err(error) => Err(Unreadable::damaged(error)),
        }
    }

    fn take(&mut self, len: u64) -> Result<Vec<u8>, Unreadable> {
        let left = self.bytes.get(self.taken..).unwrap_or_default();
        let found = usize::try_from(len).ok().and_then(|len| left.get(..len));
        let found = found.ok_or_else(|| Unreadable::damaged("a file is missing"))?;
        self.taken += found.len();
        Ok(found.to_vec())
    }

    fn file(&mut self, form: &FileForm<'_>) -> Result<RevisionFile, Unreadable> {
        let text = String::from_utf8(self.take(form.len)?).map_err(Unreadable::damaged)?;
        let beside = form.beside.iter().map(|form| self.beside(form)).collect::<Result<_, _>>()?;
        let variables = form.variables.iter().map(variable).collect();
        Ok(RevisionFile { path: path_of(form.path), text, variables, beside })
    }

    fn beside(&mut self, form: &BesideForm<'_>) -> Result<RevisionBeside, Unreadable> {
        let role = match form.role {
            RoleForm::Template => Role::Template,
            RoleForm::Table => Role::Table,
            RoleForm::Script => Role::Script,
        };
        Ok(RevisionBeside { path: path_of(form.path), role, bytes: self.take(form.len)? })
    }
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
