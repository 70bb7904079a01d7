//! What a node is given when it is made: who it is, and the host it lives on.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use crate::config::mqtt::MqttConfig;
use crate::disk::{Disk, RealDisk};
use crate::duration::Duration;
use crate::labels::LabelTable;
use crate::lease::Leases;
use crate::log_limit::LogLimit;
use crate::running::Running;
use crate::series::{Series, SeriesId, SeriesTable, SourceKey, TooManySeries};

/// What belongs to the host and is shared by all nodes.
#[derive(Debug)]
pub struct Host {
    /// Its name, which may change.
    pub name: String,
    /// Its id, which may not.
    pub id: Uuid,
    /// Where everything it keeps lies.
    pub data_dir: PathBuf,
    /// The zone in which users think: time of day and calendar.
    pub timezone: jiff::tz::TimeZone,
    /// The way to files that are kept.
    pub disk: Arc<dyn Disk>,
    /// Where a node that talks to the person in front of the machine writes.
    pub console: Arc<dyn Console>,
    /// All series.
    pub series: SeriesTable,
    /// Old ids of sources, as written, and what they are called now (`aliases` in config.yaml).
    pub aliases: BTreeMap<String, String>,
    /// The brokers it speaks with (`mqtt` in config.yaml).
    pub mqtt: MqttConfig,
    /// What only one can hold at a time.
    pub leases: Leases,
    /// Which nodes run, for whoever takes back what others left.
    pub running: Running,
}

impl Host {
    /// A host for tests: UTC, the real disk, a console that remembers nothing.
    #[must_use]
    pub fn for_tests(data_dir: &Path) -> Host {
        Host {
            name: "test".into(),
            id: Uuid::nil(),
            data_dir: data_dir.to_owned(),
            timezone: jiff::tz::TimeZone::UTC,
            disk: RealDisk::shared(),
            console: Arc::new(Discarded),
            series: SeriesTable::default(),
            aliases: BTreeMap::new(),
            mqtt: MqttConfig::default(),
            leases: Leases::default(),
            running: Running::default(),
        }
    }
}

/// A place for lines that a person reads.
pub trait Console: fmt::Debug + Send + Sync {
    /// Writes whole lines at once. A closed pipe is an error of kind `BrokenPipe`.
    ///
    /// # Errors
    /// Whatever the other side says.
    fn write(&self, lines: &[u8]) -> io::Result<()>;

    /// Whether colour is welcome.
    fn colour(&self) -> bool {
        false
    }
}

/// Nobody reads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discarded;

