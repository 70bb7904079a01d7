//! A host and its nodes as a person reads them.

use smollama_engine::control::{
    CheckpointStatus, DeadLetterStatus, DiskCost, HostStatus, JournalFailure, JournalStatus,
    NodeName, NodeStatus, PipelineStatus, QueueStatus, ReadingsStatus, SpoolStatus, Warning,
};

use super::*;
use crate::commands::stand_in::StandIn;
use crate::text::Paint;

fn node(name: &str, section: &str, type_name: &str, counts: (u64, u64)) -> NodeStatus {
    let emitted = [("main".to_owned(), counts.1)];
    NodeStatus {
        address: format!("home/{name}"),
        section: section.into(),
        type_name: type_name.into(),
        state: NodeState::Running,
        error: None,
        warnings: vec![],
        received: counts.0,
        emitted: emitted.into_iter().filter(|_| section != "sink").collect(),
        rejected: 0,
        dropped: 0,
        errors: 0,
        corrected: 0,
        received_per_s: counts.0 as f64 / 1000.0,
        emitted_per_s: counts.1 as f64 / 1000.0,
        queue: None,
        spool: None,
        state_age_s: None,
        disk: DiskCost::default(),
    }
}

/// A host on which something is wrong.
pub(crate) fn example() -> Status {
    let mut pace = node("pace", "transform", "adaptive_rate", (82_000, 12));
    pace.state_age_s = Some(12.0);
    pace.disk = DiskCost { written_bytes: 40_960, syncs: 10 };
    let mut history = node("history", "sink", "parquet", (1_200, 0));
    history.queue = Some(QueueStatus { bytes: 500, size: 1_000 });
    let mut alerts = node("alerts", "sink", "mqtt", (300, 0));
    alerts.state = NodeState::Retrying;
    alerts.error = Some("connection refused\x1b[2J (os error 111)".into());
    (alerts.errors, alerts.rejected, alerts.dropped) = (12, 1, 3);
    alerts.queue = Some(QueueStatus { bytes: 1, size: 1_000 });
    alerts.spool =
        Some(SpoolStatus { bytes: 2 << 20, cap: 64 << 20, items: 312, hours_left: Some(71.2) });
    let mut air = node("air", "source", "mqtt", (0, 82_312));
    air.corrected = 2;
    let nodes =
        vec![air, node("news", "transform", "dedup", (82_312, 1_212)), pace, history, alerts];
    Status {
        timestamp: "2026-11-21T06:24:30Z".parse().unwrap(),
        host: HostStatus {
            name: "kitchen".into(),
            id: "0193".into(),
            role: Some("edge".into()),
            version: "0.1.0".into(),
            data_dir: "/var/lib/smollama".into(),
            pid: 812,
            started: "2026-11-18T02:00:00Z".parse().unwrap(),
            uptime_s: 275_070.0,
            rss_bytes: Some(14 << 20),
        },
        node: NodeName { name: "kitchen".into() },
        revision: Some(12),
        pipelines: vec![PipelineStatus {
            name: "home".into(),
            file: "/etc/smollama/home.yaml".into(),
            nodes: nodes.len(),
            state: NodeState::Retrying,
        }],
        nodes,
        readings: ReadingsStatus {
            available: true,
            source_types: vec!["air".into(), "soil".into()],
            source_count: 42,
            sources: vec![],
            series: 44,
            series_cap: 100_000,
            series_given_back: 0,
            series_refused: 0,
            at_series_cap: vec![],
        },
        journal: Some(JournalStatus {
            durability: "power".into(),
            bytes: 3 << 20,
            cap: 64 << 20,
            written_bytes: 130 << 20,
            syncs: 54_000,
            quarantined: 0,
            failure: None,
            written_bytes_per_day: 41 << 20,
            syncs_per_day: 17_280,
        }),
        checkpoint: Some(CheckpointStatus { number: 812, age_s: 12.4, bytes: 18_432 }),
        blocked_by: None,
        dead_letters: DeadLetterStatus { letters: 3, bytes: 1_234 },
    }
}

