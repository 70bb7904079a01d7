//! How templates use each other: what they name is there, and none uses itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{LEVELS_MAX, Template, Templates};
use crate::config::tree::Entry;
use crate::diagnostic::{Diagnostic, Diagnostics, Span, nearest, quoted, rules};

impl Template {
    /// The templates that its nodes name under `use`.
    fn uses(&self) -> impl Iterator<Item = (&Arc<str>, Span)> {
        self.nodes.iter().flat_map(|(_, node)| names(node)).map(|key| (&key.key.text, key.key.span))
    }
}

fn names(node: &Entry) -> &[Entry] {
    let used = node.value.as_mapping().and_then(|words| words.get("use"));
    used.and_then(|used| used.value.as_mapping()).map_or(&[], |names| names.entries())
}

impl Templates {
    /// Reports uses in templates that lead nowhere, in a circle, or too deep.
    pub(super) fn link(&mut self, diagnostics: &mut Diagnostics) {
        let mut broken = BTreeSet::new();
        for (name, template) in &self.by_name {
            for (used, span) in template.uses() {
                if !self.by_name.contains_key(used) {
                    diagnostics.push(self.unknown(used, span));
                    broken.insert(name.clone());
                }
            }
        }
        broken.extend(self.circles(diagnostics));
        for name in broken {
            self.by_name.entry(name).and_modify(|template| template.broken = true);
        }
    }

    pub(super) fn unknown(&self, name: &str, span: Span) -> Diagnostic {
        let message = format!("there is no template {}", quoted(name));
        let error = Diagnostic::error(&rules::UNKNOWN_TEMPLATE, span, message);
        match nearest(name, self.by_name.keys().map(|name| &**name)) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None if self.by_name.is_empty() => {
                error.help("apply the file that holds it together with this one")
            }
            None => error
                .help(format!(
                    "known are {}",
                    crate::diagnostic::all_of(self.by_name.keys().map(|name| &**name))
                ))
                .help("apply the file that holds it together with this one"),
        }
    }

    /// Takes templates away whose uses have all been taken away, level by level: what is left goes in circles, or leads to one.
    fn circles(&self, diagnostics: &mut Diagnostics) -> BTreeSet<Arc<str>> {
        let known = |template: &Template| -> BTreeSet<Arc<str>> {
            template
                .uses()
                .map(|(used, _)| used.clone())
                .filter(|u| self.by_name.contains_key(u))
                .collect()
        };
        let mut waits: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        let mut users: BTreeMap<Arc<str>, Vec<&Arc<str>>> = BTreeMap::new();
        for (name, template) in &self.by_name {
            let uses = known(template);
            waits.insert(name, uses.len());
            for used in uses {
                users.entry(used).or_default().push(name);
            }
        }
        let mut broken = BTreeSet::new();
        let mut level: Vec<&Arc<str>> =
            waits.iter().filter(|(_, waits)| **waits == 0).map(|(name, _)| *name).collect();
        let mut left: BTreeSet<&Arc<str>> = self.by_name.keys().collect();
        for depth in 1.. {
            let mut next = Vec::new();
            for name in level {
                left.remove(name);
                if depth > LEVELS_MAX {
                    let template = &self.by_name[name];
                    let message = format!("more than {LEVELS_MAX} templates lie in each other");
                    let error =
                        Diagnostic::error(&rules::TEMPLATE_RECURSION, template.name.span, message);
                    diagnostics.push(error.help("write some of them out"));
                    broken.insert(name.clone());
                }
                for &user in users.get(name).into_iter().flatten() {
                    if let Some(waits) = waits.get_mut(user) {
                        *waits -= 1;
                        if *waits == 0 {
                            next.push(user);
                        }
                    }
                }
            }
            if next.is_empty() {
                break;
            }
            level = next;
        }
        broken.extend(left.iter().map(|name| (*name).clone()));
        while let Some(first) = left.first().copied() {
            // Whoever is left uses one that is left: following them comes back.
            let mut way: Vec<(&Arc<str>, Span)> = Vec::new();
            let mut at = first;
            while let Some((used, span)) =
                self.by_name[at].uses().find(|(used, _)| left.contains(used))
            {
                way.push((at, span));
                at = used;
                if let Some(begin) = way.iter().position(|(name, _)| *name == at) {
                    diagnostics.push(circle(&way[begin..]));
                    break;
                }
            }
            for (name, _) in way {
                left.remove(name);
            }
            left.remove(first);
        }
        broken
    }
}

fn circle(way: &[(&Arc<str>, Span)]) -> Diagnostic {
    let [(first, span), rest @ ..] = way else {
        return Diagnostic::error(
            &rules::TEMPLATE_RECURSION,
            Span::NOWHERE,
            "a template uses itself",
        );
    };
    let names: Vec<&str> = way.iter().map(|(name, _)| &***name).collect();
    let message =
        format!("the template {} uses itself: {} > {first}", quoted(first), names.join(" > "));
    let error = Diagnostic::error(&rules::TEMPLATE_RECURSION, *span, message);
    let error = rest.iter().fold(error, |error, (_, span)| error.also(*span, "and on"));
    error.help("take one of these uses out")
}
