//! Which fields are wanted: names of columns, and paths into nested objects.

/// A set of wanted fields; each gets a small number, its slot.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    names: Vec<String>,
}

impl Fields {
    /// The slot of a field, the same for the same name.
    pub fn slot(&mut self, name: &str) -> usize {
        if let Some(slot) = self.names.iter().position(|known| known == name) {
            return slot;
        }
        self.names.push(name.to_owned());
        self.names.len() - 1
    }

    /// The names by slot.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// Stands for "no slot" and "no node".
pub(super) const NONE: u16 = u16::MAX;

/// The wanted paths as a tree of keys, in pre-order: a node's subtree is the nodes from it up to its `end`.
#[derive(Debug, Clone)]
pub(super) struct PathTree {
    pub(super) nodes: Vec<PathNode>,
}

#[derive(Debug, Clone)]
pub(super) struct PathNode {
    key: Box<[u8]>,
    pub(super) slot: u16,
    pub(super) end: u16,
}

/// The root is the row itself.
pub(super) const ROOT: u16 = 0;

#[derive(Default)]
struct Branch {
    slot: Option<u16>,
    children: Vec<(String, Branch)>,
}

impl PathTree {
    /// A dot in a name leads into a nested object; a dot that belongs to the key itself is written `\.`.
    pub(super) fn new(fields: &Fields) -> Self {
        let mut root = Branch::default();
        for (slot, name) in fields.names.iter().enumerate().take(usize::from(NONE)) {
            let mut branch = &mut root;
            for key in keys(name) {
                let found = branch.children.iter().position(|(known, _)| *known == key);
                let index = found.unwrap_or_else(|| {
                    branch.children.push((key, Branch::default()));
                    branch.children.len() - 1
                });
                branch = &mut branch.children[index].1;
            }
            branch.slot = Some(slot as u16);
        }
        let mut nodes = Vec::new();
        flatten("", &root, &mut nodes);
        PathTree { nodes }
    }

    /// The node of a key below another node.
    #[inline]
    pub(super) fn child(&self, of: u16, key: &[u8]) -> Option<u16> {
        let end = self.nodes.get(usize::from(of))?.end;
        let mut at = of + 1;
        while at < end {
            let node = &self.nodes[usize::from(at)];
            if *node.key == *key {
                return Some(at);
            }
            at = node.end;
        }
        None
    }
}

/// A path as it is shown: with its dots, but without the signs that make one part of a key.
#[must_use]
pub fn plain(name: &str) -> String {
    keys(name).join(".")
}

/// Whether a path leads through a place in an array, which only a walk through all fields finds ([`super::json::Leaves`]).
#[must_use]
pub fn leads_into_array(name: &str) -> bool {
    let place = |key: &String| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
    keys(name).iter().any(place)
}

fn keys(name: &str) -> Vec<String> {
    let mut keys = vec![String::new()];
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, keys.last_mut()) {
            ('.', _) => keys.push(String::new()),
            ('\\', Some(key)) if rest.peek() == Some(&'.') => key.extend(rest.next()),
            (c, Some(key)) => key.push(c),
            (_, None) => {}
        }
    }
    keys
}

fn flatten(key: &str, branch: &Branch, nodes: &mut Vec<PathNode>) {
    let at = nodes.len();
    let slot = branch.slot.unwrap_or(NONE);
    nodes.push(PathNode { key: key.as_bytes().into(), slot, end: NONE });
    for (key, child) in &branch.children {
        flatten(key, child, nodes);
    }
    nodes[at].end = nodes.len().min(usize::from(NONE)) as u16;
}
