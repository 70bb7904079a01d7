//! What goes wrong in a test: which form was written, and whether it makes sense.

use super::given::{Wrong, wrong};
use super::spec::{DiskFault, FaultSpec, Jump, Restart};
use crate::config::Spanned;
use crate::duration::Duration;

/// Faults that one test may have.
pub(super) const FAULTS_MAX: usize = 100;

/// Something that goes wrong, by its form.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault<'a> {
    /// The other side of a sink is away.
    Down { sink: &'a Spanned<String>, lasts: Duration },
    /// Nothing more can be written on this host.
    Full { lasts: Duration },
    /// The host's clock jumps.
    Clock(Jump),
    /// A node breaks, in so many calls.
    Breaks { node: &'a Spanned<String>, calls: u32, panics: bool },
    /// The host ends, and begins again.
    Restart(Restart),
}

/// The forms, each with the keys that go with it.
const FORMS: [(&str, &[&str], &str); 5] = [
    ("sink", &["down"], "{ sink: alerts, at: 10m, down: 30s }"),
    ("disk", &["for"], "{ disk: full, at: 10m, for: 1m }"),
    ("clock", &[], "{ clock: +1h, at: 10m }"),
    ("node", &["error", "panic"], "{ node: news, at: 10m, panic: 1 }"),
    ("restart", &[], "{ restart: power_cut, at: 10m }"),
];

impl<'a> Fault<'a> {
    /// Finds out which form was written.
    pub(super) fn new(fault: &'a FaultSpec) -> Result<Fault<'a>, Wrong> {
        let there = [
            ("sink", fault.sink.is_some()),
            ("disk", fault.disk.is_some()),
            ("clock", fault.clock.is_some()),
            ("node", fault.node.is_some()),
            ("restart", fault.restart.is_some()),
            ("down", fault.down.is_some()),
            ("for", fault.lasts.is_some()),
            ("error", fault.error.is_some()),
            ("panic", fault.panic.is_some()),
        ];
        let written: Vec<&str> = there.iter().filter(|(_, on)| *on).map(|(key, _)| *key).collect();
        let forms: Vec<_> = FORMS.iter().filter(|(form, ..)| written.contains(form)).collect();
        let &[&(form, takes, example)] = &forms[..] else {
            let message = match forms.len() {
                0 => "nothing says what goes wrong".to_owned(),
                _ => format!("`{}` and `{}` are both given", forms[0].0, forms[1].0),
            };
            let all: Vec<String> = FORMS.iter().map(|(.., one)| format!("`{one}`")).collect();
            return Err(wrong(message, format!("write one of {}", all.join(", "))));
        };
        let foreign = written.iter().find(|key| **key != form && !takes.contains(key));
        if let Some(key) = foreign {
            let message = format!("`{key}` has no meaning beside `{form}`");
            return Err(wrong(message, format!("write it like `{example}`")));
        }
        let needed = |key: &str| {
            wrong(format!("the key `{key}` is missing"), format!("write it like `{example}`"))
        };
        let span = |key: &str, lasts: Option<Duration>| {
            let lasts = lasts.ok_or_else(|| needed(key))?;
            let none = || wrong(format!("`{key}` is 0, so nothing goes wrong"), "write a span");
            (!lasts.is_zero()).then_some(lasts).ok_or_else(none)
        };
        if let Some(sink) = &fault.sink {
            return Ok(Fault::Down { sink, lasts: span("down", fault.down)? });
        }
        if let Some(DiskFault::Full) = fault.disk {
            return Ok(Fault::Full { lasts: span("for", fault.lasts)? });
        }
        if let Some(jump) = fault.clock {
            return Ok(Fault::Clock(jump));
        }
        if let Some(restart) = fault.restart {
            return Ok(Fault::Restart(restart));
        }
        let node = fault.node.as_ref().ok_or_else(|| needed("node"))?;
        let (calls, panics) = match (fault.error, fault.panic) {
            (Some(calls), None) => (calls, false),
            (None, Some(calls)) => (calls, true),
            (None, None) => return Err(needed("error")),
            (Some(_), Some(_)) => {
                let help = "remove one, or write two faults";
                return Err(wrong("`error` and `panic` are both given", help));
            }
        };
        if calls == 0 {
            return Err(wrong("it breaks in 0 calls, so nothing goes wrong", "write 1 or more"));
        }
        Ok(Fault::Breaks { node, calls, panics })
    }

    /// How long it goes on.
    pub(super) fn lasts(&self) -> Duration {
        match self {
            Fault::Down { lasts, .. } | Fault::Full { lasts } => *lasts,
            Fault::Clock(_) | Fault::Breaks { .. } | Fault::Restart(_) => Duration::ZERO,
        }
    }
}
