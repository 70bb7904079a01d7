//! The live view of `apply`: calm, redrawn once a second, at the bottom of the terminal.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use smollama_engine::batch::Items;
use smollama_engine::config::Section;
use smollama_engine::context::Host;
use smollama_engine::plan::PlannedNode;
use smollama_engine::reading::{Reading, Value};
use smollama_engine::run::{NodeStats, Port, Watch};
use smollama_engine::series::SeriesId;
use smollama_engine::time::Timestamp;

use crate::terminal::{screen, stderr_colour};

/// How many pieces of news stay in view.
const NEWS_SHOWN: usize = 5;
/// How many series can be in view.
const SERIES_KEPT: usize = 256;

/// What the view knows. It watches only where somebody can look.
#[derive(Debug)]
pub(crate) struct View {
    on: bool,
    host: OnceLock<Arc<Host>>,
    /// The addresses of sources, as of the last drawing.
    sources: RwLock<BTreeSet<Arc<str>>>,
    seen: Mutex<Seen>,
    began: Instant,
}

#[derive(Debug, Default)]
struct Seen {
    latest: BTreeMap<SeriesId, (Timestamp, Value)>,
    news: VecDeque<News>,
    news_count: u64,
    windows: u64,
    before: HashMap<Arc<str>, u64>,
    drawn_at: Option<Instant>,
}

#[derive(Debug)]
struct News {
    time: Timestamp,
    series: SeriesId,
    value: Value,
    score: f64,
}

impl View {
    /// Shows nothing.
    pub(crate) fn none() -> View {
        View::new(false)
    }

    /// Shows something if that is wanted and standard error is a terminal.
    pub(crate) fn for_terminal(wanted: bool) -> View {
        View::new(wanted && std::io::stderr().is_terminal())
    }

    fn new(on: bool) -> View {
        View {
            on,
            host: OnceLock::new(),
            sources: RwLock::default(),
            seen: Mutex::default(),
            began: Instant::now(),
        }
    }

    /// Whether it wants to be told.
    pub(crate) fn watches(&self) -> bool {
        self.on
    }

    /// The host whose series are shown.
    pub(crate) fn knows(&self, host: &Arc<Host>) {
        self.host.get_or_init(|| host.clone());
    }

    /// Leaves the terminal as it is, and draws no more.
    pub(crate) fn close(&self) {
        if self.on {
            screen().draw(Vec::new());
        }
    }

    fn is_source(&self, address: &str) -> bool {
        self.sources.read().unwrap_or_else(PoisonError::into_inner).contains(address)
    }

