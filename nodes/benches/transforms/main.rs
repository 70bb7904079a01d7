//! Each transform through the node interface against the same work as a plain loop over the same batches and the same kind of
//! state table: what the interface and the generality of a node cost.
//!
//! `cargo bench -p smollama-nodes --bench transforms [-- dedup novelty ...]` measures. Otherwise, as under `cargo test`, only the
//! outputs of both sides are compared, on a small input.

mod gathers;
mod input;
mod makes;
mod passes;
mod plain;
mod scores;

use std::error::Error;
use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};
use smollama_engine::batch::{Batch, Items};
use smollama_engine::context::Context;
use smollama_engine::node::{MAIN, Node, Outputs};
use smollama_engine::registry::{Carries, NodeConfig};
use smollama_engine::time::Timestamp;
use smollama_nodes::transforms::adaptive_rate::AdaptiveRateConfig;
use smollama_nodes::transforms::alarm::AlarmConfig;
use smollama_nodes::transforms::combine::CombineConfig;
use smollama_nodes::transforms::dedup::DedupConfig;
use smollama_nodes::transforms::derive::DeriveConfig;
use smollama_nodes::transforms::filter::FilterConfig;
use smollama_nodes::transforms::gate::GateConfig;
use smollama_nodes::transforms::map::MapConfig;
use smollama_nodes::transforms::novelty::NoveltyConfig;
use smollama_nodes::transforms::volatility::VolatilityConfig;
use smollama_nodes::transforms::window::WindowConfig;

use self::plain::{Item, Plain};

