//! `pipeline/node.port`; inside a use of a template `pipeline/use>node.port`.

use std::{fmt, sync::Arc};

use super::parse::is_name;

/// The port that is meant when none is written.
pub(crate) const MAIN: &str = "main";

/// A port of a node, as an input names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The pipeline, if it is written.
    pub pipeline: Option<Arc<str>>,
    /// The node; inside a use of a template `use>node`.
    pub node: Arc<str>,
    /// The port, if it is written.
    pub port: Option<Arc<str>>,
}

impl Address {
    /// Reads `node`, `node.port`, `pipeline/node` or `pipeline/node.port`, where a node may be `use>node`; the error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (pipeline, rest) = match text.split_once('/') {
            Some((pipeline, rest)) => (Some(pipeline), rest),
            None => (None, text),
        };
        let (node, port) = match rest.split_once('.') {
            Some((node, port)) => (node, Some(port)),
            None => (rest, None),
        };
        let part = |what: &str, name: &str| match name {
            "" => Err(format!("the name of the {what} is missing")),
            _ if is_name(name) => Ok(Arc::from(name)),
            _ => Err(format!("`{name}` cannot be the name of a {what}")),
        };
        for node in node.split('>') {
            part("node", node)?;
        }
        Ok(Self {
            pipeline: pipeline.map(|name| part("pipeline", name)).transpose()?,
            node: node.into(),
            port: port.map(|name| part("port", name)).transpose()?,
        })
    }

    /// The name that the pipeline itself gives: of the node, or of the use that it lies in.
    #[must_use]
    pub fn head(&self) -> &str {
        self.node.split_once('>').map_or(&self.node, |(head, _)| head)
    }

    /// The port, `main` unless it is written.
    pub fn port_or_main(&self) -> &str {
        self.port.as_deref().unwrap_or(MAIN)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pipeline) = &self.pipeline {
            write!(f, "{pipeline}/")?;
        }
        f.write_str(&self.node)?;
        match &self.port {
            Some(port) => write!(f, ".{port}"),
            None => Ok(()),
        }
    }
}
