//! What is done with a value.

use smollama_engine::reading::Value;
use smollama_engine::unit::Conversion;

/// What is done with a value of one series, in this order: times, plus, converted, clamped, rounded.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    /// Nothing is done, so a text is as good as a number.
    pub(super) idle: bool,
    pub(super) scale: f64,
    pub(super) offset: f64,
    pub(super) conversion: Option<Conversion>,
    pub(super) clamp: [f64; 2],
    /// Ten to the power of the decimals that are left.
    pub(super) round: Option<f64>,
    /// The same for whole numbers, where it leaves them whole.
    pub(super) whole: Option<Whole>,
}

/// What is done with a whole number that stays one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    pub(super) scale: i64,
    pub(super) offset: i64,
    pub(super) clamp: [Option<i64>; 2],
}

/// A whole number that is one as a double too, and not at the edge of what is one.
pub(super) fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() <= 2f64.powi(53)).then_some(number as i64)
}

impl Whole {
    fn apply(self, value: i64) -> Option<i64> {
        // No product of two of 64 bits is beyond 128.
        let value = i128::from(value) * i128::from(self.scale) + i128::from(self.offset);
        let [least, most] = self.clamp.map(|end| end.map(i128::from));
        let value = least.map_or(value, |least| value.max(least));
        i64::try_from(most.map_or(value, |most| value.min(most))).ok()
    }
}

impl Numbers {
    /// What becomes of a value; `None` for a text where it is calculated with, and for what no number can hold.
    #[inline]
    pub(super) fn apply(&self, value: &Value) -> Option<Value> {
        match value {
            Value::Float(value) => self.number(*value),
            other => self.other(other),
        }
    }

    #[inline]
    fn number(&self, value: f64) -> Option<Value> {
        if self.idle {
            return Some(Value::Float(value));
        }
        let mut value = value * self.scale + self.offset;
        if let Some(conversion) = &self.conversion {
            value = conversion.apply(value);
        }
        if !value.is_finite() {
            return None;
        }
        value = value.max(self.clamp[0]).min(self.clamp[1]);
        if let Some(power) = self.round {
            value = rounded(value, power);
        }
        Some(Value::Float(value))
    }

    #[inline(never)]
    fn other(&self, value: &Value) -> Option<Value> {
        if self.idle {
            return Some(value.clone());
        }
        if let (Value::Int(value), Some(whole)) = (value, &self.whole) {
            return whole.apply(*value).map(Value::Int);
        }
        self.number(value.as_f64()?)
    }
}

/// To the nearest number with so many decimals; what is half-way away from zero.
fn rounded(value: f64, power: f64) -> f64 {
    let scaled = value * power;
    // From there on a double has no decimals to lose.
    if scaled.abs() < 2f64.powi(52) { scaled.round() / power } else { value }
}
