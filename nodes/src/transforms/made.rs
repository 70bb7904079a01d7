//! The series that a node makes from others.

use smollama_engine::context::Context;
use smollama_engine::node::{Outputs, Reject};
use smollama_engine::series::{Series, SeriesId, TooManySeries};

/// A series that is made from others, once somebody wants it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Made {
    /// Not made yet.
    #[default]
    New,
    /// Made.
    Known(SeriesId),
    /// There were too many.
    Refused,
}

impl Made {
    /// Its number, where it is made already.
    #[inline]
    pub(super) fn known(self) -> Option<SeriesId> {
        match self {
            Made::Known(id) => Some(id),
            Made::New | Made::Refused => None,
        }
    }

    /// Its number, where it is made from one other; what stands in the way goes to the dead letters, once.
    #[inline]
    pub(super) fn id(
        &mut self,
        context: &Context,
        from: SeriesId,
        out: &mut Outputs,
        describe: impl FnOnce(Series) -> Series,
    ) -> Option<SeriesId> {
        self.or_make(out, || {
            let made = context.derived_series(from, describe);
            made.map_err(|error| {
                let origin = context.series(from).source.name().to_owned();
                Reject { reason: error.to_string(), origin, bytes: Vec::new() }
            })
        })
    }

    /// Its number, where `make` makes it from several.
    #[inline]
    pub(super) fn id_of_several(
        &mut self,
        context: &Context,
        out: &mut Outputs,
        make: impl FnOnce() -> Result<SeriesId, TooManySeries>,
    ) -> Option<SeriesId> {
        self.or_make(out, || {
            make().map_err(|error| {
                let origin = context.address.to_string();
                let reason = format!("a series of `{origin}` does not come out: {error}");
                Reject { reason, origin, bytes: Vec::new() }
            })
        })
    }

    /// Its number, made by `make`, which is asked once: what it refuses goes to the dead letters.
    #[inline]
    pub(super) fn or_make(
        &mut self,
        out: &mut Outputs,
        make: impl FnOnce() -> Result<SeriesId, Reject>,
    ) -> Option<SeriesId> {
        if let Made::New = self {
            self.make(out, make);
        }
        self.known()
    }

    #[cold]
    fn make(&mut self, out: &mut Outputs, make: impl FnOnce() -> Result<SeriesId, Reject>) {
        *self = match make() {
            Ok(id) => Made::Known(id),
            Err(reject) => {
                out.reject(reject);
                Made::Refused
            }
        };
    }
}
