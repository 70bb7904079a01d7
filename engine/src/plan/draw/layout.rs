//! Where nodes stand in the picture: in columns, so that every edge leads to the right, and in a band per pipeline, one below the
//! other. Long edges get lanes of their own in the columns they cross, so that they pass between nodes and not over them.

use std::collections::HashMap;

use petgraph::stable_graph::NodeIndex;

use super::{Line, clusters, lines};
use crate::plan::Graph;

const NODE_HEIGHT: f64 = 44.0;
const LANE_HEIGHT: f64 = 14.0;
const ROW_GAP: f64 = 18.0;
const COLUMN_GAP_MIN: f64 = 56.0;
const MARGIN: f64 = 16.0;
const BAND_TITLE: f64 = 28.0;
const BAND_PADDING: f64 = 18.0;
const BAND_GAP: f64 = 22.0;
const NODE_WIDTH_MIN: f64 = 96.0;
/// Room for a letter, so that text never leaves its box.
const LETTER_WIDTH: f64 = 8.2;
/// How often rows are put in the order of what they are joined to, there and back.
const SWEEPS: usize = 4;

/// A box in the picture.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Place {
    fn middle(self) -> f64 {
        self.y + self.height / 2.0
    }
}

/// A picture, measured.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) nodes: Vec<(NodeIndex, Place)>,
    pub(super) bands: Vec<(String, Place)>,
    /// Edges, each with the points it goes through: from the end of one column to the beginning of the next, by turns.
    pub(super) edges: Vec<(Line, Vec<(f64, f64)>)>,
}

/// What stands in a column: a node, or a lane that an edge passes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Cell {
    Node(NodeIndex),
    /// The number of the edge, and the column.
    Lane(usize, usize),
}

impl Cell {
    fn height(self) -> f64 {
        match self {
            Cell::Node(_) => NODE_HEIGHT,
            Cell::Lane(..) => LANE_HEIGHT,
        }
    }
}

/// The rows of each column, for one pipeline.
type Band = Vec<Vec<Cell>>;

/// Measures a graph.
pub(super) fn layout(graph: &Graph) -> Layout {
    let lines = lines(graph);
    let columns = columns(graph, &lines);
    let column = |node: NodeIndex| columns.get(&node).copied().unwrap_or_default();
    let paths: Vec<Vec<Cell>> = lines
        .iter()
        .enumerate()
        .map(|(number, line)| {
            let lanes = (column(line.from) + 1..column(line.to)).map(|at| Cell::Lane(number, at));
            let ends = (std::iter::once(Cell::Node(line.from)), [Cell::Node(line.to)]);
            ends.0.chain(lanes).chain(ends.1).collect()
        })
        .collect();
    let count = columns.values().max().map_or(0, |last| last + 1);
    let mut bands: Vec<(String, Band)> = Vec::new();
    for (name, nodes) in clusters(graph) {
        let mut band: Band = vec![Vec::new(); count];
        let own = nodes.iter().map(|&node| (column(node), Cell::Node(node)));
        // An edge to another pipeline leaves its own in the last gap.
        let lanes = lines.iter().zip(&paths).filter(|(line, _)| nodes.contains(&line.from));
        let lanes = lanes.flat_map(|(_, path)| path).filter_map(|cell| match cell {
            Cell::Lane(_, at) => Some((*at, *cell)),
            Cell::Node(_) => None,
        });
        for (at, cell) in own.chain(lanes) {
            band.get_mut(at).into_iter().for_each(|rows| rows.push(cell));
        }
        order(&mut band, &paths);
        bands.push((name.to_owned(), band));
    }
    let spans = spans(graph, &columns, &lines, count);
    draw(bands, &spans, lines, &paths)
}

/// The column of each node: one further than the furthest of those it reads from.
fn columns(graph: &Graph, lines: &[Line]) -> HashMap<NodeIndex, usize> {
    let mut columns: HashMap<NodeIndex, usize> = HashMap::new();
    for &node in &graph.order {
        let before = lines.iter().filter(|line| line.to == node);
        let furthest = before.filter_map(|line| columns.get(&line.from)).max();
        columns.insert(node, furthest.map_or(0, |at| at + 1));
    }
    columns
}

/// Puts the rows of each column in the order of the middle of what they are joined to, so that few edges cross.
fn order(band: &mut Band, paths: &[Vec<Cell>]) {
    let mut joined: HashMap<Cell, Vec<Cell>> = HashMap::new();
    for (one, other) in paths.iter().flat_map(|path| path.iter().zip(path.iter().skip(1))) {
        joined.entry(*one).or_default().push(*other);
        joined.entry(*other).or_default().push(*one);
    }
    let turn = |band: &mut Band, at: usize, beside: Option<usize>| {
        let Some(rows) = beside.and_then(|beside| band.get(beside)) else { return };
        let of = |row: usize| (row as f64 + 0.5) / rows.len() as f64;
        let stands: HashMap<Cell, f64> =
            rows.iter().enumerate().map(|(row, cell)| (*cell, of(row))).collect();
        let Some(cells) = band.get_mut(at) else { return };
        let all = cells.len() as f64;
        let mut keyed: Vec<(f64, Cell)> = cells
            .iter()
            .enumerate()
            .map(|(row, cell)| {
                let near = joined.get(cell).into_iter().flatten();
                let near: Vec<f64> = near.filter_map(|one| stands.get(one).copied()).collect();
                let own = (row as f64 + 0.5) / all;
                let middle = near.iter().sum::<f64>() / near.len() as f64;
                (if near.is_empty() { own } else { middle }, *cell)
            })
            .collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        *cells = keyed.into_iter().map(|(_, cell)| cell).collect();
    };
    for _ in 0..SWEEPS {
        (0..band.len()).for_each(|at| turn(band, at, at.checked_sub(1)));
        (0..band.len()).rev().for_each(|at| turn(band, at, Some(at + 1)));
    }
}

