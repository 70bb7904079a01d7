//! Which temperature sensors the kernel has: thermal zones, and the chips of hwmon.

use std::fs;
use std::path::{Path, PathBuf};

/// A sensor: what it is called, and the file with its thousandths of a degree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sensor {
    pub(super) id: String,
    pub(super) path: PathBuf,
}

/// Zones and chips that measure the CPU, the surest first.
const CPU: [&str; 9] = [
    "x86_pkg_temp",
    "cpu-thermal",
    "cpu_thermal",
    "soc-thermal",
    "soc_thermal",
    "coretemp",
    "k10temp",
    "zenpower",
    "cpu0-thermal",
];

/// All sensors, that of the CPU first under the id `cpu_temp` and the others as `temp/NAME`. Where no name speaks of the CPU, the
/// first thermal zone counts as its sensor.
pub(super) fn sensors(root: &Path) -> Vec<Sensor> {
    let zones = folders(&root.join("sys/class/thermal"), "thermal_zone");
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for zone in &zones {
        let name = text(&zone.join("type")).unwrap_or_else(|| last(zone));
        found.push((name, zone.join("temp")));
    }
    let first_zone = (!found.is_empty()).then_some(0);
    for chip in folders(&root.join("sys/class/hwmon"), "hwmon") {
        let name = text(&chip.join("name")).unwrap_or_else(|| last(&chip));
        // Zones come up as chips again.
        if found.iter().any(|(known, _)| same(known, &name)) {
            continue;
        }
        for input in inputs(&chip) {
            let label = text(&chip.join(format!("{input}_label")));
            let full = label.map_or_else(
                || if input == "temp1" { name.clone() } else { format!("{name}/{input}") },
                |label| format!("{name}/{label}"),
            );
            found.push((full, chip.join(format!("{input}_input"))));
        }
    }
    let rank = |name: &str| {
        let chip = name.split('/').next().unwrap_or(name);
        CPU.iter().position(|known| *known == chip)
    };
    let ranked = (0..found.len()).filter_map(|index| Some((rank(&found[index].0)?, index)));
    let cpu = ranked.min().map(|(_, index)| index).or(first_zone);
    let mut sensors: Vec<Sensor> = Vec::new();
    for (index, (name, path)) in found.into_iter().enumerate() {
        let id = format!("temp/{}", name.replace(char::is_whitespace, "_").to_lowercase());
        if Some(index) == cpu {
            sensors.insert(0, Sensor { id: "cpu_temp".into(), path });
            continue;
        }
        // Two zones of one type are told apart by their number.
        let twins = sensors.iter().filter(|other| {
            other.id == id || other.id.strip_prefix(&id).is_some_and(|rest| rest.starts_with("-"))
        });
        let id = match twins.count() {
            0 => id,
            count => format!("{id}-{}", count + 1),
        };
        sensors.push(Sensor { id, path });
    }
    sensors
}

/// Thermal zones write `cpu-thermal` where hwmon writes `cpu_thermal`.
fn same(one: &str, other: &str) -> bool {
    one.replace('-', "_") == other.replace('-', "_")
}

/// The folders of a class whose names begin so, by number.
fn folders(class: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(class).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// The temperature inputs of a chip: `temp1`, `temp2`.
fn inputs(chip: &Path) -> Vec<String> {
    let entries = fs::read_dir(chip).into_iter().flatten().flatten();
    let mut found: Vec<(u32, String)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let input = name.to_str()?.strip_suffix("_input")?;
            Some((input.strip_prefix("temp")?.parse().ok()?, input.to_owned()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, input)| input).collect()
}

fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn last(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
