//! `relay PORT QOS IN OUT`: MQTT to dedup to MQTT as one writes it by hand, on the client crate that Smollama has, with its limits.
//!
//! Messages are acknowledged by the client as soon as they are taken; nothing is kept.

use std::collections::HashMap;
use std::error::Error;

use rumqttc::mqttbytes::QoS;
use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, PublishOptions,
    PublishProperties,
};

/// A value this close to the last that passed is no news.
const DEADBAND: f64 = 0.05;
const RECEIVE_MAXIMUM: u16 = 1000;
const IN_FLIGHT: u16 = 1024;
const REQUESTS_AT_ONCE: usize = 256;
const WAITING: usize = 256;

#[derive(serde::Deserialize)]
struct Reading<'a> {
    source: &'a str,
    value: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, qos, from, to] = arguments.as_slice() else {
        return Err("usage: relay PORT QOS IN OUT".into());
    };
    let qos = match qos.as_str() {
        "0" => QoS::AtMostOnce,
        "1" => QoS::AtLeastOnce,
        _ => return Err("QOS is 0 or 1".into()),
    };
    let (hears, mut comes) = connect("relay-sub", port.parse()?);
    let (says, mut goes) = connect("relay-pub", port.parse()?);
    tokio::spawn(async move { while goes.poll().await.is_ok() {} });
    let mut last: HashMap<String, f64> = HashMap::new();
    loop {
        let message = match comes.poll().await? {
            Event::Incoming(Packet::ConnAck(_)) => {
                hears.subscribe(from.clone(), qos).await?;
                continue;
            }
            Event::Incoming(Packet::Publish(message)) => message,
            _ => continue,
        };
        let reading: Reading = serde_json::from_slice(&message.payload)?;
        match last.get_mut(reading.source) {
            Some(last) if (reading.value - *last).abs() <= DEADBAND => continue,
            Some(last) => *last = reading.value,
            None => drop(last.insert(reading.source.to_owned(), reading.value)),
        }
        let properties = PublishProperties {
            user_properties: vec![("smollama-host".to_owned(), "relay".to_owned())],
            ..PublishProperties::default()
        };
        let options = PublishOptions::new(qos).properties(properties);
        says.publish(to.clone(), message.payload.clone(), options).await?;
    }
}

fn connect(id: &str, port: u16) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, ("127.0.0.1", port));
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options
        .set_network_options(network)
        .set_max_request_batch(REQUESTS_AT_ONCE)
        .set_receive_maximum(Some(RECEIVE_MAXIMUM))
        .set_outgoing_inflight_upper_limit(IN_FLIGHT);
    AsyncClient::builder(options).capacity(WAITING).build()
}
