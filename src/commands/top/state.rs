//! What is on the screen, and what keys do to it.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::widgets::TableState;
use smollama_engine::control::{ControlError, NodeStatus, Status};

/// By what the rows are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// As they stand in the graph.
    Graph,
    /// The busiest first.
    Rate,
    /// Those with most errors first.
    Errors,
    /// Those before which most waits first.
    Queue,
}

impl Sort {
    pub(super) const ALL: [Sort; 4] = [Sort::Graph, Sort::Rate, Sort::Errors, Sort::Queue];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Sort::Graph => "graph",
            Sort::Rate => "rate",
            Sort::Errors => "errors",
            Sort::Queue => "queue",
        }
    }

    fn next(self) -> Sort {
        let at = Sort::ALL.iter().position(|one| *one == self).unwrap_or(0);
        Sort::ALL[(at + 1) % Sort::ALL.len()]
    }

    /// What is large comes first.
    fn weight(self, node: &NodeStatus) -> f64 {
        match self {
            Sort::Graph => 0.0,
            Sort::Rate => node.received_per_s.max(node.emitted_per_s),
            Sort::Errors => troubles(node) as f64,
            Sort::Queue => {
                let queue = node.queue.as_ref().map_or(0.0, |one| fill(one.bytes, one.size));
                let spool = node.spool.as_ref().map_or(0.0, |one| fill(one.bytes, one.cap));
                queue.max(spool)
            }
        }
    }
}

fn fill(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// How much went wrong with a node.
pub(super) fn troubles(node: &NodeStatus) -> u64 {
    node.errors + node.rejected + node.dropped
}

/// What was heard last, and where the user is in it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) status: Status,
    /// Why nothing newer is known.
    pub(super) trouble: Option<String>,
    pub(super) sort: Sort,
    /// The address of the row the user is at; it stays the same however rows are sorted.
    at: Option<String>,
    pub(super) table: TableState,
    /// How many rows a page has; set when it is drawn.
    pub(super) page: usize,
}

impl State {
    pub(super) fn new(status: Status) -> State {
        let mut state = State {
            status,
            trouble: None,
            sort: Sort::Graph,
            at: None,
            table: TableState::new(),
            page: 1,
        };
        state.go(0);
        state
    }

    /// Takes an answer of the engine. Where there is none, the last one stays in view.
    pub(super) fn hear(&mut self, answer: Result<Status, ControlError>) {
        match answer {
            Ok(status) => {
                self.status = status;
                self.trouble = None;
            }
            Err(error) => self.trouble = Some(error.message),
        }
    }

    /// The nodes in the order they are shown.
    pub(super) fn rows(&self) -> Vec<&NodeStatus> {
        let mut rows: Vec<&NodeStatus> = self.status.nodes.iter().collect();
        // Stable, so that equals stay in the order of the graph.
        rows.sort_by(|a, b| self.sort.weight(b).total_cmp(&self.sort.weight(a)));
        rows
    }

    /// Where the user is among so many rows.
    pub(super) fn position(&self, rows: &[&NodeStatus]) -> usize {
        let at = rows.iter().position(|node| Some(&node.address) == self.at.as_ref());
        at.unwrap_or_else(|| self.table.selected().unwrap_or(0).min(rows.len().saturating_sub(1)))
    }

    fn go(&mut self, to: usize) {
        let rows = self.rows();
        let to = to.min(rows.len().saturating_sub(1));
        self.at = rows.get(to).map(|node| node.address.clone());
    }

    fn sort_by(&mut self, sort: Sort) {
        self.sort = sort;
        // Whoever sorts wants to see what comes first.
        self.go(0);
    }

    /// Does what a key says; whether that is to end.
    pub(super) fn ends_with(&mut self, event: &Event) -> bool {
        let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else { return false };
        if *kind == KeyEventKind::Release {
            return false;
        }
        let at = self.position(&self.rows());
        match code {
            KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => return true,
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Down | KeyCode::Char('j') => self.go(at + 1),
            KeyCode::Up | KeyCode::Char('k') => self.go(at.saturating_sub(1)),
            KeyCode::PageDown => self.go(at + self.page),
            KeyCode::PageUp => self.go(at.saturating_sub(self.page)),
            KeyCode::Home | KeyCode::Char('g') => self.go(0),
            KeyCode::End | KeyCode::Char('G') => self.go(usize::MAX),
            KeyCode::Char('s') => self.sort_by(self.sort.next()),
            KeyCode::Char(digit @ '1'..='4') => {
                let number = *digit as usize - '1' as usize;
                self.sort_by(Sort::ALL[number]);
            }
            _ => {}
        }
        false
    }
}
