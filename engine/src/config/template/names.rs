//! The names that the nodes of a template have in one use, and what they read from there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Template,
    fill::{Filler, Spent, references, whole},
    read::{port, scalar_node},
};
use crate::config::{
    pipeline::{Address, EngineWord},
    tree::{Entry, Key, Mapping, Node, Value},
};

/// Where the inner nodes of a use lie, and where they lay before it was renamed.
pub(super) struct Place {
    /// `kitchen`, `kitchen>inner`; empty where a template stands for itself.
    pub(super) path: Arc<str>,
    pub(super) was: Option<Arc<str>>,
}

/// Addresses by input port.
pub(super) type Inputs = BTreeMap<Arc<str>, Vec<Node>>;

/// The names of one instance.
pub(super) struct Names<'a> {
    pub(super) template: &'a Template,
    /// Of the `out` node.
    pub(super) out: Arc<str>,
    pub(super) path: Arc<str>,
    pub(super) inputs: &'a Inputs,
}

impl Names<'_> {
    pub(super) fn under(path: &str, name: &str) -> Arc<str> {
        if path.is_empty() { name.into() } else { format!("{path}>{name}").into() }
    }

    /// What a name of a node in the template becomes; behind it may follow those of nodes in an instance of its own.
    pub(super) fn of(&self, name: &str) -> Arc<str> {
        if *name == *self.template.out { self.out.clone() } else { Self::under(&self.path, name) }
    }

    /// An address as it is meant outside; one that names no node of the template is what it is.
    fn address(&self, node: &Node) -> Node {
        let Some(scalar) = node.as_scalar().filter(|scalar| references(scalar).is_empty()) else {
            return node.clone();
        };
        let Ok(address) = Address::parse(scalar.text()) else { return node.clone() };
        if address.pipeline.is_some() || !self.template.has(address.head()) {
            return node.clone();
        }
        let name = self.of(&address.node);
        scalar_node(Address { node: name, ..address }.to_string(), node.span)
    }
}

/// The name that a node of a template had there before, or has.
pub(super) fn own_name(node: &Entry) -> &str {
    let before = node.value.as_mapping().and_then(|words| words.get("renamed_from"));
    before.and_then(|entry| entry.value.as_scalar()).map_or(&*node.key.text, |name| name.text())
}

impl Filler<'_> {
    /// A node of the template with its arguments, and with addresses as they are meant outside.
    pub(super) fn node_of(
        &mut self,
        node: &Entry,
        names: &Names<'_>,
        place: &Place,
    ) -> Result<Entry, Spent> {
        let Some(words) = node.value.as_mapping() else { return self.entry(node) };
        let mut entries = Vec::with_capacity(words.len() + 1);
        let mut renamed = false;
        for word in words.entries() {
            let mut entry = Entry { key: word.key.clone(), value: word.value.clone() };
            entry.key.span = self.place(word.key.span);
            entry.value = match EngineWord::from_key(&word.key.text) {
                Some(EngineWord::Inputs) => self.inputs(&word.value, names)?,
                Some(EngineWord::RenamedFrom) => {
                    renamed = true;
                    let path = place.was.as_ref().unwrap_or(&place.path);
                    let span = self.place(word.value.span);
                    let is_name =
                        word.value.as_scalar().is_some_and(|name| references(name).is_empty());
                    match is_name {
                        true => scalar_node(Names::under(path, own_name(node)), span),
                        false => self.node(&word.value)?,
                    }
                }
                _ => self.node(&word.value)?,
            };
            entries.push(entry);
        }
        if let Some(was) = place.was.as_ref().filter(|_| !renamed) {
            let span = self.place(node.key.span);
            let key = Key { text: EngineWord::RenamedFrom.key().into(), span };
            let value = scalar_node(Names::under(was, &node.key.text), span);
            entries.push(Entry { key, value });
        }
        let mut key = node.key.clone();
        key.span = self.place(key.span);
        let span = self.place(node.value.span);
        Ok(Entry { key, value: Node { span, value: Value::Mapping(Mapping::new(entries)) } })
    }

    fn inputs(&mut self, node: &Node, names: &Names<'_>) -> Result<Node, Spent> {
        let span = self.place(node.span);
        let value = match &node.value {
            Value::Mapping(ports) => {
                let ports = ports.entries().iter().map(|port| {
                    let key = Key { span: self.place(port.key.span), ..port.key.clone() };
                    Ok(Entry { key, value: self.list(&port.value, names)? })
                });
                Value::Mapping(Mapping::new(ports.collect::<Result<_, Spent>>()?))
            }
            _ => return self.list(node, names),
        };
        Ok(Node { span, value })
    }

    fn list(&mut self, node: &Node, names: &Names<'_>) -> Result<Node, Spent> {
        let span = self.place(node.span);
        let given = |node: &Node| {
            let port = node.as_scalar().and_then(whole).and_then(port)?;
            Some(names.inputs.get(port).cloned().unwrap_or_default())
        };
        if let Some(given) = given(node) {
            return Ok(Node { span, value: Value::Sequence(given.into()) });
        }
        let Value::Sequence(list) = &node.value else { return self.node(node) };
        let mut addresses = Vec::with_capacity(list.len());
        for node in &**list {
            match given(node) {
                Some(given) => {
                    let left = self.budget.values.checked_sub(given.len());
                    self.budget.values = left.ok_or(Spent)?;
                    addresses.extend(given);
                }
                None => addresses.push(self.node(&names.address(node))?),
            }
        }
        Ok(Node { span, value: Value::Sequence(addresses.into()) })
    }
}
