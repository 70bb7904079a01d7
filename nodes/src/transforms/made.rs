//! The series that a node makes from another.

use smollama_engine::context::Context;
use smollama_engine::node::{Outputs, Reject};
use smollama_engine::series::{Series, SeriesId};

/// A series that is made from another, once somebody wants it.
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
    /// Its number; what stands in the way goes to the dead letters, once.
    #[inline]
    pub(super) fn id(
        &mut self,
        context: &Context,
        from: SeriesId,
        out: &mut Outputs,
        describe: impl FnOnce(Series) -> Series,
    ) -> Option<SeriesId> {
        if let Made::New = self {
            *self = make(context, from, out, describe);
        }
        match self {
            Made::Known(id) => Some(*id),
            _ => None,
        }
    }
}

#[cold]
fn make(
    context: &Context,
    from: SeriesId,
    out: &mut Outputs,
    describe: impl FnOnce(Series) -> Series,
) -> Made {
    match context.derived_series(from, describe) {
        Ok(id) => Made::Known(id),
        Err(error) => {
            let origin = context.series(from).source.name().to_owned();
            out.reject(Reject { reason: error.to_string(), origin, bytes: Vec::new() });
            Made::Refused
        }
    }
}
