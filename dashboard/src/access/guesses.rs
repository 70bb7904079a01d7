//! How often an address may be wrong about a token.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many wrong tokens an address may send within [`SPAN`] before no token of its is looked at for the rest of it.
pub(super) const WRONG_MAX: u32 = 10;
/// See [`WRONG_MAX`].
pub(super) const SPAN: Duration = Duration::from_secs(60);
/// How many addresses are remembered.
const ADDRESSES_MAX: usize = 256;

/// Who was wrong lately, and how often.
#[derive(Debug, Default)]
pub(super) struct Guesses(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl Guesses {
    /// For how long nothing of an address is looked at; `None` when it may try.
    pub(super) fn barred_for(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let guesses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, wrong) = guesses.get(&neighbourhood(address))?;
        let left = SPAN.checked_sub(now.saturating_duration_since(*since))?;
        (*wrong >= WRONG_MAX).then_some(left)
    }

    /// Notes that an address was wrong.
    pub(super) fn wrong(&self, address: IpAddr, now: Instant) {
        let mut guesses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = neighbourhood(address);
        let fresh = |since: &Instant| now.saturating_duration_since(*since) < SPAN;
        if guesses.len() >= ADDRESSES_MAX && !guesses.contains_key(&address) {
            guesses.retain(|_, (since, _)| fresh(since));
            let oldest = guesses.iter().min_by_key(|(_, (since, _))| *since).map(|(a, _)| *a);
            if guesses.len() >= ADDRESSES_MAX
                && let Some(oldest) = oldest
            {
                guesses.remove(&oldest);
            }
        }
        let (since, wrong) = guesses.entry(address).or_insert((now, 0));
        if !fresh(since) {
            (*since, *wrong) = (now, 0);
        }
        *wrong += 1;
    }
}

/// An address of IPv4, or the network of one of IPv6, since whoever has one of these has all of them.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_that_is_wrong_too_often_waits_and_others_do_not() {
        let guesses = Guesses::default();
        let now = Instant::now();
        for _ in 0..WRONG_MAX {
            assert_eq!(guesses.barred_for(ip("2001:db8::1"), now), None);
            guesses.wrong(ip("2001:db8::1"), now);
        }
        assert_eq!(guesses.barred_for(ip("2001:db8::2"), now), Some(SPAN), "the same network");
        assert_eq!(guesses.barred_for(ip("2001:db8:0:1::1"), now), None);
        assert_eq!(guesses.barred_for(ip("10.0.0.1"), now), None);
        let later = now + SPAN + Duration::from_millis(1);
        assert_eq!(guesses.barred_for(ip("2001:db8::1"), later), None);
        guesses.wrong(ip("2001:db8::1"), later);
        assert_eq!(guesses.barred_for(ip("2001:db8::1"), later), None, "a new minute");
    }

    #[test]
    fn no_more_addresses_are_remembered_than_there_is_room_for() {
        let guesses = Guesses::default();
        let now = Instant::now();
        for number in 0..ADDRESSES_MAX as u32 + 50 {
            let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number);
            guesses.wrong(IpAddr::V4(address), now + Duration::from_millis(number.into()));
        }
        assert_eq!(guesses.0.lock().unwrap().len(), ADDRESSES_MAX);
    }
}
