//! SVG, drawn here: no tool is needed, and it reads well on light and on dark ground.

use std::fmt::Write as _;

use super::layout::{Place, layout};
use crate::batch::ItemKind;
use crate::config::Section;
use crate::plan::{Graph, PlannedNode};

/// Plain rules, and others in the dark: not every viewer knows variables.
const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #1c2230; }
.type, .port, .rim { font-size: 11px; fill: #5b6578; }
.rim { stroke: #f4f6fa; stroke-width: 4px; stroke-linejoin: round; }
.title { font-weight: 600; }
.ground { fill: #fff; }
.band { fill: #f4f6fa; stroke: #d5dbe6; }
.node { stroke: #7b869b; fill: none; }
.sources { fill: #dff3e4; } .transforms { fill: #e3ecfd; } .agents { fill: #f3e6fb; } .sinks { fill: #fdeedd; }
.edge { fill: none; stroke: #7b869b; stroke-width: 1.5; }
.windows { stroke-width: 3; } .observations { stroke-dasharray: 6 4; }
.tip { fill: #7b869b; }
@media (prefers-color-scheme: dark) {
  text { fill: #e8ebf2; }
  .type, .port { fill: #a3adbf; }
  .rim { stroke: #1b2029; }
  .ground { fill: #14171d; }
  .band { fill: #1b2029; stroke: #343c4a; }
  .node, .edge { stroke: #8591a8; }
  .sources { fill: #1d3a28; } .transforms { fill: #1e304f; } .agents { fill: #3a2549; } .sinks { fill: #4a331a; }
  .tip { fill: #8591a8; }
}
";

/// The graph as an SVG document.
#[must_use]
pub fn svg(graph: &Graph) -> String {
    let layout = layout(graph);
    let (width, height) = (layout.width, layout.height);
    let names: Vec<&str> = layout.bands.iter().map(|(name, _)| name.as_str()).collect();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n\
         <defs><marker id=\"tip\" markerUnits=\"userSpaceOnUse\" markerWidth=\"9\" markerHeight=\"8\" refX=\"8\" refY=\"4\" \
         orient=\"auto\"><path class=\"tip\" d=\"M0 0 L9 4 L0 8 Z\"/></marker></defs>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n",
        escaped(&names.join(", ")),
    );
    // Writing to a `String` cannot fail.
    for (name, at) in &layout.bands {
        let _ = writeln!(out, "{}", rect("band", *at, 10.0));
        let (x, y) = (at.x + 14.0, at.y + 19.0);
        let _ = writeln!(
            out,
            "<text class=\"title\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
            escaped(name)
        );
    }
    for (line, points) in &layout.edges {
        let kind = match line.kind {
            ItemKind::Readings => "",
            ItemKind::Windows => " windows",
            ItemKind::Observations => " observations",
        };
        let _ = writeln!(
            out,
            "<path class=\"edge{kind}\" marker-end=\"url(#tip)\" d=\"{}\"/>",
            curve(points)
        );
    }
    for (index, at) in &layout.nodes {
        node(&mut out, &graph.dag[*index], *at);
    }
    // Last, so that nothing covers them.
    for (line, points) in layout.edges.iter().filter(|(line, _)| !line.label.is_empty()) {
        label(&mut out, &line.label, points);
    }
    out.push_str("</svg>\n");
    out
}

/// What is written on an edge, near where it begins, with a rim of the ground's colour around it.
fn label(out: &mut String, text: &str, points: &[(f64, f64)]) {
    let [from, to, ..] = points else { return };
    // A third of the way along the bow.
    let (x, y) = (from.0 + 0.36 * (to.0 - from.0), from.1 + 0.22 * (to.1 - from.1) - 4.0);
    let text = escaped(text);
    for class in ["rim", "port"] {
        let _ = writeln!(
            out,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{text}</text>"
        );
    }
}

fn node(out: &mut String, node: &PlannedNode, at: Place) {
    let section = node.section.key();
    let address = escaped(&node.address);
    let shape = match node.section {
        Section::Sources => rect(&format!("node {section}"), at, at.height / 2.0),
        Section::Transforms => rect(&format!("node {section}"), at, 4.0),
        Section::Agents => hexagon(section, at),
        Section::Sinks => cylinder(section, at),
    };
    let _ = writeln!(out, "<g><title>{address} ({})</title>{shape}", node.section.singular());
    let x = at.x + at.width / 2.0;
    for (class, text, y) in [("name", &node.name, 19.0), ("type", &node.type_name, 34.0)] {
        let y = at.y + y;
        let text = escaped(text);
        let _ = write!(
            out,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{text}</text>"
        );
    }
    out.push_str("</g>\n");
}

fn rect(class: &str, at: Place, round: f64) -> String {
    let Place { x, y, width, height } = at;
    format!(
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{round:.1}\"/>"
    )
}

fn hexagon(section: &str, at: Place) -> String {
    let Place { x, y, width, height } = at;
    let (right, bottom, middle) = (x + width, y + height, y + height / 2.0);
    let (inner, outer) = (x + 10.0, right - 10.0);
    format!(
        "<path class=\"node {section}\" d=\"M{inner:.1} {y:.1} H{outer:.1} L{right:.1} {middle:.1} L{outer:.1} {bottom:.1} \
         H{inner:.1} L{x:.1} {middle:.1} Z\"/>"
    )
}

/// A box with a second line at its left: a store.
fn cylinder(section: &str, at: Place) -> String {
    let (x, y, bottom) = (at.x + 6.0, at.y, at.y + at.height);
    let frame = rect(&format!("node {section}"), at, 4.0);
    format!("{frame}<path class=\"node\" d=\"M{x:.1} {y:.1} V{bottom:.1}\"/>")
}

/// From the end of one column to the beginning of the next in a bow, through a column straight.
fn curve(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (step, (x, y)) in points.iter().enumerate() {
        let before = step.checked_sub(1).and_then(|step| points.get(step));
        let _ = match before {
            None => write!(path, "M{x:.1} {y:.1}"),
            Some((from_x, from_y)) if step % 2 == 1 => {
                let middle = (from_x + x) / 2.0;
                write!(path, " C{middle:.1} {from_y:.1} {middle:.1} {y:.1} {x:.1} {y:.1}")
            }
            Some(_) => write!(path, " L{x:.1} {y:.1}"),
        };
    }
    path
}

/// Text as XML takes it; control characters, which XML has not, become blanks.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
