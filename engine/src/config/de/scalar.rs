//! Scalars, typed by what their field expects.

use serde::de::Visitor;

use super::{error::Error, value::At};
use crate::{
    config::tree::{Scalar, Style},
    diagnostic::{quoted, rules},
};

impl At<'_> {
    /// Text; a number or bool without quotes is taken as it is written.
    pub(super) fn text(&self, expected: &str) -> Result<&str, Error> {
        let scalar = self.scalar(expected)?;
        // A variable that is set to nothing is text of no length, not an absent value.
        if scalar.is_null() && scalar.written().is_none() {
            return Err(self.wrong_type(expected));
        }
        Ok(scalar.text())
    }

    pub(super) fn bool(&self) -> Result<bool, Error> {
        let expected = "`true` or `false`";
        let scalar = self.scalar(expected)?;
        typed(scalar, Scalar::as_bool).ok_or_else(|| {
            let error = self.wrong_type(expected);
            match scalar.text().to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" => error.with_help("write `true`"),
                "no" | "off" | "n" => error.with_help("write `false`"),
                _ => without_quotes(scalar, error, |plain| plain.as_bool().is_some()),
            }
        })
    }

    pub(super) fn integer<N>(&self, min: N, max: N) -> Result<N, Error>
    where
        N: TryFrom<i128> + std::fmt::Display,
    {
        let expected = "a whole number";
        let scalar = self.scalar(expected)?;
        let Some(number) = typed(scalar, Scalar::as_integer) else {
            let error = self.wrong_type(expected);
            return Err(without_quotes(scalar, error, |plain| plain.as_integer().is_some()));
        };
        N::try_from(number).map_err(|_| {
            let found = quoted(scalar.text());
            let message =
                format!("{} takes a whole number from {min} to {max}, found {found}", self.name);
            Error::raised(&rules::BAD_VALUE, message)
        })
    }

    pub(super) fn float(&self) -> Result<f64, Error> {
        let expected = "a number";
        let scalar = self.scalar(expected)?;
        match typed(scalar, Scalar::as_float) {
            Some(number) if number.is_finite() => Ok(number),
            Some(_) => {
                let found = quoted(scalar.text());
                let message = format!("{} takes a finite number, found {found}", self.name);
                Err(Error::raised(&rules::BAD_VALUE, message))
            }
            None => {
                let error = self.wrong_type(expected);
                Err(match scalar.text().replacen(',', ".", 1) {
                    dotted if dotted != scalar.text() && dotted.parse::<f64>().is_ok() => {
                        error.with_help(format!("the decimal point is a dot: `{dotted}`"))
                    }
                    _ => without_quotes(scalar, error, |plain| plain.as_float().is_some()),
                })
            }
        }
    }

    /// A scalar whose field takes several types: by the core schema.
    pub(super) fn any_scalar<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let scalar = self.scalar("a value")?;
        if scalar.is_null() {
            visitor.visit_unit()
        } else if let Some(value) = scalar.as_bool() {
            visitor.visit_bool(value)
        } else if let Some(value) = scalar.as_integer() {
            match (u64::try_from(value), i64::try_from(value)) {
                (Ok(value), _) => visitor.visit_u64(value),
                (_, Ok(value)) => visitor.visit_i64(value),
                _ => visitor.visit_f64(self.float()?),
            }
        } else if scalar.as_float().is_some() {
            visitor.visit_f64(self.float()?)
        } else {
            visitor.visit_str(scalar.text())
        }
    }
}

/// The scalar as its field wants it.
fn typed<T>(scalar: &Scalar, read: impl Fn(&Scalar) -> Option<T>) -> Option<T> {
    read(scalar).or_else(|| read(&scalar.unquoted()?))
}

/// Says to take the quotes away where that would mend it.
fn without_quotes(scalar: &Scalar, error: Error, fits: impl Fn(&Scalar) -> bool) -> Error {
    if scalar.style() == Style::Text && fits(&Scalar::new(scalar.text(), Style::Plain)) {
        error.with_help("text in quotes is always text; take the quotes away")
    } else {
        error
    }
}
