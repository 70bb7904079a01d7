//! From files to what the user wrote, and from there to typed settings, every key and value with its place.
//!
//! ```text
//! load(&paths, &lookup) -> Loaded { files, documents, reads, diagnostics }            load.rs, build.rs, interpolate.rs
//! Templates::read(&documents, &mut diagnostics) -> Templates                          template/
//! parse(&document, &mut files, &types, &mut templates, &mut diagnostics) -> Option<PipelineSpec>    pipeline.rs
//! read::<T>(&settings, key_span, "the settings of `dedup`", &mut diagnostics) -> Option<T>   de.rs
//! ```
//!
//! - A stage returns as much as it could read and adds to one [`Diagnostics`](crate::diagnostic::Diagnostics), so that
//!   later stages report their errors in the same run. [`Value::Broken`] marks what has been reported; whoever meets
//!   it stays silent. Nothing may be run while `diagnostics.has_errors()`.
//! - [`Loader::text`] reads a text in place of a file (embedded examples, tests). [`Loader::again`] reads a [`ReadFile`] as it
//!   was: what runs beside the files of an apply, and what a revision kept.
//! - `PipelineSpec` has the nodes of all sections in the order of the file (`node(name)`, `section(section)`), each
//!   with `name`, `section`, `type_name`, `settings` (a [`Node`]), `inputs` (port, address, both with spans), and the
//!   other engine words; `every`, `when`, `queue` and `retry` stay trees to be given to [`read`]. The key of the
//!   settings is `type_name`.
//! - [`read`] wants `T: DeserializeOwned` with `#[serde(deny_unknown_fields)]` or without: unknown keys are always
//!   reported. Fields may be [`Spanned`] to keep their place and [`Secret`] to take `secret://`. A `Deserialize` of
//!   your own reports under a rule by `D::Error::custom(rules::BAD_DURATION.says("..."))`; lines of the message that
//!   begin with `help: ` become help lines.
//! - What bounds a hostile file: [`FILE_BYTES_MAX`], [`TOTAL_BYTES_MAX`], [`NODES_MAX`], [`ALIAS_NODES_MAX`],
//!   [`DEPTH_MAX`].

mod build;
mod canonical;
mod de;
pub mod host;
pub mod http;
mod interpolate;
mod load;
pub mod mqtt;
pub mod pipeline;
mod reads;
mod secret;
mod spanned;
mod syntax;
mod template;
#[cfg(test)]
mod tests;
mod tree;

pub use build::{ALIAS_NODES_MAX, DEPTH_MAX, NODES_MAX};
pub use de::{read, read_showable};
pub use interpolate::{Lookup, Variable};
pub use load::{
    Document, FILE_BYTES_MAX, Loaded, Loader, TOTAL_BYTES_MAX, is_pipeline_file, load, pipelines_in,
};
pub use pipeline::{Address, EngineWord, InputSpec, NodeSpec, PipelineSpec, Section, parse};
pub use reads::{ReadFile, Tables, tables};
pub use secret::Secret;
pub use spanned::{Spanned, Text};
pub use template::{ParamType, Templates, Trial};
pub use tree::{Entry, Key, Mapping, Node, Scalar, Style, Value};
