//! `mqtt`: publish, and show what comes, for whoever has no other client at hand.

use std::io::{self, BufRead, IsTerminal};
use std::process::ExitCode;

use serde_json::json;
use smollama_engine::config::Secret;
use smollama_engine::config::mqtt::{DEFAULT_BROKER, MqttBroker, MqttConfig};
use smollama_engine::diagnostic::nearest;
use smollama_engine::topic;
use smollama_nodes::io::mqtt::{Arrived, Client, Publication, Qos};
use tokio::sync::mpsc;

use crate::cli::Global;
use crate::cli::mqtt::{Broker, Mqtt, Publish, Subscribe};
use crate::signals::Signals;
use crate::terminal::{self, Failure};
use crate::text::plain;
use crate::{client, host};

/// Lines that are read ahead of the broker.
const LINES_AHEAD: usize = 64;

pub(crate) fn mqtt(global: &Global, command: &Mqtt) -> Result<ExitCode, Failure> {
    let runtime = client::runtime()?;
    match command {
        Mqtt::Pub(args) => runtime.block_on(publish(global, args))?,
        Mqtt::Sub(args) => runtime.block_on(subscribe(global, args))?,
    }
    // A thread may still wait for a line of standard input.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

async fn publish(global: &Global, args: &Publish) -> Result<(), Failure> {
    topic::check_topic(&args.topic).map_err(|error| {
        Failure::Wrong(format!("`{}` is no topic to publish to: {error}", plain(&args.topic)))
    })?;
    let message = match &args.file {
        Some(path) => std::fs::read(path)
            .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", path.display())))?,
        None => args.message.clone().unwrap_or_default().into_bytes(),
    };
    let mut client = connect(global, &args.broker).await?;
    let publication = |payload: Vec<u8>| Publication {
        topic: args.topic.clone(),
        payload: payload.into(),
        qos: qos(&args.broker),
        retain: args.retain,
        properties: Vec::new(),
        expiry: None,
    };
    if args.lines {
        let mut lines = lines();
        while let Some(line) = lines.recv().await {
            let line = line
                .map_err(|error| Failure::Failed(format!("cannot read standard input: {error}")))?;
            client.publish(publication(line)).await.map_err(Failure::Failed)?;
        }
    } else {
        client.publish(publication(message)).await.map_err(Failure::Failed)?;
    }
    client.close().await;
    Ok(())
}

/// The lines of standard input, read beside the connection, which has to be kept up meanwhile.
fn lines() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (give, lines) = mpsc::channel(LINES_AHEAD);
    tokio::task::spawn_blocking(move || {
        for line in io::stdin().lock().split(b'\n') {
            let line = line.map(|mut line| {
                line.pop_if(|last| *last == b'\r');
                line
            });
            let ends = line.is_err();
            if give.blocking_send(line).is_err() || ends {
                return;
            }
        }
    });
    lines
}

async fn subscribe(global: &Global, args: &Subscribe) -> Result<(), Failure> {
    for filter in &args.filters {
        topic::check_filter(filter).map_err(|error| {
            Failure::Wrong(format!("`{}` is no filter of topics: {error}", plain(filter)))
        })?;
    }
    // Before anything else, so that Ctrl-C always ends it well.
    let mut signals = Signals::new()?;
    let shown = async {
        let mut client = connect(global, &args.broker).await?;
        for filter in &args.filters {
            client.subscribe(filter, qos(&args.broker)).await.map_err(Failure::Failed)?;
        }
        let mut left = args.count;
        while left != Some(0) {
            let message = client.next().await.map_err(Failure::Failed)?;
            terminal::print_bytes(&line(&message, args.verbose, global.json))?;
            left = left.map(|left| left - 1);
        }
        client.close().await;
        Ok(())
    };
    tokio::select! {
        shown = shown => shown,
        () = signals.stop() => Ok(()),
    }
}

/// A message as it is shown. On a terminal, what a stranger sent cannot do anything to it.
fn line(message: &Arrived, verbose: bool, as_json: bool) -> Vec<u8> {
    let Arrived { topic, payload, qos, retained } = message;
    let text = str::from_utf8(payload);
    let mut line = if as_json {
        let mut shown = json!({ "topic": topic, "qos": qos.number(), "retained": retained });
        match text {
            Ok(text) => shown["payload"] = text.into(),
            Err(_) => shown["bytes"] = payload.to_vec().into(),
        }
        shown.to_string().into_bytes()
    } else {
        let topic = if verbose { format!("{} ", plain(topic)) } else { String::new() };
        let payload = match io::stdout().is_terminal() {
            true => plain(&String::from_utf8_lossy(payload)).into_owned().into_bytes(),
            false => payload.to_vec(),
        };
        [topic.into_bytes(), payload].concat()
    };
    line.push(b'\n');
    line
}

fn qos(broker: &Broker) -> Qos {
    Qos::from_number(broker.qos).unwrap_or_default()
}

async fn connect(global: &Global, args: &Broker) -> Result<Client, Failure> {
    let mut settings = match &args.host {
        Some(host) => MqttBroker { broker: Some(host.clone()), ..MqttBroker::default() },
        None => {
            let mqtt = host::settings(global)?.mqtt;
            let name = args.connection.as_deref().unwrap_or(DEFAULT_BROKER);
            mqtt.named(name).ok_or_else(|| unknown(name, &mqtt))?
        }
    };
    settings.port = args.port.or(settings.port);
    if let Some(name) = &args.username {
        settings.username = Some(Secret::literal(name.as_str()));
        settings.password = None;
    }
    if let Some(name) = &args.password_env {
        let password = host::variable(name)
            .ok_or_else(|| Failure::Wrong(format!("the variable `{}` is not set", plain(name))))?;
        settings.password = Some(Secret::literal(password));
    }
    Client::connect(&settings).await.map_err(Failure::Failed)
}

fn unknown(name: &str, mqtt: &MqttConfig) -> Failure {
    let mut message = format!("there is no broker `{}` in config.yaml", plain(name));
    if let Some(near) = nearest(name, mqtt.names()) {
        message += &format!("\n  help: did you mean `{near}`?");
    }
    Failure::Wrong(message)
}