#[test]
fn a_host_on_one_screen() {
    insta::assert_snapshot!(overview::overview(&example(), None, Paint(false)), @r"
kitchen  edge  smollama 0.1.0  revision 12  up 3d 4h  pid 812  14MiB
readings    42 sources of 2 types, 44 of 100000 series
journal     power, 3MiB of 64MiB (4%), 41MiB and 17280 syncs a day
checkpoint  number 812, 12s ago, 18KiB
dead        3 letters, 1.2KiB; `smollama dlq list` shows them
data        /var/lib/smollama

  NODE     TYPE           STATE     IN/S  OUT/S     IN    OUT  QUEUE  SPOOL
home  /etc/smollama/home.yaml
  air      mqtt           running      -   82.3      -  82312      -  -
    ! 2 readings with an absurd time
  news     dedup          running   82.3    1.2  82312   1212      -  -
  pace     adaptive_rate  running   82.0   <0.1  82000     12      -  -
  history  parquet        running    1.2      -   1200      -    50%  -
  alerts   mqtt           retrying   0.3      -    300      -    <1%  3%, 2d 23h left
    ! 12 errors, 1 rejected, 3 dropped: connection refused\u{1b}[2J (os error 111)
");
}

#[test]
fn on_a_narrow_terminal() {
    insta::assert_snapshot!(overview::overview(&example(), Some(60), Paint(false)), @r"
kitchen  edge  smollama 0.1.0  revision 12  up 3d 4h  pid 812  14MiB
readings    42 sources of 2 types, 44 of 100000 series
journal     power, 3MiB of 64MiB (4%), 41MiB and 17280 syncs a day
checkpoint  number 812, 12s ago, 18KiB
dead        3 letters, 1.2KiB; `smollama dlq list` shows them
data        /var/lib/smollama

  NODE     TYPE           STATE     IN/S  OUT/S  QUEUE
home  /etc/smollama/home.yaml
  air      mqtt           running      -   82.3      -
    ! 2 readings with an absurd time
  news     dedup          running   82.3    1.2      -
  pace     adaptive_rate  running   82.0   <0.1      -
  history  parquet        running    1.2      -    50%
  alerts   mqtt           retrying   0.3      -    <1%
    ! 12 errors, 1 rejected, 3 dropped: connection refused\…
");
}

#[test]
fn what_is_wrong_has_a_colour_and_nothing_else_has() {
    let shown = overview::overview(&example(), None, Paint(true));
    let line = |text: &str| {
        let found = shown.lines().find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("{text}: {shown}")).to_owned()
    };
    assert!(line("alerts").contains("\x1b[33mretrying\x1b[0m"));
    assert!(!line("news  ").contains('\x1b'), "{}", line("news  "));
    let mut status = example();
    status.journal.as_mut().unwrap().bytes = 60 << 20;
    assert!(overview::overview(&status, None, Paint(true)).contains("\x1b[33mpower, 60MiB"));
}

#[test]
fn what_blocks_a_checkpoint_and_what_is_damaged_is_said() {
    let mut status = example();
    status.blocked_by = Some("home/alerts".into());
    status.journal.as_mut().unwrap().quarantined = 2;
    let shown = overview::overview(&status, None, Paint(false));
    assert!(shown.contains("12s ago, 18KiB; the next one waits for home/alerts\n"), "{shown}");
    assert!(shown.contains("syncs a day, 2 damaged segments put aside\n"), "{shown}");
}

#[test]
fn a_journal_that_cannot_be_written_is_a_line_of_its_own() {
    let mut status = example();
    let since = "2026-11-21T06:22:10Z".parse().unwrap();
    let error = "No space left on device (os error 28)".into();
    status.journal.as_mut().unwrap().failure = Some(JournalFailure { since, error });
    let shown = overview::overview(&status, None, Paint(false));
    let line =
        "            ! it cannot be written for 2m 20s: No space left on device (os error 28)";
    assert!(shown.contains(&format!("syncs a day\n{line}\n")), "{shown}");
}

#[test]
fn where_series_lack_room_it_says_who_holds_so_many() {
    let mut status = example();
    status.readings.series_given_back = 9_500;
    let shown = overview::overview(&status, None, Paint(false));
    assert!(shown.contains("44 of 100000 series, 9500 given back\n"), "{shown}");
    status.readings.series_refused = 12;
    status.readings.at_series_cap = vec!["home/air".into(), "home/soil".into()];
    let shown = overview::overview(&status, None, Paint(false));
    let line = "            ! home/air and home/soil hold as many series as a source may; refused 12 times";
    assert!(shown.contains(&format!("9500 given back\n{line}\n")), "{shown}");
    status.readings.series = 100_000;
    let shown = overview::overview(&status, None, Paint(false));
    let line = "            ! there is no room for more series; refused 12 times";
    assert!(shown.contains(&format!("given back\n{line}\n")), "{shown}");
}

#[test]
fn a_host_on_which_nothing_runs() {
    let mut status = example();
    (status.nodes, status.pipelines) = (vec![], vec![]);
    (status.revision, status.journal, status.checkpoint) = (None, None, None);
    status.dead_letters = DeadLetterStatus::default();
    insta::assert_snapshot!(overview::overview(&status, None, Paint(false)), @"
kitchen  edge  smollama 0.1.0  nothing applied  up 3d 4h  pid 812  14MiB
readings    42 sources of 2 types, 44 of 100000 series
data        /var/lib/smollama
");
    assert_eq!(hint(&status), None);
}

#[test]
fn one_node_with_all_that_is_known() {
    let status = example();
    insta::assert_snapshot!(page::page(&status.nodes[4], Paint(false)), @r"
home/alerts  sink  mqtt  retrying
trouble     connection refused\u{1b}[2J (os error 111)
received    300, 0.3/s
errors      12 calls that failed
rejected    1 went to the dead letters
dropped     3 by its queue, as its policy says
queue       1B of 1000B (<1%)
spool       2MiB of 64MiB (3%), 312 items, full in 2d 23h
");
    insta::assert_snapshot!(page::page(&status.nodes[2], Paint(false)), @"
home/pace  transform  adaptive_rate  running
received    82000, 82.0/s
emitted     12 by main, <0.1/s
state       saved 12s ago
disk        40KiB and 10 syncs
");
}

#[test]
fn what_somebody_should_know_is_said_though_all_works() {
    let mut status = example();
    status.nodes.truncate(1);
    let since = "2026-11-21T06:22:10Z".parse().unwrap();
    let text = "the broker had forgotten the session\x1b[2J".into();
    status.nodes[0].warnings = vec![Warning { since, text }];
    let shown = overview::overview(&status, Some(60), Paint(false));
    let line = "\n    ! for 2m 20s: the broker had forgotten the session\\u{1b…\n";
    assert!(shown.contains(line), "{shown}");
    let shown = page::page(&status.nodes[0], Paint(false));
    let line =
        "warning     since 2026-11-21T06:22:10Z: the broker had forgotten the session\\u{1b}[2J";
    assert!(shown.contains(line), "{shown}");
    assert_eq!(hint(&status).unwrap(), "`smollama status home/air` says what helps.");
}

#[test]
fn the_hint_names_what_is_worst() {
    let mut status = example();
    assert_eq!(hint(&status).unwrap(), "`smollama logs home/alerts` says more.");
    status.nodes[0].state = NodeState::Failed;
    assert_eq!(hint(&status).unwrap(), "`smollama logs home/air` says more.");
}

#[tokio::test]
async fn an_address_that_nothing_has_is_the_users_mistake() {
    let engine = StandIn { status: Some(example()), ..StandIn::default() };
    let address = Some("home/alert".into());
    let failed = status(&engine.call(), &look::Status { address }).await;
    let Err(Failure::Wrong(why)) = failed else { panic!("{failed:?}") };
    assert_eq!(why, "no `home/alert` runs\n  help: did you mean `home/alerts`?");
    let mut status = example();
    assert!(only(&mut status, "home").is_ok());
    assert_eq!(status.nodes.len(), 5);
}
