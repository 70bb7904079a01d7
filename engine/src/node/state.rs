//! What a node knows, written down.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::series::{SeriesId, SeriesMap};

/// A node's state, written down. Series are numbers of this process; the engine writes their names beside them and gives
/// the numbers of the process that reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The version of the node's own form; 0 for a node without state.
    pub version: u32,
    /// The series the body speaks of, by position.
    pub series: Vec<SeriesId>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why a state cannot be written or taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Another version than this node knows.
    #[error("the state is of version {found}; this node knows version {known}")]
    Version {
        /// The version found.
        found: u32,
        /// The version known.
        known: u32,
    },
    /// The body is not what the version says.
    #[error("the state is damaged: {0}")]
    Damaged(String),
    /// The state is whole, but means nothing under the node's settings of now. The text says why, as a fragment that fits after
    /// "state reset: ".
    #[error("{0}")]
    DoesNotFit(String),
}

impl State {
    /// Writes down a state per series and whatever else there is.
    ///
    /// # Errors
    /// The state does not serialise.
    pub fn of_series<T: Serialize, R: Serialize>(
        version: u32,
        map: &SeriesMap<T>,
        rest: &R,
    ) -> Result<State, StateError> {
        let (series, states): (Vec<SeriesId>, Vec<&T>) = map.iter().unzip();
        let body = postcard::to_stdvec(&(states, rest))
            .map_err(|error| StateError::Damaged(error.to_string()))?;
        Ok(State { version, series, body })
    }

    /// Reads what [`State::of_series`] wrote.
    ///
    /// # Errors
    /// Another version, or a damaged body.
    pub fn read_series<T: DeserializeOwned, R: DeserializeOwned>(
        &self,
        known: u32,
    ) -> Result<(SeriesMap<T>, R), StateError> {
        if self.version != known {
            return Err(StateError::Version { found: self.version, known });
        }
        let (states, rest): (Vec<T>, R) = postcard::from_bytes(&self.body)
            .map_err(|error| StateError::Damaged(error.to_string()))?;
        if states.len() != self.series.len() {
            return Err(StateError::Damaged("series and states differ in number".into()));
        }
        let mut map = SeriesMap::new();
        for (id, state) in self.series.iter().zip(states) {
            map.insert(*id, state);
        }
        Ok((map, rest))
    }
}
