//! Everything that can be named in YAML: a folder for each node, by kind, and [`registry`], the table of contents.

mod fnv;
pub mod io;
pub mod sinks;
pub mod sources;
pub mod transforms;

use smollama_engine::registry::Registry;

/// All nodes there are, one line each.
#[must_use]
pub fn registry() -> Registry {
    Registry::new()
        .with::<sources::exec::ExecConfig>()
        .with::<sources::file_watch::FileWatchConfig>()
        .with::<sources::http::HttpConfig>()
        .with::<sources::mqtt::MqttConfig>()
        .with::<sources::replay::ReplayConfig>()
        .with::<sources::simulate::SimulateConfig>()
        .with::<sources::socket::SocketConfig>()
        .with::<sources::system::SystemConfig>()
        .with::<sources::webhook::WebhookConfig>()
        .with::<transforms::adaptive_rate::AdaptiveRateConfig>()
        .with::<transforms::alarm::AlarmConfig>()
        .with::<transforms::combine::CombineConfig>()
        .with::<transforms::dedup::DedupConfig>()
        .with::<transforms::derive::DeriveConfig>()
        .with::<transforms::fill::FillConfig>()
        .with::<transforms::filter::FilterConfig>()
        .with::<transforms::gate::GateConfig>()
        .with::<transforms::join::JoinConfig>()
        .with::<transforms::latest::LatestConfig>()
        .with::<transforms::map::MapConfig>()
        .with::<transforms::merge::MergeConfig>()
        .with::<transforms::novelty::NoveltyConfig>()
        .with::<transforms::rate_limit::RateLimitConfig>()
        .with::<transforms::route::RouteConfig>()
        .with::<transforms::sample::SampleConfig>()
        .with::<transforms::volatility::VolatilityConfig>()
        .with::<transforms::watchdog::WatchdogConfig>()
        .with::<transforms::window::WindowConfig>()
        .with::<sinks::console::ConsoleConfig>()
        .with::<sinks::discard::DiscardConfig>()
        .with::<sinks::exec::ExecConfig>()
        .with::<sinks::file::FileConfig>()
        .with::<sinks::http::HttpConfig>()
        .with::<sinks::mqtt::MqttConfig>()
        .with::<sinks::parquet::ParquetConfig>()
        .with::<sinks::sqlite::SqliteConfig>()
}