impl Console for Discarded {
    fn write(&self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// Lines kept in memory, for tests.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Vec<u8>>);

impl Kept {
    /// What was written so far.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Console for Kept {
    fn write(&self, lines: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(lines)
    }
}

/// What a node is given when it is made.
#[derive(Debug, Clone)]
pub struct Context {
    /// `pipeline/node`.
    pub address: Arc<str>,
    /// The type part of the series this node makes: `as`, or the node type for sources and `pipeline.node` for transforms.
    pub type_part: Arc<str>,
    /// `unit` of the pipeline file: overrides what the source says.
    pub unit: Option<Arc<str>>,
    /// `labels` of the pipeline file: laid upon each series of the source.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// `labels_from` of the pipeline file.
    pub label_table: Option<Arc<LabelTable>>,
    /// `every` of the pipeline file.
    pub every: Option<Duration>,
    /// The folder of the pipeline file.
    pub folder: PathBuf,
    /// The host.
    pub host: Arc<Host>,
    /// How many series a source node may give readings to.
    series_max: usize,
    /// Which lines on series that another node gives readings to as well the log gets.
    collided: LogLimit,
}

/// How many series one source node may make.
pub const SERIES_PER_NODE_MAX: usize = 10_000;

impl Context {
    /// A node of a host, with no engine words set.
    #[must_use]
    pub fn new(host: Arc<Host>, address: &str, type_part: &str) -> Context {
        Context {
            address: address.into(),
            type_part: type_part.into(),
            unit: None,
            labels: BTreeMap::new(),
            label_table: None,
            every: None,
            folder: PathBuf::from("."),
            host,
            series_max: SERIES_PER_NODE_MAX,
            collided: LogLimit::default(),
        }
    }

    /// The number of a series of this source node. Not for the hot path: keep the number. `series.source` is made from the type
    /// part and `id`; unit and labels of the pipeline file are laid upon it.
    ///
    /// # Errors
    /// The node or the host holds too many series.
    pub fn source_series(
        &self,
        id: &str,
        describe: impl FnOnce(Series) -> Series,
    ) -> Result<SeriesId, TooManySeries> {
        self.named_series(SourceKey::local(&self.type_part, id), describe)
    }

    /// The number of a series of this source node that names its whole source itself (a recording of other sources, `type:id`).
    ///
    /// # Errors
    /// The node or the host holds too many series.
    pub fn recorded_series(
        &self,
        source: SourceKey,
        describe: impl FnOnce(Series) -> Series,
    ) -> Result<SeriesId, TooManySeries> {
        self.named_series(source, describe)
    }

    fn named_series(
        &self,
        source: SourceKey,
        describe: impl FnOnce(Series) -> Series,
    ) -> Result<SeriesId, TooManySeries> {
        let source = match self.host.aliases.get(source.name()) {
            Some(now) => SourceKey::parse(now),
            None => source,
        };
        let mut series = describe(Series::new(source));
        if let Some(unit) = &self.unit {
            series = series.with_unit(unit);
        }
        if let Some(table) = &self.label_table {
            table.apply(&mut series);
        }
        for (name, value) in &self.labels {
            series.labels.insert(name.clone(), value.clone());
        }
        let series_table = &self.host.series;
        let (id, other) = series_table.intern_given(&series, &self.address, self.series_max)?;
        if let Some(other) = other
            && self.collided.admits(Some(&self.address), &other)
        {
            let source = series.source.name();
            tracing::error!(node = %self.address, "`{source}` also comes from `{other}`; tell the two apart with `as`");
        }
        Ok(id)
    }

    /// The number that a series of this source node has now, which may have given its slot back since it got the one at hand.
    ///
    /// # Errors
    /// It has, and the node or the host holds too many series.
    pub fn renewed_series(&self, id: SeriesId) -> Result<SeriesId, TooManySeries> {
        let (table, series) = (&self.host.series, self.host.series.get(id));
        Ok(table.intern_given(&series, &self.address, self.series_max)?.0)
    }

    /// The number of a new quantity made from one series: its type part is this node's, its id the input's `type/id`, its labels the
    /// input's; `describe` sets unit and further labels (the unit is the input's unless it is changed).
    ///
    /// # Errors
    /// There are no more numbers for series.
    pub fn derived_series(
        &self,
        input: SeriesId,
        describe: impl FnOnce(Series) -> Series,
    ) -> Result<SeriesId, TooManySeries> {
        self.host.series.intern_derived(&self.derived(input, describe))
    }

    /// The number that [`Context::derived_series`] gave, in this process or for a state that was read, if it did.
    #[must_use]
    pub fn known_derived_series(
        &self,
        input: SeriesId,
        describe: impl FnOnce(Series) -> Series,
    ) -> Option<SeriesId> {
        self.host.series.find(&self.derived(input, describe))
    }

    fn derived(&self, input: SeriesId, describe: impl FnOnce(Series) -> Series) -> Series {
        let input = self.host.series.get(input);
        let id = format!("{}/{}", input.source.type_part(), input.source.id());
        let mut series = Series::new(SourceKey::local(&self.type_part, &id));
        series.unit.clone_from(&input.unit);
        series.labels.clone_from(&input.labels);
        describe(series)
    }

    /// Whether `as` says another type part for what this transform makes than the usual one.
    #[must_use]
    pub fn is_named(&self) -> bool {
        *self.type_part != *self.address.replacen('/', ".", 1)
    }

    /// What a series is.
    #[must_use]
    pub fn series(&self, id: SeriesId) -> Arc<Series> {
        self.host.series.get(id)
    }

    /// A path that this node reads from: relative to the pipeline file.
    #[must_use]
    pub fn input_path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// A path that this node writes to: relative to the data directory.
    #[must_use]
    pub fn output_path(&self, path: &Path) -> PathBuf {
        self.host.data_dir.join(path)
    }
}
