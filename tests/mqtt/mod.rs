//! The real binary between real brokers and clients that count: what the pages on MQTT promise, with everything taken away that can be.
//!
//! A [`Publisher`](load::Publisher) notes what the broker acknowledged to it, an [`Observer`](load::Observer) what comes out at the other
//! end, and a [`Tally`](load::Tally) compares them.

mod client;
mod kill;
mod load;

use crate::mosquitto::{KEEPS, Mosquitto};
use crate::place::{Place, wait_until};

/// A broker that forgets nothing, with more lines of configuration, and says who subscribes.
fn broker(more: &str) -> Mosquitto {
    let says = "log_type error\nlog_type warning\nlog_type notice\nlog_type information\nlog_type subscribe\n";
    // Without it a burst of acknowledgements takes 40 ms.
    let fast = "set_tcp_nodelay true\n";
    Mosquitto::start(&format!("{KEEPS}{says}{fast}{more}"))
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
