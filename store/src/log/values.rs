//! Values and doubles as bytes: exact to the last bit, short where that costs nothing.

use std::sync::Arc;

use smollama_engine::reading::Value;

use super::wire::{self, Wire};

/// What a value is, in four bits.
pub(super) type Kind = u8;

const RAW: Kind = 0;
/// A whole number to be divided by ten to the power of 0 to 6; the kind less this is the power.
const DECIMAL: Kind = 1;
const DECIMAL_LAST: Kind = DECIMAL + 6;
const INT: Kind = 8;
const OFF: Kind = 9;
const ON: Kind = 10;
const TEXT: Kind = 11;
const JSON: Kind = 12;
/// A double that is a single.
const SINGLE: Kind = 13;

const POWERS: [f64; 7] = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];
/// Beyond this a decimal is no shorter than the eight bytes.
const DECIMAL_MAX: i64 = 1 << 40;

/// How a double is best written, and what then follows its kind.
#[derive(Debug, Clone, Copy)]
enum Double {
    Decimal(usize, i64),
    Single(f32),
    Raw,
}

/// Whether `value` is what dividing a whole number by a power of ten gives.
#[inline]
fn decimal(value: f64, power: usize) -> Option<i64> {
    let scaled = value * POWERS[power];
    let whole = scaled as i64;
    // Most that are no decimals fail here, without a division.
    if whole as f64 != scaled || whole.abs() >= DECIMAL_MAX {
        return None;
    }
    let back = whole as f64 / POWERS[power];
    (back.to_bits() == value.to_bits()).then_some(whole)
}

/// Writes doubles. Values of a stream mostly have the same number of decimals, so the last that fitted is tried first.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Doubles {
    power: usize,
}

impl Doubles {
    #[inline]
    fn choose(&mut self, value: f64) -> Double {
        if let Some(whole) = decimal(value, self.power) {
            return Double::Decimal(self.power, whole);
        }
        for power in 0..POWERS.len() {
            if let Some(whole) = decimal(value, power) {
                self.power = power;
                return Double::Decimal(power, whole);
            }
        }
        let single = value as f32;
        if f64::from(single).to_bits() == value.to_bits() {
            return Double::Single(single);
        }
        Double::Raw
    }

    /// Appends what follows the kind, and gives the kind.
    #[inline]
    pub(super) fn put(&mut self, out: &mut Vec<u8>, value: f64) -> Kind {
        match self.choose(value) {
            Double::Decimal(power, whole) => {
                wire::put_signed(out, whole);
                DECIMAL + power as Kind
            }
            Double::Single(single) => {
                out.extend_from_slice(&single.to_le_bytes());
                SINGLE
            }
            Double::Raw => {
                out.extend_from_slice(&value.to_le_bytes());
                RAW
            }
        }
    }

    /// Appends a double with its kind before it.
    pub(super) fn put_whole(&mut self, out: &mut Vec<u8>, value: f64) {
        let at = out.len();
        out.push(0);
        out[at] = self.put(out, value);
    }

    /// Appends what follows the kind of a value, and gives the kind.
    #[inline]
    pub(super) fn put_value(&mut self, out: &mut Vec<u8>, value: &Value) -> Kind {
        match value {
            Value::Float(value) => self.put(out, *value),
            Value::Int(value) => {
                wire::put_signed(out, *value);
                INT
            }
            Value::Bool(false) => OFF,
            Value::Bool(true) => ON,
            Value::Text(text) => {
                wire::put_bytes(out, text.as_bytes());
                TEXT
            }
            Value::Json(json) => {
                wire::put_bytes(out, json.to_string().as_bytes());
                JSON
            }
        }
    }
}

/// Reads a double of a kind.
#[inline]
pub(super) fn get(wire: &mut Wire<'_>, kind: Kind) -> Option<f64> {
    Some(match kind {
        RAW => f64::from_le_bytes(wire.array()?),
        SINGLE => f64::from(f32::from_le_bytes(wire.array()?)),
        DECIMAL..=DECIMAL_LAST => wire.signed()? as f64 / POWERS[usize::from(kind - DECIMAL)],
        _ => return None,
    })
}

/// Reads a double with its kind before it.
pub(super) fn get_whole(wire: &mut Wire<'_>) -> Option<f64> {
    let kind = wire.byte()?;
    get(wire, kind)
}

/// Reads a value of a kind.
#[inline]
pub(super) fn get_value(wire: &mut Wire<'_>, kind: Kind) -> Option<Value> {
    Some(match kind {
        INT => Value::Int(wire.signed()?),
        OFF => Value::Bool(false),
        ON => Value::Bool(true),
        TEXT => Value::text(wire.text()?),
        JSON => Value::Json(Arc::new(serde_json::from_slice(wire.bytes()?).ok()?)),
        kind => Value::Float(get(wire, kind)?),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(values: &[f64]) -> Vec<u8> {
        let (mut out, mut doubles) = (Vec::new(), Doubles::default());
        values.iter().for_each(|value| doubles.put_whole(&mut out, *value));
        out
    }

    proptest! {
        #[test]
        fn doubles_come_back_bit_for_bit(values in prop::collection::vec(prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            any::<f32>().prop_map(f64::from),
            (any::<i64>(), 0u32..60, 0..7usize).prop_map(|(m, shift, p)| (m >> shift) as f64 / POWERS[p]),
        ], 1..20)) {
            let out = written(&values);
            let mut wire = Wire(&out);
            for value in &values {
                prop_assert_eq!(get_whole(&mut wire).map(f64::to_bits), Some(value.to_bits()));
            }
            prop_assert_eq!(wire.len(), 0);
        }
    }

    #[test]
    fn what_sensors_say_is_short() {
        for (value, bytes) in
            [(21.5, 3), (-3.25, 4), (0.0, 2), (-0.0, 5), (1013.25, 4), (0.1 + 0.2, 9)]
        {
            let len = written(&[value]).len();
            assert!(len <= bytes, "{value}: {len}");
        }
    }
}
