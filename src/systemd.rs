//! What systemd wants to hear of a service of `Type=notify`; silent where it does not listen. See sd_notify(3).

use std::time::Duration;

use sd_notify::NotifyState;

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("systemd was not told: {error}");
    }
}

/// It runs, or runs again after a reload.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// It reads its files again.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("no monotonic clock: {error}"),
    }
}

/// It stops.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// It is alive.
pub(crate) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// Waits until it is time to say so: twice within what `WatchdogSec=` allows.
pub(crate) async fn watchdog() {
    match sd_notify::watchdog_enabled() {
        Some(within) => tokio::time::sleep((within / 2).max(Duration::from_millis(10))).await,
        None => std::future::pending().await,
    }
}
