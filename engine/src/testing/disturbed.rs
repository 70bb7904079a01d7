//! Runs a test with faults, and judges what became of it.

use std::sync::Arc;

use super::faults::Fault;
use super::judge::Judge;
use super::lives::{Counted, Play, Played};
use super::runner::{Run, TestFailure};
use super::spec::ExpectSpec;
use super::wanted::Wanted;
use crate::diagnostic::Span;
use crate::run::Port;

/// Items that a message shows.
const SHOWN_MAX: usize = 5;

impl Run<'_> {
    /// Runs the test on a whole host, with its faults.
    pub(super) fn with_faults(mut self) -> Vec<TestFailure> {
        let Some(play) = self.script() else { return self.failures };
        // What breaks here breaks because the test says so; the report says what came of it.
        let silence = tracing::subscriber::NoSubscriber::default();
        let played = tracing::subscriber::with_default(silence, || {
            let played = play.play(self.graph, &self.host)?;
            let expect = &self.case.spec.expect;
            let compares = expect.iter().any(|one| one.lost.is_some() || one.doubled.is_some());
            let reference = match compares {
                true => Some(play.undisturbed().play(self.graph, &self.host)?),
                false => None,
            };
            Ok::<_, String>((played, reference))
        });
        match played {
            Ok((played, reference)) => self.judge_played(&played, reference.as_ref()),
            Err(why) => self.fail(self.case.span, why),
        }
        self.failures
    }

    /// What is to be played.
    fn script(&mut self) -> Option<Play> {
        let (arrivals, end) = self.input()?;
        let nodes = self.named_parts(&arrivals).into_iter().flatten().collect();
        let start = self.case.spec.start;
        let mut play = Play {
            start,
            end: end.since(start),
            arrivals,
            nodes,
            places: self.expected.iter().flatten().cloned().collect(),
            ..Play::default()
        };
        for fault in &self.case.spec.faults {
            let at = fault.at;
            let address = |written: &str| {
                let (node, _) = self.find(written)?;
                Some(self.graph.dag[node].address.clone())
            };
            // What is wrong with faults was reported when the graph was checked.
            match Fault::new(fault).ok()? {
                Fault::Down { sink, lasts } => play.outages.push((address(sink)?, at, lasts)),
                Fault::Full { lasts } => play.full.push((at, lasts)),
                Fault::Clock(jump) => play.jumps.push((at, jump.micros)),
                Fault::Breaks { node, calls, panics } => {
                    play.breaks.push((address(node)?, at, calls, panics));
                }
                Fault::Restart(restart) => play.restarts.push((at, restart)),
            }
        }
        Some(play)
    }

    fn judge_played(&mut self, played: &Played, reference: Option<&Played>) {
        for why in &played.trouble {
            self.fail(self.case.span, why.clone());
        }
        let span_of = |run: &Run<'_>, address: &str| {
            run.graph.find(address).map_or(run.case.span, |node| run.graph.dag[node].span)
        };
        for address in &played.broke {
            let message = format!("`{address}` failed though no fault made it, and was made anew");
            self.fail(span_of(self, address), message);
        }
        self.judge_letters(played, &span_of);
        let case = self.case;
        let places = self.expected.clone();
        for (expect, place) in case.spec.expect.iter().zip(&places) {
            let Some((address, port)) = place else { continue };
            if let Some((message, seen)) = self.verdict(expect, address, *port, played, reference) {
                self.failures.push(TestFailure { span: expect.span, message, seen });
            }
        }
    }

    /// What a node refused fails the test, unless something is expected about it.
    fn judge_letters(&mut self, played: &Played, span_of: &dyn Fn(&Run<'_>, &str) -> Span) {
        let asked: Vec<Arc<str>> = self
            .case
            .spec
            .expect
            .iter()
            .zip(&self.expected)
            .filter(|(expect, _)| expect.dead.is_some())
            .filter_map(|(_, place)| Some(place.as_ref()?.0.clone()))
            .collect();
        let mut told: Vec<&str> = Vec::new();
        for letter in &played.letters {
            if asked.contains(&letter.address) || told.contains(&&*letter.address) {
                continue;
            }
            told.push(&letter.address);
            let (address, count) = (&letter.address, played.dead(&letter.address));
            let items = if count == 1 { "item" } else { "items" };
            let message = format!("`{address}` refused {count} {items}: {}", letter.reason);
            self.fail(span_of(self, address), message);
        }
    }

    fn verdict(
        &self,
        expect: &ExpectSpec,
        address: &Arc<str>,
        port: Port,
        played: &Played,
        reference: Option<&Played>,
    ) -> Option<(String, Vec<String>)> {
        let node = &*expect.node;
        let told = |what: &str, count: usize, wanted: &Wanted<f64>, items: Vec<String>| {
            if wanted.number(count as f64) {
                return None;
            }
            let noun = if count == 1 { "item" } else { "items" };
            Some((format!("`{node}` {what} {count} {noun}, expected {wanted}"), items))
        };
        if let Some(wanted) = &expect.dead {
            let letters = played.letters.iter().filter(|letter| letter.address == *address);
            let reasons = letters.take(SHOWN_MAX).map(|letter| letter.reason.clone());
            return told("refused", played.dead(address), wanted, reasons.collect());
        }
        let compared = || (played.counted(address), reference.map(|one| one.counted(address)));
        if let Some(wanted) = &expect.lost {
            let (is, should) = compared();
            let lost = more(&should.unwrap_or_default(), |json| is.get(json).copied().unwrap_or(0));
            return told("lost", lost.len(), wanted, shown(&lost));
        }
        if let Some(wanted) = &expect.doubled {
            let (is, should) = compared();
            let should = should.unwrap_or_default();
            // What is there only because of a fault is another item; only its second time counts.
            let doubled = more(&is, |json| should.get(json).copied().unwrap_or(1));
            return told("got a second time", doubled.len(), wanted, shown(&doubled));
        }
        let judge = Judge { start: self.case.spec.start, table: &self.host.series };
        let verdict = judge.judge(expect, port, &played.items(address, port))?;
        Some((verdict.message, verdict.seen))
    }
}

/// What is there more often than it may be, each as often as that, by time.
fn more(items: &Counted, may: impl Fn(&str) -> usize) -> Vec<String> {
    let mut all = Vec::new();
    for (json, count) in items {
        let beyond = count.saturating_sub(may(json));
        all.extend(std::iter::repeat_n(json.clone(), beyond));
    }
    // They begin with their time.
    all.sort();
    all
}

fn shown(items: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = items.iter().take(SHOWN_MAX).cloned().collect();
    if items.len() > SHOWN_MAX {
        lines.push(format!("and {} more", items.len() - SHOWN_MAX));
    }
    lines
}
