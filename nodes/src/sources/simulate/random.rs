//! Chance that depends on nothing but the seed, the name of the series and the number of the sample: the same at any speed, on
//! any machine, and in every version. Random-number crates give streams to be read in order and may change them from one version to
//! the next, so the numbers are made here, from one published mixing function.

/// What a number is for; numbers for different ends are independent.
pub(super) const WALK: u64 = 1;
pub(super) const NOISE: u64 = 2;
pub(super) const SPIKES: u64 = 3;
pub(super) const DROPOUTS: u64 = 4;
pub(super) const STUCK: u64 = 5;

/// The source of chance of one series.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64, name: &str) -> Dice {
        // FNV-1a (Fowler, Noll, Vo) spreads the name over 64 bits.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Dice(mix(seed ^ mix(hash)))
    }

    /// Evenly from 0 (included) to 1 (not included).
    pub(super) fn chance(&self, sample: u64, purpose: u64) -> f64 {
        (self.bits(sample, purpose, 0) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal, mean 0, deviation 1: the sum of twelve even numbers less six (Irwin and Hall, 1927). Only sums, so that
    /// every machine gets the same bits; never beyond ±6.
    pub(super) fn normal(&self, sample: u64, purpose: u64) -> f64 {
        let halves = (0..6).flat_map(|part| {
            let bits = self.bits(sample, purpose, part);
            [bits >> 32, bits & 0xffff_ffff]
        });
        halves.map(|half| half as f64 / (1u64 << 32) as f64).sum::<f64>() - 6.0
    }

    fn bits(&self, sample: u64, purpose: u64, part: u64) -> u64 {
        mix(mix(self.0 ^ (purpose << 8 | part)) ^ sample)
    }
}

/// SplitMix64: G. L. Steele, D. Lea, C. H. Flood, "Fast Splittable Pseudorandom Number Generators" (2014), with
/// D. Stafford's constants.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mixing_function_is_the_published_one() {
        // The first outputs of SplitMix64 from seed 0.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn normal_numbers_have_mean_0_and_deviation_1() {
        let dice = Dice::new(7, "x");
        let numbers: Vec<f64> = (0..20_000).map(|sample| dice.normal(sample, NOISE)).collect();
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        let variance =
            numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / numbers.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        let low = (0..20_000).filter(|&sample| dice.chance(sample, SPIKES) < 0.25).count();
        assert!((4_700..5_300).contains(&low), "{low}");
    }
}