    fn note_latest(&self, readings: &[Reading]) {
        let mut seen = self.lock();
        for reading in readings {
            if seen.latest.len() < SERIES_KEPT || seen.latest.contains_key(&reading.series) {
                seen.latest.insert(reading.series, (reading.time, reading.value.clone()));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws what is known now.
    pub(crate) fn draw(&self, stats: &[(Arc<PlannedNode>, Arc<NodeStats>)]) {
        let Some(host) = self.host.get() else { return };
        let sources = stats.iter().filter(|(node, _)| node.section == Section::Sources);
        let sources = sources.map(|(node, _)| node.address.clone()).collect();
        *self.sources.write().unwrap_or_else(PoisonError::into_inner) = sources;
        let (columns, rows) =
            crossterm::terminal::size().map_or((80, 24), |(c, r)| (usize::from(c), usize::from(r)));
        let lines = self.lines(host, stats, rows.saturating_sub(2));
        screen().draw(lines.into_iter().map(|line| cut(&line, columns)).collect());
    }

    fn lines(
        &self,
        host: &Host,
        stats: &[(Arc<PlannedNode>, Arc<NodeStats>)],
        rows: usize,
    ) -> Vec<String> {
        let style = Style::new(stderr_colour());
        let mut seen = self.lock();
        let passed = seen.drawn_at.replace(Instant::now()).map(|at| at.elapsed().as_secs_f64());
        let mut lines = vec![self.headline(&seen, stats, &style)];
        lines.push(String::new());
        let widest = stats.iter().map(|(node, _)| node.address.len()).max().unwrap_or(0).max(4);
        lines.push(
            style.dim(&format!("  {:widest$} {:>10} {:>10} {:>10}", "node", "in", "out", "per s")),
        );
        for (node, counters) in stats {
            lines.push(node_line(node, counters, widest, passed, &mut seen, &style));
        }
        lines.push(String::new());
        // What is left of the screen belongs to news first, then to the latest values.
        let news: Vec<String> = seen.news.iter().map(|one| news_line(host, one)).collect();
        let room = rows.saturating_sub(lines.len() + 2 + news.len().max(1));
        lines.extend(latest_lines(host, &seen, room, &style));
        lines.push(style.bold("  news"));
        if news.is_empty() {
            lines.push(style.dim("  nothing so far: everything is as usual"));
        }
        lines.extend(news);
        lines.truncate(rows.max(1));
        lines
    }

    fn headline(
        &self,
        seen: &Seen,
        stats: &[(Arc<PlannedNode>, Arc<NodeStats>)],
        style: &Style,
    ) -> String {
        let mut read = 0;
        let (mut suppressed, mut dead) = (0, 0);
        for (node, counters) in stats {
            if node.section == Section::Sources {
                read += counters.emitted(0);
            }
            // What `filter` does not let through is not suppressed, only not asked for.
            let suppresses = &*node.type_name == "dedup";
            let mut ports = node.profile.outputs.iter();
            let dropped = ports.position(|port| suppresses && port.name == "dropped");
            suppressed += dropped.map_or(0, |port| counters.emitted(port));
            dead += counters.rejected();
        }
        let seconds = self.began.elapsed().as_secs();
        let time = format!("{}:{:02}", seconds / 60, seconds % 60);
        let mut line = format!(
            "{}  {read} readings, {suppressed} suppressed, {} news, {} windows",
            style.bold(&format!("smollama {time}")),
            seen.news_count,
            seen.windows
        );
        if dead > 0 {
            line += &format!(", {dead} in the dead letters");
        }
        line + &style.dim("   Ctrl-C stops")
    }
}

fn node_line(
    node: &PlannedNode,
    counters: &NodeStats,
    widest: usize,
    passed: Option<f64>,
    seen: &mut Seen,
    style: &Style,
) -> String {
    let is_sink = node.section == Section::Sinks;
    let is_source = node.section == Section::Sources;
    let (came, left) = (counters.received(), counters.emitted(0));
    let moved = if is_source { left } else { came };
    let before = seen.before.insert(node.address.clone(), moved).unwrap_or(0);
    let rate = passed.map_or(0.0, |passed| (moved - before) as f64 / passed.max(0.001));
    let shown = |wanted: bool, number: u64| if wanted { number.to_string() } else { "-".into() };
    let line = format!(
        "  {:widest$} {:>10} {:>10} {rate:>10.1}",
        node.address,
        shown(!is_source, came),
        shown(!is_sink, left)
    );
    if counters.failed() { style.red(&format!("{line}  failed")) } else { line }
}

fn latest_lines(host: &Host, seen: &Seen, room: usize, style: &Style) -> Vec<String> {
    if room < 3 || seen.latest.is_empty() {
        return Vec::new();
    }
    let mut named: Vec<(String, String)> = seen
        .latest
        .iter()
        .map(|(id, (_, value))| {
            let series = host.series.get(*id);
            (series.source.name().to_owned(), with_unit(value, series.unit.as_deref()))
        })
        .collect();
    named.sort();
    let widest = named.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let more = named.len().saturating_sub(room - 2);
    let mut lines = vec![style.bold("  latest")];
    let shown = named.len().min(room - 2);
    lines
        .extend(named.iter().take(shown).map(|(name, value)| format!("  {name:widest$}  {value}")));
    if more > 0 {
        lines.push(style.dim(&format!("  and {more} more")));
    }
    lines.push(String::new());
    lines
}

fn news_line(host: &Host, news: &News) -> String {
    let series = host.series.get(news.series);
    let time = news.time.to_jiff().to_zoned(host.timezone.clone());
    format!(
        "  {}  {}  {}  score {:.1}",
        time.strftime("%Y-%m-%d %H:%M:%S"),
        series.source,
        with_unit(&news.value, series.unit.as_deref()),
        news.score
    )
}

/// A value to at most two decimals, with its unit.
fn with_unit(value: &Value, unit: Option<&str>) -> String {
    let text = match (value, unit) {
        (Value::Int(bytes), Some("B")) if *bytes >= 0 => {
            return smollama_engine::bytes::ByteSize(bytes.unsigned_abs()).to_string();
        }
        (Value::Float(number), _) => format!("{number:.2}"),
        (other, _) => other.to_string(),
    };
    match unit {
        Some(unit) => format!("{text} {unit}"),
        None => text,
    }
}

/// Cuts a line to the width of the terminal; control sequences take no room.
fn cut(line: &str, columns: usize) -> String {
    let mut shown = 0;
    let mut inside = false;
    let mut text = String::with_capacity(line.len());
    for c in line.chars() {
        match (inside, c) {
            (false, '\x1b') => inside = true,
            (true, 'm') => inside = false,
            (true, _) => {}
            (false, _) if shown >= columns => continue,
            (false, _) => shown += 1,
        }
        text.push(c);
    }
    text
}

struct Style {
    colour: bool,
}

impl Style {
    fn new(colour: bool) -> Style {
        Style { colour }
    }
    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }
    fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }
    fn red(&self, text: &str) -> String {
        self.paint("31", text)
    }
}

impl Watch for View {
    fn saw_retained(&self, address: &Arc<str>, _: Port, items: &Items) {
        match items {
            Items::Readings(values) if self.is_source(address) => self.note_latest(values),
            _ => {}
        }
    }

    fn saw(&self, address: &Arc<str>, port: Port, items: &Items) {
        match items {
            Items::Readings(readings) if self.is_source(address) => self.note_latest(readings),
            Items::Readings(readings)
                if port == Port::Output(0) && readings.iter().any(|one| one.is_news()) =>
            {
                let mut seen = self.lock();
                for one in readings.iter().filter(|one| one.is_news()) {
                    // The same news passes through several nodes.
                    let known = seen
                        .news
                        .iter()
                        .any(|news| news.time == one.time && news.series == one.series);
                    if known {
                        continue;
                    }
                    seen.news_count += 1;
                    if seen.news.len() == NEWS_SHOWN {
                        seen.news.pop_front();
                    }
                    let (time, series, score) = (one.time, one.series, one.score);
                    seen.news.push_back(News { time, series, value: one.value.clone(), score });
                }
            }
            Items::Windows(windows) if port != Port::Input => {
                self.lock().windows += windows.len() as u64;
            }
            _ => {}
        }
    }
}
