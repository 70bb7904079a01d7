use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::batch::ItemKind;
use crate::context::Context;
use crate::duration::Duration;
use crate::node::Node;
use crate::registry::{Carries, NodeConfig, Pace, Problem, Profile, Registry, Section};

/// Sounds a horn: three times a day, or
/// when it is asked to.
///
/// More about horns.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Horn {
    /// How long. Default: `5m`.
    #[serde(default)]
    length: Option<Duration>,
    /// Which tones, by name.
    tones: std::collections::BTreeMap<String, Tone>,
    /// `loud` (the default), `soft`, or `{ at: 80 }`.
    #[serde(default)]
    volume: Option<Volume>,
}

/// A tone.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tone {
    /// In hertz.
    pitches: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Volume {
    /// For ships.
    Loud,
    /// For the kitchen.
    Soft,
    /// In decibels.
    At(f64),
}

impl NodeConfig for Horn {
    const SECTION: Section = Section::Sources;
    const TYPE: &'static str = "horn";
    const EXAMPLE: &'static str =
        "pipeline: harbour\nsources:\n  fog: { horn: { tones: { low: { pitches: [70] } } } }\n";
    fn profile(&self) -> Profile {
        Profile::source(Pace::Polled(Duration::from_secs(10)))
            .output("echo", Carries::Kind(ItemKind::Windows))
    }
    fn build(&self, _: &Context) -> Result<Node, Problem> {
        Err(Problem::at("", "there is no horn"))
    }
}

fn registry() -> Registry {
    Registry::new().with::<Horn>()
}

#[test]
fn a_page_says_what_the_comments_say() {
    let page = all(&registry()).remove(0);
    assert_eq!(
        (page.slug().as_str(), page.summary()),
        ("source-horn", "Sounds a horn: three times a day, or when it is asked to.")
    );
    assert_eq!(
        page.outputs.iter().map(|port| port.name.as_str()).collect::<Vec<_>>(),
        ["main", "echo"]
    );
    assert_eq!(page.outputs[1].kinds, ["windows"]);
    let rows: Vec<_> = page
        .settings
        .iter()
        .map(|one| (one.path.as_str(), one.takes.as_str(), one.default.as_deref(), one.required))
        .collect();
    assert_eq!(
        rows,
        [
            ("length", "duration", Some("5m"), false),
            ("tones", "mapping from names to settings", None, true),
            ("tones.NAME.pitches", "list of numbers", None, true),
            ("volume", "`loud` or `soft` or settings", Some("loud"), false),
            ("volume.at", "number", None, false),
        ]
    );
    assert_eq!(page.settings[0].text, "How long.");
    assert_eq!(page.settings[3].choices[1].text, "For the kitchen.");
    assert_eq!(page.settings[4].text, "In decibels.");
}

fn found(what: &str) -> Vec<Entry> {
    explain(&registry(), what).unwrap_or_else(|error| panic!("{what}: {error}"))
}

#[test]
fn everything_that_can_be_written_can_be_explained() {
    assert!(matches!(&found("horn")[..], [Entry::Node(_)]));
    assert!(matches!(&found("source-horn")[..], [Entry::Node(_)]));
    for path in ["horn.tones.pitches", "horn.tones.low.pitches", "horn.tones.NAME.pitches"] {
        let [Entry::Setting { owner, setting, .. }] = &found(path)[..] else { panic!("{path}") };
        assert_eq!((owner.as_str(), setting.text.as_str()), ("source horn", "In hertz."));
    }
    let [Entry::Setting { below, .. }] = &found("horn.tones")[..] else { panic!("one setting") };
    assert_eq!(below.len(), 1);
    for word in crate::config::EngineWord::ALL {
        let [Entry::Topic { text, .. }] = &found(word.key())[..] else { panic!("{}", word.key()) };
        assert!(!text.is_empty());
    }
    for path in ["when.value.above", "queue.size", "tests.given.every", "config.limits.series"] {
        assert!(matches!(&found(path)[..], [Entry::Setting { .. }]), "{path}");
    }
    for key in ["pipeline", "sources", "tests", "templates", "config"] {
        assert!(matches!(&found(key)[..], [Entry::Topic { .. }]), "{key}");
    }
    for rule in ["SM0071", "sm0071", "dangling-input"] {
        let [Entry::Rule { id, page }] = &found(rule)[..] else { panic!("{rule}") };
        assert!(id == "SM0071" && page.contains("## Fix"));
    }
}

#[test]
fn a_typo_is_answered_with_the_nearest_name() {
    let answer = |what: &str| explain(&registry(), what).expect_err(what);
    assert!(answer("hron").ends_with("did you mean `horn`?"));
    assert!(answer("horn.lenght").ends_with("did you mean `horn.length`?"));
    assert!(answer("horn.pitches").ends_with("did you mean `horn.tones.NAME.pitches`?"));
    assert!(answer("evry").ends_with("did you mean `every`?"));
    assert!(answer("horn.colour").contains("it has `length`, `tones` and `volume`"));
    assert!(answer("somethingelse").contains("`smollama nodes`"));
}

#[test]
fn generated_pages_have_paths_of_their_own_and_no_open_ends() {
    let pages = pages(&registry());
    let mut paths: Vec<_> = pages.iter().map(|page| &page.path).collect();
    let count = paths.len();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), count);
    assert!(pages.iter().all(|page| page.text.ends_with('\n')));
    let page = pages.iter().find(|page| page.path == "nodes/source-horn.md").expect("it is there");
    assert!(
        page.text.contains("| `volume` | `loud` or `soft` or settings | `loud` |"),
        "{}",
        page.text
    );
}
