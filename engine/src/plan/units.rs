//! Whether the units that are known beforehand fit together.

use super::graph::PlannedNode;
use crate::diagnostic::{Diagnostic, Span, rules};
use crate::unit::normalise;

/// What is wrong with a node that puts readings of one unit together and reads from sources that say two. `inputs` are the nodes that it
/// reads from, with where it names them.
pub(super) fn misfit(
    node: &PlannedNode,
    mut inputs: Vec<(&PlannedNode, Span)>,
) -> Option<Diagnostic> {
    fn unit(node: &PlannedNode) -> Option<&str> {
        node.unit.as_deref().map(normalise)
    }
    inputs.sort_by_key(|(_, span)| *span);
    let mut inputs =
        inputs.into_iter().filter_map(|(input, span)| Some((input, span, unit(input)?)));
    let (first, first_span, first_unit) = inputs.next()?;
    let (other, span, unit) = inputs.find(|(_, _, unit)| *unit != first_unit)?;
    let message = format!(
        "`{}` puts readings of one unit together, but `{}` is in {first_unit} and `{}` in {unit}",
        node.name, first.name, other.name,
    );
    let error = Diagnostic::error(&rules::UNITS_DO_NOT_FIT, span, message)
        .label(unit.to_owned())
        .also(first_span, first_unit.to_owned());
    Some(error.help("convert one of them, or use one such node for each unit"))
}
