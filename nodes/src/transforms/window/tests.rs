mod changes;
mod golden;
mod settings;
mod whole;

use smollama_engine::reading::Value;
use smollama_engine::testing::{Rig, START};
use smollama_engine::time::Timestamp;
use smollama_engine::window::Window;

use super::WindowConfig;

fn rig(settings: serde_json::Value) -> Rig<WindowConfig> {
    Rig::json(settings)
}

fn seconds(time: Timestamp) -> f64 {
    time.as_micros().saturating_sub(START.as_micros()) as f64 / 1e6
}

/// A window as one line: `0..60 time a:2@21.5 b:1@3`, with count and mean of each series.
fn line(rig: &Rig<WindowConfig>, window: &Window) -> String {
    let mut text = format!("{}..{} {}", seconds(window.start), seconds(window.end), window.cause);
    for summary in &window.summaries {
        let name = rig.name(summary.series);
        text.push_str(&format!(
            " {}:{}@{}",
            name.trim_start_matches("t:"),
            summary.count,
            summary.mean
        ));
    }
    text
}

/// The windows that came since this was last asked.
fn windows(rig: &mut Rig<WindowConfig>) -> Vec<String> {
    let windows = rig.windows("main");
    windows.iter().map(|window| line(rig, window)).collect()
}

/// The late readings, as (seconds, value).
fn late(rig: &mut Rig<WindowConfig>) -> Vec<(f64, Value)> {
    rig.readings("late").into_iter().map(|one| (seconds(one.time), one.value)).collect()
}
