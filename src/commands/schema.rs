//! `schema`: the JSON Schema of what users write and read.

use std::process::ExitCode;

use smollama_engine::schema;

use crate::cli::commands::{Schema, SchemaOf};
use crate::terminal::Failure;

pub(crate) fn schema(args: &Schema) -> Result<ExitCode, Failure> {
    super::print_json(&match args.of {
        SchemaOf::Pipeline => schema::pipeline_schema(&smollama_nodes::registry()),
        SchemaOf::Config => schema::config_schema(),
        SchemaOf::Items => schema::items_schema(),
        SchemaOf::Backtest => schema::backtest_schema(),
    })
}
