//! What the YAML parser complains about, in words for people who do not know its grammar.

use granit_parser::{ErrorKind, ScanError};

use super::build::DEPTH_MAX;
use crate::diagnostic::{Diagnostic, FileId, Span, rules};

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
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(span),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::InvalidBlockEntryWhitespace
        | ErrorKind::InvalidMappingValueWhitespace
        | ErrorKind::TabInPlainScalar => Diagnostic::error(
            &rules::TAB_INDENTATION,
            span,
            "a tab stands where YAML takes only spaces",
        )
        .help("indent with spaces; most editors can convert the whole file"),
        ErrorKind::UnclosedFlowCollection { open } => {
            let close = if *open == '{' { '}' } else { ']' };
            not_yaml(&format!("`{open}` is never closed"), &format!("add `{close}` where it ends"))
        }
        ErrorKind::UnexpectedEofFlowMapping | ErrorKind::UnexpectedEofImplicitFlowMapping => {
            not_yaml("`{` is never closed", "add `}` where it ends")
        }
        ErrorKind::UnexpectedEofFlowSequence => {
            not_yaml("`[` is never closed", "add `]` where it ends")
        }
        ErrorKind::ExpectedFlowMappingSeparator => not_yaml(
            "expected `,` or `}` in a mapping in braces",
            "close it with `}`, or put text that holds `,`, `:` or braces in quotes",
        ),
        ErrorKind::ExpectedFlowSequenceSeparator => not_yaml(
            "expected `,` or `]` in a list in brackets",
            "close it with `]`, or put text that holds `,`, `:` or brackets in quotes",
        ),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => not_yaml(
            &format!("`{open}` is closed by `{close}`"),
            "use the bracket that belongs to it",
        ),
        ErrorKind::MisplacedFlowCollectionEnd => not_yaml(
            "a bracket closes that was never opened",
            "take it out, or put the text in quotes",
        ),
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => {
            not_yaml("a quote is never closed", "add the closing quote")
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => not_yaml(
            "a `:` is not allowed here",
            "put text that holds `: ` in quotes, and each key on a line of its own",
        ),
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::InvalidIndentation
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::BlockSequenceEntryNotAllowed => not_yaml(
            "this line does not fit the lines above it",
            "give lines that belong together the same indentation; a list has `- ` before each element",
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => not_yaml(
            "expected `:` after a key",
            "write `key: value`; text over several lines begins with `|` or stands in quotes",
        ),
        ErrorKind::UnexpectedCharacter { character: character @ ('@' | '`' | '%') } => not_yaml(
            &format!(
                "a value cannot begin with `{}`",
                if *character == '`' { "backtick".into() } else { character.to_string() }
            ),
            "put the text in quotes",
        ),
        kind => not_yaml(&kind.to_string().replace('\'', "`").to_lowercase(), ""),
    }
}

/// The diagnostic of a file that nests too deeply.
pub(super) fn too_deep(span: Span) -> Diagnostic {
    let message = format!("more than {DEPTH_MAX} lists and mappings lie in each other");
    Diagnostic::error(&rules::NESTING_TOO_DEEP, span, message)
        .label("the document is not read beyond this")
}
