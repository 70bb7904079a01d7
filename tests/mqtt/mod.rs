//! The real binary between real brokers and clients that count: what the pages on MQTT promise, with everything taken away that can be.
//!
//! A [`Publisher`](load::Publisher) notes what the broker acknowledged to it, an [`Observer`](load::Observer) what comes out at the other
//! end, and a [`Tally`](load::Tally) compares them.

mod access;
mod blocked;
mod certificates;
mod client;
mod cuts;
mod defaults;
mod kill;
mod load;
mod older;
mod payloads;
mod proxy;
mod refused;
mod restart;
mod retained;
mod silent;
mod topics;

use serde_json::Value;

use crate::mosquitto::{KEEPS, Mosquitto};
use crate::place::{Place, wait_until};

/// A broker that forgets nothing, with more lines of configuration, and says all that it does.
fn broker(more: &str) -> Mosquitto {
    // Without it a burst of acknowledgements takes 40 ms.
    let fast = "set_tcp_nodelay true\n";
    Mosquitto::start(&format!("{KEEPS}log_type all\n{fast}{more}"))
}

/// Waits until somebody has subscribed to this filter: what was published before is for nobody.
fn wait_for_subscription(broker: &Mosquitto, filter: &str) {
    wait_until("it has subscribed", || {
        broker.said().lines().any(|line| line.ends_with(&format!(" {filter}")))
    });
}

/// A place whose broker listens on this port of loopback. `more` are further settings below `mqtt`, each after a comma.
fn place(port: u16, more: &str) -> Place {
    let place = Place::new();
    configure(&place, port, more);
    place
}

fn configure(place: &Place, port: u16, more: &str) {
    let config = format!("mqtt: {{ broker: 127.0.0.1, port: {port}{more} }}\n");
    place.write("config.yaml", &config);
}

/// How many messages the broker sent once more to the engine, since it had heard of no acknowledgement. Neither `max_inflight_messages` nor
/// the receive maximum says how many there can be: mosquitto 2.0.11 soon has more under way.
fn redelivered(broker: &Mosquitto) -> usize {
    let said = broker.said();
    let again = said.lines().filter(|line| line.contains("Sending PUBLISH to smollama-"));
    again.filter(|line| line.contains("-sub (d1,")).count()
}

/// How a node of the pipeline `p` is.
fn node(place: &Place, name: &str) -> Value {
    place.json(&["status", &format!("p/{name}")])
}