/// The left edge and the width of each column.
fn spans(
    graph: &Graph,
    columns: &HashMap<NodeIndex, usize>,
    lines: &[Line],
    count: usize,
) -> Vec<(f64, f64)> {
    let room = |text: &str| text.chars().count() as f64 * LETTER_WIDTH + 24.0;
    let mut spans = Vec::with_capacity(count);
    let mut x = MARGIN + BAND_PADDING;
    for at in 0..count {
        let within = |node: NodeIndex| columns.get(&node) == Some(&at);
        let nodes = graph.nodes().filter(|(index, _)| within(*index));
        let width = nodes
            .map(|(_, node)| room(&node.name).max(room(&node.type_name)))
            .fold(NODE_WIDTH_MIN, f64::max);
        let labels = lines.iter().filter(|line| within(line.from));
        let gap = labels
            .filter(|line| !line.label.is_empty())
            .map(|line| room(&line.label) + 16.0)
            .fold(COLUMN_GAP_MIN, f64::max);
        spans.push((x, width));
        x += width + gap;
    }
    spans
}

fn draw(
    bands: Vec<(String, Band)>,
    spans: &[(f64, f64)],
    lines: Vec<Line>,
    paths: &[Vec<Cell>],
) -> Layout {
    let mut places: HashMap<Cell, Place> = HashMap::new();
    let mut frames = Vec::new();
    let mut y = MARGIN;
    for (name, band) in &bands {
        let frame = place_band(band, spans, y, &mut places);
        let Some(mut frame) = frame else { continue };
        frame.width = frame.width.max(name.chars().count() as f64 * LETTER_WIDTH + 32.0);
        y = frame.y + frame.height + BAND_GAP;
        frames.push((name.clone(), frame));
    }
    let edges = lines
        .into_iter()
        .zip(paths)
        .enumerate()
        .map(|(number, (line, path))| {
            let points = points(path, &places, leaves(number, &line, paths, &places));
            (line, points)
        })
        .collect();
    let right = frames.iter().map(|(_, frame)| frame.x + frame.width).fold(0.0, f64::max);
    let mut nodes: Vec<(NodeIndex, Place)> = places
        .iter()
        .filter_map(|(cell, place)| match cell {
            Cell::Node(node) => Some((*node, *place)),
            Cell::Lane(..) => None,
        })
        .collect();
    nodes.sort_by_key(|(node, _)| *node);
    let height = (y - BAND_GAP + MARGIN).max(2.0 * MARGIN);
    Layout { width: right + MARGIN, height, nodes, bands: frames, edges }
}

/// Places the cells of a band whose top is given; the frame around them.
fn place_band(
    band: &Band,
    spans: &[(f64, f64)],
    top: f64,
    places: &mut HashMap<Cell, Place>,
) -> Option<Place> {
    let tall = |rows: &Vec<Cell>| {
        let cells: f64 = rows.iter().map(|cell| cell.height()).sum();
        cells + ROW_GAP * rows.len().saturating_sub(1) as f64
    };
    let inside = band.iter().map(tall).fold(0.0, f64::max);
    let (mut left, mut right) = (f64::MAX, f64::MIN);
    for (rows, &(x, width)) in band.iter().zip(spans).filter(|(rows, _)| !rows.is_empty()) {
        (left, right) = (left.min(x), right.max(x + width));
        let mut y = top + BAND_TITLE + (inside - tall(rows)) / 2.0;
        for cell in rows {
            places.insert(*cell, Place { x, y, width, height: cell.height() });
            y += cell.height() + ROW_GAP;
        }
    }
    let height = BAND_TITLE + inside + BAND_PADDING;
    let x = left - BAND_PADDING;
    (left <= right).then_some(Place { x, y: top, width: right + BAND_PADDING - x, height })
}

/// Where an edge leaves its node: edges of one node leave one below the other, in the order of where they lead.
fn leaves(
    number: usize,
    line: &Line,
    paths: &[Vec<Cell>],
    places: &HashMap<Cell, Place>,
) -> Option<f64> {
    let from = Cell::Node(line.from);
    let next = |path: &Vec<Cell>| {
        path.get(1).and_then(|cell| places.get(cell)).map_or(0.0, |place| place.middle())
    };
    let siblings = paths.iter().enumerate().filter(|(_, path)| path.first() == Some(&from));
    let mut siblings: Vec<(usize, f64)> = siblings.map(|(at, path)| (at, next(path))).collect();
    siblings.sort_by(|a, b| a.1.total_cmp(&b.1));
    let rank = siblings.iter().position(|(at, _)| *at == number)?;
    let place = places.get(&from)?;
    Some(place.y + place.height * (rank + 1) as f64 / (siblings.len() + 1) as f64)
}

fn points(path: &[Cell], places: &HashMap<Cell, Place>, leaves: Option<f64>) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for (step, cell) in path.iter().enumerate() {
        let Some(place) = places.get(cell) else { continue };
        if step > 0 {
            points.push((place.x, place.middle()));
        }
        if step + 1 < path.len() {
            let y = leaves.filter(|_| step == 0).unwrap_or(place.middle());
            points.push((place.x + place.width, y));
        }
    }
    points
}