/// How many readings are measured, and how many are compared where nothing is measured.
const READINGS: usize = 2_000_000;
const READINGS_COMPARED: usize = 400_000;
/// How often node and loop take turns.
const RUNS: usize = 7;
/// How often the input is gone through in one turn, each time with fresh state.
const PASSES: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let measured = arguments.iter().any(|one| one == "--bench");
    let bench = Bench::new(measured, arguments);
    if measured {
        println!("CPU ns per reading, medians of {RUNS} interleaved runs (least-most)");
        println!("{:14} {:>20} {:>20} {:>18}", "", "node", "plain loop", "loop/node");
    }
    bench.compare::<DedupConfig, passes::Dedup>(r#"{ "deadband": 0.05 }"#)?;
    bench.compare::<NoveltyConfig, scores::Novelty>("{}")?;
    // By default a score is a quotient by 0.5, which a loop that knows it at compile time does not divide by.
    bench.compare::<VolatilityConfig, scores::Volatility>(r#"{ "high": 0.3 }"#)?;
    bench.compare::<FilterConfig, passes::Filter>(
        r#"{ "sources": ["bench:*/temp_c", "bench:*/co2_ppm"], "value": { "above": 60 } }"#,
    )?;
    bench.compare::<AlarmConfig, passes::Alarm>(r#"{ "above": 60, "clear_below": 59 }"#)?;
    bench.compare::<GateConfig, passes::Gate>(
        r#"{ "open_when": { "above": 20.5 }, "hold": "500ms" }"#,
    )?;
    bench.compare::<CombineConfig, gathers::Means>(
        r#"{ "function": "mean", "by": "room", "stale_after": "1h" }"#,
    )?;
    bench.compare::<MapConfig, makes::Map>(
        r#"{ "scale": 1.8, "offset": 32, "labels": { "add": { "site": "home" } } }"#,
    )?;
    bench.compare::<DeriveConfig, makes::Rate>(r#"{ "rate": "s" }"#)?;
    bench.compare::<WindowConfig, gathers::Tumbling>(r#"{ "length": "1m" }"#)?;
    bench.compare::<AdaptiveRateConfig, gathers::Heartbeats>(r#"{ "start": "5m" }"#)?;
    Ok(())
}

struct Bench {
    context: Context,
    batches: Vec<Batch>,
    /// What comes in on a second port, before each of them.
    controls: Vec<Batch>,
    readings: usize,
    measured: bool,
    /// The transforms that are asked for; all where none is named.
    named: Vec<String>,
}

impl Bench {
    fn new(measured: bool, mut named: Vec<String>) -> Bench {
        named.retain(|one| !one.starts_with('-'));
        let context = input::context();
        let readings = if measured { READINGS } else { READINGS_COMPARED };
        let batches = input::batches(&context, readings);
        let controls = input::controls(&context, &batches);
        Bench { context, batches, controls, readings, measured, named }
    }

    /// Compares the outputs of a node and a plain loop, and then, where that is wanted, their speed.
    fn compare<C: NodeConfig, P: Plain>(&self, settings: &str) -> Result<(), Box<dyn Error>> {
        if !self.named.is_empty() && self.named.iter().all(|one| one != C::TYPE) {
            return Ok(());
        }
        let config: C = serde_json::from_str(settings)?;
        let emitted = self.same_output::<C, P>(&config)?;
        if !self.measured {
            println!("{}: {emitted} items are the loop's", C::TYPE);
            return Ok(());
        }
        let (mut node, mut plain) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            node.push(self.timed(|| self.through_node(&config, keep))?);
            plain.push(self.timed(|| {
                self.through_loop::<P>(keep);
                Ok(())
            })?);
        }
        let mut ratios: Vec<f64> =
            node.iter().zip(&plain).map(|(node, plain)| plain / node).collect();
        println!(
            "{:14} {:>20} {:>20} {:>18}",
            C::TYPE,
            spread(&mut node, 1),
            spread(&mut plain, 1),
            spread(&mut ratios, 2)
        );
        Ok(())
    }

    /// Whether both sides emit the same, and how many items.
    fn same_output<C: NodeConfig, P: Plain>(&self, config: &C) -> Result<usize, Box<dyn Error>> {
        let (mut node, mut plain) = (Vec::new(), Vec::new());
        self.through_node(config, |items| node.extend_from_slice(P::Emits::of(items)))?;
        self.through_loop::<P>(|items| plain.extend_from_slice(items));
        let differs = node.iter().zip(&plain).position(|(node, plain)| !node.same(plain));
        if let Some(at) = differs {
            let (node, plain) = (&node[at], &plain[at]);
            return Err(format!("{}: item {at} is {node:?}, of the loop {plain:?}", C::TYPE).into());
        }
        if node.len() != plain.len() {
            let (node, plain) = (node.len(), plain.len());
            return Err(format!("{}: {node} items, of the loop {plain}", C::TYPE).into());
        }
        Ok(node.len())
    }

    /// Gives everything to a new node, and takes what it emits after each batch as the engine does.
    fn through_node<C: NodeConfig>(
        &self,
        config: &C,
        mut take: impl FnMut(&Items),
    ) -> Result<(), Box<dyn Error>> {
        let Ok(Node::Transform(mut node)) = config.build(&self.context) else {
            return Err("the settings make no transform".into());
        };
        let profile = config.profile();
        let mut outputs = Outputs::new(profile.outputs.iter().map(|port| match port.carries {
            Carries::Kind(kind) => (kind, port.name == "main"),
            Carries::AsInput => (input::KIND, port.name == "main"),
        }));
        let mut spare = Items::none(input::KIND);
        let mut collect = |outputs: &mut Outputs| {
            if outputs.items(MAIN).is_some_and(|items| !items.is_empty()) {
                let unused = std::mem::replace(&mut spare, Items::none(input::KIND));
                if let Some(items) = outputs.swap(MAIN, unused) {
                    take(&items);
                    spare = items;
                }
            }
        };
        let two_ports = profile.inputs.len() > 1;
        for (batch, control) in self.batches.iter().zip(&self.controls) {
            if two_ports {
                node.apply(control.received, 1, control, &mut outputs)?;
            }
            node.apply(batch.received, 0, batch, &mut outputs)?;
            collect(&mut outputs);
        }
        node.finish(Timestamp::FAR_FUTURE, &mut outputs)?;
        collect(&mut outputs);
        Ok(())
    }

    /// Gives everything to a new loop.
    fn through_loop<P: Plain>(&self, mut take: impl FnMut(&[P::Emits])) {
        let mut plain = P::new(&self.context);
        let mut emitted = Vec::new();
        for (batch, control) in self.batches.iter().zip(&self.controls) {
            control.readings().iter().for_each(|control| plain.control(control));
            plain.apply(batch.readings(), &mut emitted);
            take(&emitted);
            emitted.clear();
        }
        plain.finish(&mut emitted);
        take(&emitted);
    }

    /// How many nanoseconds of processor time one reading takes.
    fn timed(
        &self,
        mut pass: impl FnMut() -> Result<(), Box<dyn Error>>,
    ) -> Result<f64, Box<dyn Error>> {
        let began = processor_ns();
        for _ in 0..PASSES {
            pass()?;
        }
        Ok((processor_ns() - began) / (PASSES * self.readings) as f64)
    }
}

/// Emitted items are used, as far as the compiler can tell.
fn keep<T: ?Sized>(items: &T) {
    black_box(items);
}

/// The processor time this process has used, in nanoseconds.
fn processor_ns() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 * 1e9 + used.tv_nsec as f64
}

/// The median, with the least and the most in brackets.
fn spread(values: &mut [f64], decimals: usize) -> String {
    values.sort_by(f64::total_cmp);
    let (least, most) = (values[0], values[values.len() - 1]);
    format!("{:.decimals$} ({least:.decimals$}-{most:.decimals$})", values[values.len() / 2])
}
