//! What is on the screen, and what keys do.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use smollama_engine::control::ControlError;

use super::state::Sort;
use super::*;
use crate::commands::status::tests::example;
use crate::text::Paint;

fn screen(state: &mut State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(frame, state, Paint(false))).unwrap();
    let buffer = terminal.backend().buffer();
    let rows = buffer.content().chunks(usize::from(width));
    let rows = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    rows.map(|row| format!("{}\n", row.trim_end())).collect()
}

/// The addresses in the order they are shown.
fn order(state: &State) -> Vec<&str> {
    state.rows().into_iter().map(|node| node.names().1).collect()
}

fn press(state: &mut State, code: KeyCode) -> bool {
    state.ends_with(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

#[test]
fn the_screen_shows_the_host_its_nodes_and_the_one_selected() {
    let mut state = State::new(example());
    press(&mut state, KeyCode::End);
    insta::assert_snapshot!(screen(&mut state, 100, 14), @r"
kitchen  revision 12  up 3d 4h  14MiB  journal 4%  checkpoint 12s ago  3 dead letters  5 nodes

NODE          TYPE           STATE     IN/S  OUT/S  QUEUE  SPOOL            ERRORS
home/air      mqtt           running      -   82.3      -  -                     0
home/news     dedup          running   82.3    1.2      -  -                     0
home/pace     adaptive_rate  running   82.0   <0.1      -  -                     0
home/history  parquet        running    1.2      -    50%  -                     0
home/alerts   mqtt           retrying   0.3      -    <1%  3%, 2d 23h left      16


home/alerts: sink, 300 in
12 errors, 1 rejected, 3 dropped: connection refused\u{1b}[2J (os error 111)

q quit  up down select  sort by  1 graph  2 rate  3 errors  4 queue
");
}

#[test]
fn a_small_terminal_shows_what_fits() {
    let mut state = State::new(example());
    insta::assert_snapshot!(screen(&mut state, 48, 9), @"
kitchen  revision 12  up 3d 4h  14MiB  journal 4

NODE          STATE     IN/S  OUT/S  QUEUE
home/air      running      -   82.3      -
home/news     running   82.3    1.2      -
home/air: source, 82312 out by main
2 readings with an absurd time

q quit  up down select  sort by  1 graph  2 rate
");
    for (width, height) in [(1, 1), (5, 2), (20, 3), (200, 60)] {
        screen(&mut state, width, height);
    }
}

#[test]
fn keys_sort_and_the_selection_begins_at_what_is_first() {
    let mut state = State::new(example());
    assert_eq!(order(&state), ["air", "news", "pace", "history", "alerts"]);
    press(&mut state, KeyCode::Char('2'));
    assert_eq!((state.sort, order(&state)[0]), (Sort::Rate, "air"));
    press(&mut state, KeyCode::Char('3'));
    assert_eq!((state.sort, order(&state)[0]), (Sort::Errors, "alerts"));
    press(&mut state, KeyCode::Char('s'));
    assert_eq!((state.sort, order(&state)[0]), (Sort::Queue, "history"));
    assert_eq!(state.position(&state.rows()), 0);
    press(&mut state, KeyCode::Char('s'));
    assert_eq!(state.sort, Sort::Graph);
}

#[test]
fn the_selection_moves_within_the_rows_and_stays_at_its_node() {
    let mut state = State::new(example());
    let at = |state: &State| state.rows()[state.position(&state.rows())].names().1.to_owned();
    for (code, wanted) in [
        (KeyCode::Up, "air"),
        (KeyCode::Down, "news"),
        (KeyCode::Char('j'), "pace"),
        (KeyCode::Char('k'), "news"),
        (KeyCode::Char('G'), "alerts"),
        (KeyCode::Down, "alerts"),
    ] {
        press(&mut state, code);
        assert_eq!(at(&state), wanted, "{code:?}");
    }
    // Two nodes above it go: it is still the one selected.
    let mut fewer = example();
    fewer.nodes.drain(..2);
    state.hear(Ok(fewer));
    assert_eq!(at(&state), "alerts");
    let mut gone = example();
    gone.nodes.clear();
    state.hear(Ok(gone));
    screen(&mut state, 80, 10);
    press(&mut state, KeyCode::Down);
}

#[test]
fn where_nothing_answers_the_last_state_stays_in_view() {
    let mut state = State::new(example());
    state.hear(Err(ControlError::failed("no engine runs on /data")));
    let shown = screen(&mut state, 80, 12);
    assert!(shown.contains("no answer: no engine runs on /data"), "{shown}");
    assert!(shown.contains("home/alerts"), "{shown}");
    state.hear(Ok(example()));
    assert!(!screen(&mut state, 80, 12).contains("no answer"));
}

#[test]
fn three_keys_end_it() {
    let mut state = State::new(example());
    assert!(press(&mut state, KeyCode::Char('q')));
    assert!(press(&mut state, KeyCode::Esc));
    let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert!(state.ends_with(&Event::Key(key)));
    assert!(!press(&mut state, KeyCode::Char('c')));
    assert!(!state.ends_with(&Event::Resize(10, 10)));
}
