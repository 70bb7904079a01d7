//! `route`: each item to the port whose condition it meets.

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;
use smollama_engine::batch::{Batch, ItemKind};
use smollama_engine::condition::{Condition, Predicate};
use smollama_engine::config::pipeline::is_name;
use smollama_engine::context::Context;
use smollama_engine::node::{MAIN, Node, NodeError, Outputs, Transform};
use smollama_engine::registry::{
    Carries, InputPort, NodeConfig, OutputPort, Problem, Profile, Section,
};
use smollama_engine::series::SeriesId;
use smollama_engine::time::Timestamp;

/// Sends each item to the port whose condition it meets, and what meets none to port `main`.
///
/// The conditions are asked in the order in which they are written, and the first that is met counts; with `all: true` each of them counts, and an item
/// goes to every port whose condition it meets. A condition is written as for `filter`. The ports have the names that are given to them here: what goes to port
/// `cold` of the node `by_heat` is read as `by_heat.cold`. Several conditions can name one port.
///
/// It takes any kind of item that has what is asked for, and passes items as they are, in their order. Nothing is held back and nothing is
/// remembered, so its settings may change at any time.
///
/// Ports: those that are named here, and `main` for the rest.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Where to, by what condition; the order counts.
    #[schemars(length(min = 1, max = 100))]
    pub routes: Vec<Route>,
    /// Each condition that is met counts, and not only the first. Default: `false`.
    #[serde(default)]
    pub all: bool,
}

/// Where to, by what condition.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The name of the port: small letters, digits, `-` and `_`.
    pub port: String,
    /// What an item must be like.
    #[serde(rename = "if")]
    pub condition: Condition,
}

/// So many are asked of each item at most.
const ROUTES_MAX: usize = 100;
/// The port of what meets no condition.
const REST: &str = "main";

impl RouteConfig {
    /// The ports but for `main`, in the order in which they are named first.
    fn ports(&self) -> Vec<&str> {
        let mut ports: Vec<&str> = Vec::new();
        for route in &self.routes {
            if !ports.contains(&route.port.as_str()) {
                ports.push(&route.port);
            }
        }
        ports
    }

    /// Whether items of a kind have what all conditions ask for.
    fn accepts(&self, kind: ItemKind) -> bool {
        self.routes.iter().all(|route| route.condition.foreign(kind).is_none())
    }
}

impl NodeConfig for RouteConfig {
    const SECTION: Section = Section::Transforms;
    const TYPE: &'static str = "route";
    const EXAMPLE: &'static str = include_str!("example.yaml");

    fn profile(&self) -> Profile {
        let accepts = ItemKind::ALL.into_iter().filter(|kind| self.accepts(*kind)).collect();
        let profile = Profile {
            inputs: vec![InputPort { name: "main", accepts }],
            outputs: vec![OutputPort { name: REST.into(), carries: Carries::AsInput }],
            ..Profile::default()
        };
        let ports = self.ports().into_iter();
        ports.fold(profile, |profile, port| profile.output(port.to_owned(), Carries::AsInput))
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.routes.is_empty() {
            let problem = Problem::at("routes", "there is nowhere to go but `main`");
            problems.push(problem.help("give at least one `{ port: NAME, if: { ... } }`"));
        }
        if self.routes.len() > ROUTES_MAX {
            let message = format!("{} routes, more than {ROUTES_MAX}", self.routes.len());
            problems
                .push(Problem::at("routes", message).help("use several nodes, one behind another"));
        }
        let mut whole = Vec::new();
        for (index, route) in self.routes.iter().enumerate() {
            let field = format!("routes.{index}");
            if route.port == REST {
                let problem =
                    Problem::at(format!("{field}.port"), "`main` is for what meets no condition");
                problems.push(problem.help("give it another name"));
            } else if !is_name(&route.port) {
                let message = format!("`{}` is no name of a port", route.port);
                let problem = Problem::at(format!("{field}.port"), message);
                problems
                    .push(problem.help("use small letters, digits, `-` and `_`, a letter first"));
            }
            let of = route.condition.problems();
            whole.extend(of.is_empty().then_some(index));
            problems.extend(of.into_iter().map(|mut problem| {
                let below = std::mem::take(&mut problem.field);
                let dot = if below.is_empty() { "" } else { "." };
                problem.field = format!("{field}.if{dot}{below}");
                problem
            }));
        }
        if whole.len() == self.routes.len() && !ItemKind::ALL.iter().any(|kind| self.accepts(*kind))
        {
            let problem =
                Problem::at("routes", "no kind of item has what all these conditions ask for");
            problems.push(problem.help("use one node for windows and another for observations"));
        }
        problems
    }

    fn build(&self, context: &Context) -> Result<Node, Problem> {
        let ports = self.ports();
        let routes = self.routes.iter().filter_map(|route| {
            let port = ports.iter().position(|port| *port == route.port)? + 1;
            Some((port, Predicate::new(&route.condition, &context.host)))
        });
        Ok(Node::Transform(Box::new(Router {
            routes: routes.collect(),
            all: self.all,
            taken: vec![false; ports.len() + 1],
        })))
    }
}

struct Router {
    routes: Vec<(usize, Predicate)>,
    all: bool,
    /// Which ports an item went to; kept so that nothing is allocated for one.
    taken: Vec<bool>,
}

impl Router {
    /// The first port whose condition an item meets.
    #[inline]
    fn first(&mut self, meets: impl Fn(&mut Predicate) -> bool) -> usize {
        let mut routes = self.routes.iter_mut();
        routes.find_map(|(port, asked)| meets(asked).then_some(*port)).unwrap_or(MAIN)
    }

    /// Gives all ports whose condition an item meets.
    fn each(&mut self, meets: impl Fn(&mut Predicate) -> bool, mut to: impl FnMut(usize)) {
        self.taken.fill(false);
        for (port, asked) in &mut self.routes {
            if !self.taken[*port] && meets(asked) {
                self.taken[*port] = true;
                to(*port);
            }
        }
        if self.taken.iter().all(|taken| !taken) {
            to(MAIN);
        }
    }
}

impl Transform for Router {
    fn apply(
        &mut self,
        _: Timestamp,
        _: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        if self.all {
            for index in 0..batch.items.len() {
                let meets = |asked: &mut Predicate| asked.test(&batch.items, index);
                self.each(meets, |port| out.copy(port, &batch.items, index));
            }
            return Ok(());
        }
        if batch.items.kind() == ItemKind::Readings {
            for reading in batch.readings() {
                let port = self.first(|asked| asked.reading(reading));
                out.pass(port, reading);
            }
            return Ok(());
        }
        for index in 0..batch.items.len() {
            let port = self.first(|asked| asked.test(&batch.items, index));
            out.copy(port, &batch.items, index);
        }
        Ok(())
    }

    fn prime(
        &mut self,
        now: Timestamp,
        port: usize,
        batch: &Batch,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        self.apply(now, port, batch, out)
    }

    fn forget(
        &mut self,
        _: Timestamp,
        silent: &mut Vec<SeriesId>,
        _: &mut Outputs,
    ) -> Result<(), NodeError> {
        self.routes.iter_mut().for_each(|(_, asked)| asked.forget(silent));
        Ok(())
    }
}
