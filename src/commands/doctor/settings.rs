//! `config.yaml`: whether it is right, and who can read the secrets in it.

use std::path::{Path, PathBuf};

use smollama_engine::config::mqtt::DEFAULT_BROKER;
use smollama_engine::diagnostic::Severity;

use super::finding::Finding;
use super::ownership::{anyone_reads, mode};
use crate::cli::Global;
use crate::commands::config;
use crate::host::Read;

pub(super) fn findings(global: &Global, read: &Read) -> Vec<Finding> {
    let mut found = Vec::new();
    wrong(read, &mut found);
    let Some(path) = &read.path else {
        found.push(
            Finding::note("settings.file", "there is no config.yaml: everything is as by default")
                .fix("`smollama init` looks at this machine and writes one"),
        );
        return found;
    };
    if !read.diagnostics.has_errors() {
        found.insert(0, Finding::ok("settings.file", format!("{} can be used", path.display())));
    }
    secrets(global, read, path, &mut found);
    found
}

/// What `config check` says, too.
fn wrong(read: &Read, found: &mut Vec<Finding>) {
    for (said, one) in read.diagnostics.to_json(&read.files).iter().zip(read.diagnostics.sorted()) {
        let place = match &said.file {
            Some(file) => format!("{file}:{}:{}: ", said.line, said.column),
            None => String::new(),
        };
        let text = format!("{place}{}", said.message);
        let fix = said.help.clone();
        let fix = fix.unwrap_or_else(|| "`smollama config check` shows the line".into());
        found.push(match one.severity {
            Severity::Error => Finding::error("settings.file", text, fix),
            Severity::Warning => Finding::warning("settings.file", text, fix),
        });
    }
}

fn secrets(global: &Global, read: &Read, path: &Path, found: &mut Vec<Finding>) {
    let plain = config::plain_secrets(global, read);
    let before = found.len();
    if let (Some(first), Ok(file)) = (plain.first(), path.metadata())
        && anyone_reads(&file)
    {
        let text = format!(
            "`{first}` stands in {}, which every user of this machine can read ({:04o})",
            path.display(),
            mode(&file)
        );
        let fix = format!(
            "chmod 600 {}; or keep it elsewhere: `{first}: secret://env/NAME`",
            path.display()
        );
        found.push(Finding::error("settings.secrets", text, fix));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut files: Vec<PathBuf> =
        read.variables.iter().filter_map(|variable| variable.file(folder)).collect();
    if let Some(config) = &read.config {
        let brokers = config.mqtt.names().filter_map(|name| config.mqtt.named(name));
        files.extend(brokers.filter_map(|broker| broker.tls?.key));
    }
    files.dedup();
    let mut looked = plain.len();
    for file in files {
        let Ok(about) = file.metadata() else { continue };
        looked += 1;
        if anyone_reads(&about) {
            let shown = file.display();
            let text = format!(
                "{shown} holds a secret, and every user of this machine can read it ({:04o})",
                mode(&about)
            );
            found.push(Finding::error("settings.secrets", text, format!("chmod 600 {shown}")));
        }
    }
    if found.len() == before && looked > 0 {
        let text = "the secrets it names cannot be read by everyone";
        found.push(Finding::ok("settings.secrets", text));
    }
    if let Some(config) = &read.config {
        for name in config.mqtt.names() {
            let broker = config.mqtt.named(name).unwrap_or_default();
            if broker.password.is_some() && broker.tls.is_none() && is_far(broker.broker.as_deref())
            {
                let key = if name == DEFAULT_BROKER {
                    "mqtt".into()
                } else {
                    format!("mqtt.connections.{name}")
                };
                let text = format!("the password of `{key}` goes over the network unencrypted");
                let fix = format!(
                    "`{key}: {{ tls: {{}} }}`, and a listener with a certificate at the broker (8883)"
                );
                found.push(Finding::warning("settings.tls", text, fix));
            }
        }
    }
}

/// Whether a broker of this name is on another machine, as far as the name tells.
fn is_far(broker: Option<&str>) -> bool {
    let address = broker.map(str::parse::<std::net::IpAddr>);
    match address {
        None => false,
        Some(Ok(address)) => !address.is_loopback() && !address.is_unspecified(),
        Some(Err(_)) => broker != Some("localhost"),
    }
}
