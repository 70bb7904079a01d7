//! What the YAML parser complains about, in words for people who do not know its grammar.

use granit_parser::{ErrorKind, ScanError};

use super::build::DEPTH_MAX;
use crate::diagnostic::{Diagnostic, FileId, Span, quoted, rules};

/// The diagnostic of a syntax error.
pub(super) fn diagnostic(file: FileId, text: &str, error: &ScanError) -> Diagnostic {
    let offset = error.marker().byte_offset().unwrap_or(0).min(text.len());
    let start = u32::try_from(offset).unwrap_or(u32::MAX);
    let width = text.get(offset..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    let end = start.saturating_add(u32::try_from(width).unwrap_or(0));
    let span = Span { file, start, end };
    let not_yaml = |message: &str, help: &str| {
        let error = Diagnostic::error(&rules::NOT_YAML, span, message);
        if help.is_empty() { error } else { error.help(help) }
    };
    if let Some(variable) = bare_variable(text, offset) {
        let end = start.saturating_add(u32::try_from(variable.len()).unwrap_or(0));
        let before = Span { start: start.saturating_sub(1), end, ..span };
        let message = format!(
            "{} has to stand in quotes inside `{{ }}` and `[ ]`",
            quoted(&format!("${variable}"))
        );
        return Diagnostic::error(&rules::NOT_YAML, before, message)
            .help(format!("write `\"${variable}\"`; a number stays a number"));
    }
    if text.get(offset..).is_some_and(|rest| rest.starts_with(',')) {
        return not_yaml(
            "nothing stands before this `,`",
            "take the `,` out, or write a value before it",
        );
    }
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(span),
        kind if is_about_tabs(kind) => {
            let message = "a tab stands where YAML takes only spaces";
            Diagnostic::error(&rules::TAB_INDENTATION, span, message)
                .help("indent with spaces; most editors can convert the whole file")
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            let close = if *open == '{' { '}' } else { ']' };
            not_yaml(&format!("`{open}` is never closed"), &format!("add `{close}` where it ends"))
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            let message = format!("`{open}` is closed by `{close}`");
            not_yaml(&message, "use the bracket that belongs to it")
        }
        ErrorKind::UnexpectedCharacter { character } => {
            let message = format!("a value cannot begin with {character:?}");
            not_yaml(&message.replace('\'', "`"), "put the text in quotes")
        }
        kind => match words(kind) {
            Some((message, help)) => not_yaml(message, help),
            None => not_yaml(&kind.to_string().replace('\'', "`").to_lowercase(), ""),
        },
    }
}

fn is_about_tabs(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::InvalidBlockEntryWhitespace
            | ErrorKind::InvalidMappingValueWhitespace
            | ErrorKind::TabInPlainScalar
    )
}

/// Message and help for the errors that people make; the parser's own words serve for the others.
fn words(kind: &ErrorKind) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        ErrorKind::UnexpectedEofFlowMapping | ErrorKind::UnexpectedEofImplicitFlowMapping => {
            ("`{` is never closed", "add `}` where it ends")
        }
        ErrorKind::UnexpectedEofFlowSequence => ("`[` is never closed", "add `]` where it ends"),
        ErrorKind::ExpectedFlowMappingSeparator => (
            "expected `,` or `}` in a mapping in braces",
            "close it with `}`, or put text that holds `,`, `:` or braces in quotes",
        ),
        ErrorKind::ExpectedFlowSequenceSeparator => (
            "expected `,` or `]` in a list in brackets",
            "close it with `]`, or put text that holds `,`, `:` or brackets in quotes",
        ),
        ErrorKind::MisplacedFlowCollectionEnd => {
            ("a bracket closes that was never opened", "take it out, or put the text in quotes")
        }
        ErrorKind::InvalidQuotedScalarIndent => (
            "a quote that was opened above is not closed",
            "add the closing quote, or indent the lines that the text goes on in",
        ),
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => {
            ("a quote is never closed", "add the closing quote")
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => (
            "a `:` is not allowed here",
            "put text that holds `: ` in quotes, and each key on a line of its own",
        ),
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::BlockSequenceEntryNotAllowed => (
            "this line does not fit the lines above it",
            "give lines that belong together the same indentation; a list has `- ` before each element",
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => (
            "expected `:` after a key",
            "write `key: value`; text over several lines begins with `|` or stands in quotes",
        ),
        _ => return None,
    })
}

/// The `{NAME}` at `offset` of a `${NAME}` that YAML took for the beginning of a mapping.
fn bare_variable(text: &str, offset: usize) -> Option<&str> {
    let braced = text.get(offset..)?.split_inclusive(['}', '\n']).next()?;
    let is_variable =
        text.get(..offset)?.ends_with('$') && braced.starts_with('{') && braced.ends_with('}');
    is_variable.then_some(braced)
}

/// The diagnostic of a file that nests too deeply.
pub(super) fn too_deep(span: Span) -> Diagnostic {
    let message = format!("more than {DEPTH_MAX} lists and mappings lie in each other");
    Diagnostic::error(&rules::NESTING_TOO_DEEP, span, message)
        .label("the document is not read beyond this")
        .help("a pipeline needs no more than ten; write it flatter")
}
