//! What the log costs, on the machine's own disk. Run alone, optimised, and on one core for the figures in `docs/adr/0008-own-log.md`:
//! `taskset -c 0 cargo test --release -p smollama-store log::tests::figures -- --ignored --nocapture --test-threads 1`.

use std::time::Instant;

use super::*;

const SERIES: u64 = 1000;
/// What a reading is as JSON: `{"time":...,"source":...,"value":...}`.
const PAYLOAD: u64 = 100;

fn real(folder: &Path) -> (Arc<Host>, LogSettings) {
    let settings = LogSettings::new(folder.join("journal"), ByteSize::mib(2048));
    (Arc::new(Host::for_tests(folder)), settings)
}

fn readings(host: &Host) -> Vec<Reading> {
    let series = |n| Series::new(SourceKey::local("air", &format!("greenhouse/{n}/temperature")));
    let id =
        |n| host.series.intern(&series(n).with_unit("°C").with_label("room", "north")).unwrap();
    // In an order as if they came from all sides.
    let all = (0..SERIES).map(|n| id(n * 379 % SERIES)).collect::<Vec<_>>();
    let value = |n: usize| (n * 37 % 4000) as f64 / 100.0;
    all.iter().enumerate().map(|(n, id)| Reading::new(at(0), *id, value(n))).collect()
}

fn event_at(source: &Arc<str>, received: Timestamp, readings: &[Reading]) -> Event {
    let items = Items::Readings(readings.to_vec());
    Event::Items { source: source.clone(), received, items, position: None, retained: false }
}

/// Seconds this process has used of processors.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Appends `count` readings in batches of `size` and prints what that took.
fn run(name: &str, durability: Durability, size: usize, count: usize, receipts: bool) {
    let folder = tempfile::tempdir_in(".").unwrap();
    let (host, mut settings) = real(folder.path());
    settings.durability = durability;
    let journal = LogJournal::open(&host, settings, 0).unwrap();
    let mut all = readings(&host);
    let source: Arc<str> = "greenhouse/air".into();
    let told = Arc::new(AtomicU64::new(0));
    let (start, start_cpu) = (Instant::now(), cpu());
    let mut now = at(0);
    for batch in 0..count / size {
        let first = batch * size % all.len();
        let batch = &mut all[first..first + size];
        for one in batch.iter_mut() {
            now = now + smollama_engine::duration::Duration::from_micros(3);
            one.time = now;
        }
        let event = event_at(&source, now, batch);
        let mut receipt = receipts.then(|| counted(&told)).flatten();
        while let Err(full) = journal.append(now, &event, receipt) {
            receipt = full.receipt;
            std::thread::yield_now();
        }
    }
    while receipts && told.load(Ordering::SeqCst) < (count / size) as u64 {
        std::thread::yield_now();
    }
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu() - start_cpu);
    journal.sync().unwrap();
    let synced = start.elapsed().as_secs_f64();
    let fill = journal.fill();
    let count = count as f64;
    println!(
        "{name:32} {:8.0}/s wall, {:8.0}/s synced, {:.3} us CPU a reading, {:.1} bytes ({:.2} of the payload), {} syncs",
        count / wall,
        count / synced,
        cpu / count * 1e6,
        fill.written as f64 / count,
        fill.written as f64 / count / PAYLOAD as f64,
        fill.syncs,
    );
}

#[test]
#[ignore = "a measurement"]
fn throughput() {
    use Durability::{Power, Process};
    run("process, 1, no receipts", Process, 1, 4_000_000, false);
    run("process, 1, receipts", Process, 1, 4_000_000, true);
    run("process, 100, receipts", Process, 100, 10_000_000, true);
    run("power, 1, receipts", Power, 1, 1_000_000, true);
    run("power, 100, receipts", Power, 100, 10_000_000, true);
}

#[test]
#[ignore = "a measurement"]
fn idle() {
    let folder = tempfile::tempdir_in(".").unwrap();
    let (host, settings) = real(folder.path());
    let all = readings(&host);
    let source: Arc<str> = "greenhouse/air".into();
    let before = resident();
    let journal = LogJournal::open(&host, settings, 0).unwrap();
    let spools = crate::log::LogSpools::new(&host);
    let open = |n: u32| {
        smollama_engine::run::Spools::open(&spools, &n.to_string(), ByteSize::mib(64)).unwrap()
    };
    let open: Vec<_> = (0..10).map(open).collect();
    println!("a journal and ten spools: {} KiB", resident().saturating_sub(before) >> 10);
    for n in 0..2000 {
        while journal.append(at(n), &event_at(&source, at(n), &all), None).is_err() {
            std::thread::yield_now();
        }
    }
    journal.sync().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(6));
    println!("after two million readings: {} KiB", resident().saturating_sub(before) >> 10);
    let (calls, cpu_before) = (journal.fill(), cpu());
    std::thread::sleep(std::time::Duration::from_secs(10));
    assert_eq!(journal.fill(), calls);
    println!("ten seconds of nothing: {:.2} s of a processor", cpu() - cpu_before);
    drop(open);
}

#[test]
#[ignore = "a measurement"]
fn reopening_a_gibibyte() {
    let folder = tempfile::tempdir_in(".").unwrap();
    let (host, settings) = real(folder.path());
    let journal = LogJournal::open(&host, settings.clone(), 0).unwrap();
    let all = readings(&host);
    let source: Arc<str> = "greenhouse/air".into();
    let mut now = at(0);
    while journal.fill().bytes < 1 << 30 {
        now = now + smollama_engine::duration::Duration::from_micros(300);
        let _ = journal.append(now, &event_at(&source, now, &all), None);
    }
    let last = journal.last_seq();
    drop((journal, host, all));
    let (host, _) = real(folder.path());
    let before = resident();
    let start = Instant::now();
    let journal = LogJournal::open(&host, settings, 0).unwrap();
    let opened = start.elapsed();
    assert_eq!(journal.last_seq(), last);
    let grown = resident().saturating_sub(before);
    println!("reopened {} bytes in {opened:?}, {} KiB more", journal.fill().bytes, grown >> 10);
    let start = Instant::now();
    let mut reader = journal.read_after(0).unwrap();
    let mut items = 0;
    while let Some(record) = reader.next().unwrap() {
        if let Event::Items { items: some, .. } = record.event {
            items += some.len();
        }
    }
    let grown = resident().saturating_sub(before);
    let rate = items as f64 / start.elapsed().as_secs_f64();
    println!("read {items} readings at {rate:.0}/s, {} KiB more", grown >> 10);
}
