//! `inputs:`, a list for the port `main` or a mapping from ports to lists.

use std::sync::Arc;

use super::{Address, InputSpec, address::MAIN, node::Reader};
use crate::{
    config::{
        Spanned,
        tree::{Entry, Node, Value},
    },
    diagnostic::{Diagnostic, quoted, rules},
};

impl Reader<'_> {
    pub(super) fn inputs(&mut self, value: &Node) -> Vec<InputSpec> {
        match &value.value {
            Value::Sequence(list) => self.list(&Spanned::new(MAIN.into(), value.span), list),
            Value::Mapping(ports) => {
                ports.entries().iter().flat_map(|port| self.port(port)).collect()
            }
            _ => {
                let example = input_example(value);
                self.expected(
                    "inputs",
                    "a list, or a mapping from ports to lists",
                    &example,
                    value,
                );
                Vec::new()
            }
        }
    }

    fn port(&mut self, entry: &Entry) -> Vec<InputSpec> {
        let port = Spanned::new(entry.key.text.clone(), entry.key.span);
        match entry.value.as_sequence() {
            Some(list) => self.list(&port, list),
            None => {
                let example = format!(
                    "{}: {}",
                    entry.key.text,
                    &input_example(&entry.value)["inputs: ".len()..]
                );
                self.expected(&entry.key.text, "a list of nodes", &example, &entry.value);
                Vec::new()
            }
        }
    }

    fn list(&mut self, port: &Spanned<Arc<str>>, list: &[Node]) -> Vec<InputSpec> {
        list.iter()
            .filter_map(|node| {
                let from = self.address(node)?;
                Some(InputSpec { port: port.clone(), from })
            })
            .collect()
    }

    fn address(&mut self, node: &Node) -> Option<Spanned<Address>> {
        let scalar = match &node.value {
            Value::Scalar(scalar) if !scalar.is_null() && scalar.secret().is_none() => scalar,
            Value::Broken => return None,
            _ => {
                let message = format!("expected the address of a node, found {}", node.describe());
                let error = Diagnostic::error(&rules::WRONG_TYPE, node.span, message).help(
                    "an input is a node, or a port of it: `air`, `frost.news`, `weather/outdoor`",
                );
                self.diagnostics.push(error);
                return None;
            }
        };
        match Address::parse(scalar.text()) {
            Ok(address) => Some(Spanned::new(address, node.span)),
            Err(reason) => {
                let message = format!("{} is not an address: {reason}", quoted(scalar.text()));
                let error = Diagnostic::error(&rules::BAD_ADDRESS, node.span, message)
                    .help("write `node`, `node.port`, `pipeline/node` or `pipeline/node.port`");
                self.diagnostics.push(error);
                None
            }
        }
    }
}

/// How a single input would be written as a list.
fn input_example(value: &Node) -> String {
    match value.as_scalar() {
        Some(scalar) if Address::parse(scalar.text()).is_ok() => {
            format!("inputs: [{}]", scalar.text())
        }
        _ => "inputs: [node]".to_owned(),
    }
}
