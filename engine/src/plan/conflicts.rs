//! Two nodes that want the same thing: a file, a port, the ids of a source.

use std::collections::BTreeMap;

use super::graph::PlannedNode;
use crate::diagnostic::{Diagnostic, Diagnostics, rules};
use crate::registry::Claim;

/// Reports nodes that claim the same exclusive thing.
pub(super) fn claims(nodes: &[&PlannedNode], diagnostics: &mut Diagnostics) {
    let mut holders: BTreeMap<(&str, &str), &PlannedNode> = BTreeMap::new();
    for node in nodes {
        for Claim { what, key } in &node.profile.claims {
            let Some(holder) = holders.get(&(*what, key.as_str())) else {
                holders.insert((what, key), node);
                continue;
            };
            let rule = if *what == "the file" {
                &rules::OUTPUT_CONFLICT
            } else {
                &rules::RESOURCE_CONFLICT
            };
            let message =
                format!("`{}` and `{}` both use {what} `{key}`", holder.address, node.address);
            let error = Diagnostic::error(rule, node.type_span, message)
                .also(holder.type_span, "used here first")
                .help("give one of them another, or let both nodes' inputs go to one node");
            diagnostics.push(error);
        }
    }
}

/// Reports source nodes that could give one id to two things.
pub(super) fn sources(nodes: &[&PlannedNode], diagnostics: &mut Diagnostics) {
    let mut by_type: BTreeMap<&str, Vec<&PlannedNode>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.profile.pace.is_some()) {
        by_type.entry(&node.type_part).or_default().push(node);
    }
    for group in by_type.into_values() {
        for (position, node) in group.iter().enumerate() {
            if let Some(error) = group[..position].iter().find_map(|other| conflict(other, node)) {
                diagnostics.push(error);
            }
        }
    }
}

fn conflict(first: &PlannedNode, second: &PlannedNode) -> Option<Diagnostic> {
    let type_part = &second.type_part;
    let help = format!("tell them apart with `as:`, for example `as: {}`", second.name);
    let report = |error: Diagnostic| error.also(first.span, "the other source").help(help.clone());
    match (&first.profile.ids, &second.profile.ids) {
        (Some(a), Some(b)) => {
            let (one, _) = a
                .iter()
                .flat_map(|a| b.iter().map(move |b| (a, b)))
                .find(|(a, b)| overlap(a.as_str(), b.as_str()))?;
            let message = format!(
                "`{}` and `{}` can both give the id `{type_part}:{}`",
                first.address, second.address, one
            );
            Some(report(Diagnostic::error(&rules::SOURCE_CONFLICT, second.span, message)))
        }
        _ => {
            let message = format!(
                "`{}` and `{}` both give ids of type `{type_part}`, which may collide",
                first.address, second.address
            );
            Some(report(Diagnostic::warning(
                &rules::POSSIBLE_SOURCE_CONFLICT,
                second.span,
                message,
            )))
        }
    }
}

/// Whether some text fits both patterns: the product of the two, searched. `*` and `?` stop at `/` and `:`, `**` does not.
fn overlap(a: &str, b: &str) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum Step {
        Char(char),
        One,
        Some,
        Any,
    }
    fn steps(pattern: &str) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            steps.push(match c {
                '*' if chars.next_if_eq(&'*').is_some() => Step::Any,
                '*' => Step::Some,
                '?' => Step::One,
                c => Step::Char(c),
            });
        }
        steps
    }
    /// Whether one character can be taken by both.
    fn both(a: Step, b: Step) -> bool {
        let bound = |step: Step| matches!(step, Step::One | Step::Some);
        match (a, b) {
            (Step::Char(a), Step::Char(b)) => a == b,
            (Step::Char(c), other) | (other, Step::Char(c)) => {
                !(bound(other) && matches!(c, '/' | ':'))
            }
            _ => true,
        }
    }
    let (a, b) = (steps(a), steps(b));
    let star = |step: Step| matches!(step, Step::Some | Step::Any);
    let mut seen = vec![false; (a.len() + 1) * (b.len() + 1)];
    let mut waiting = vec![(0, 0)];
    while let Some((i, j)) = waiting.pop() {
        if std::mem::replace(&mut seen[i * (b.len() + 1) + j], true) {
            continue;
        }
        match (a.get(i).copied(), b.get(j).copied()) {
            (None, None) => return true,
            (x, y) => {
                waiting.extend(x.filter(|&x| star(x)).map(|_| (i + 1, j)));
                waiting.extend(y.filter(|&y| star(y)).map(|_| (i, j + 1)));
                if let (Some(x), Some(y)) = (x, y)
                    && both(x, y)
                {
                    waiting.push((i + usize::from(!star(x)), j + usize::from(!star(y))));
                }
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::overlap;

    #[test]
    fn patterns_overlap_when_one_text_fits_both() {
        for (a, b, both) in [
            ("cpu_temp", "cpu_temp", true),
            ("cpu_temp", "mem", false),
            ("*", "mem", true),
            ("*/air", "room/*", true),
            ("*/air", "*/soil", false),
            ("*", "a/b", false),
            ("**", "a/b", true),
            ("a*c", "ab?", true),
            ("a?", "a/", false),
        ] {
            assert_eq!(overlap(a, b), both, "{a} {b}");
            assert_eq!(overlap(b, a), both, "{b} {a}");
        }
    }
}
