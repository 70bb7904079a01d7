//! Numbers, spans and tables.

use super::*;

#[test]
fn numbers_are_short_and_never_say_more_than_there_is() {
    let counts = [0, 99_999, 100_000, 999_999, 1_000_000, 1_990_000, 12_345_678, 5_060_000_000];
    let shown: Vec<String> = counts.into_iter().map(short).collect();
    assert_eq!(shown, ["0", "99999", "100k", "999k", "1.0M", "1.9M", "12M", "5.0G"]);
    let rates = [0.0, 0.01, 0.25, 12.0, 99.96, 250_000.4].map(rate);
    assert_eq!(rates, ["0", "<0.1", "0.2", "12.0", "100", "250k"]);
    let fills = [(0, 0), (0, 9), (1, 1000), (12, 100), (99, 100), (100, 100), (5, 0)];
    let fills = fills.map(|(part, whole)| percent(part, whole));
    assert_eq!(fills, ["0%", "0%", "<1%", "12%", "99%", "100%", "-"]);
}

#[test]
fn spans_have_two_units_at_most() {
    let spans = [-1.0, 0.4, 59.9, 60.0, 250.0, 3_600.0, 11_520.0, 86_399.0, 86_400.0, 442_800.0];
    let shown: Vec<String> = spans.into_iter().map(span).collect();
    let wanted = ["0s", "0s", "59s", "1m", "4m 10s", "1h", "3h 12m", "23h 59m", "1d", "5d 3h"];
    assert_eq!(shown, wanted);
}

#[test]
fn what_a_stranger_wrote_cannot_steer_a_terminal() {
    assert_eq!(plain("21 °C"), "21 °C");
    assert_eq!(plain("a\x1b[2Jb\u{9b}31mc\nd"), "a\\u{1b}[2Jb\\u{9b}31mc\\nd");
}

fn table() -> Table {
    let columns = [
        Column::text("NODE"),
        Column::text("TYPE").rank(2),
        Column::number("IN").rank(3),
        Column::number("RATE"),
        Column::text("WHY").rank(1),
    ];
    let mut table = Table::new(&columns).indented(2);
    table.row(vec!["air".into(), "mqtt".into(), "-".into(), "12.0".into()]);
    table.line("  ! a line");
    let cells = ["alerts", "http", "81231", "0.3", "refused\x07"];
    table.row(cells.into_iter().map(Cell::from).collect());
    table
}

#[test]
fn columns_align_and_lines_do_not_end_in_spaces() {
    let wanted = "  NODE    TYPE     IN  RATE  WHY
  air     mqtt      -  12.0
  ! a line
  alerts  http  81231   0.3  refused\\u{7}
";
    assert_eq!(table().render(None, Paint(false)), wanted);
}

#[test]
fn a_narrow_terminal_has_fewer_columns() {
    let wanted = "  NODE    TYPE  RATE  WHY
  air     mqtt  12.0
  ! a line
  alerts  http   0.3  refused\\u{7}
";
    assert_eq!(table().render(Some(35), Paint(false)), wanted);
    let wanted = "  NODE    RATE
  air     12.0
  ! a line
  alerts   0.3
";
    assert_eq!(table().render(Some(20), Paint(false)), wanted);
}

#[test]
fn colours_do_not_move_columns() {
    let columns = [Column::text("A"), Column::text("B")];
    let mut table = Table::new(&columns);
    table.row(vec![Cell::toned("x", Tone::Bad), "y".into()]);
    assert_eq!(
        table.render(None, Paint(true)),
        "\x1b[2mA\x1b[0m  \x1b[2mB\x1b[0m\n\x1b[31mx\x1b[0m  y\n"
    );
}
