//! Reads records and what they mean.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Log;
use super::decode::Decoder;
use super::frames::{Frames, Piece};

/// Reads a log from a number on. What is damaged or means nothing is skipped and counted.
#[derive(Debug)]
pub(super) struct Records {
    log: Arc<Log>,
    after: u64,
    frames: Frames,
    decoder: Decoder,
}

impl Records {
    /// The records behind a number.
    pub(super) fn new(log: &Arc<Log>, after: u64) -> Records {
        Records {
            log: log.clone(),
            after,
            frames: Frames::new(log, after),
            decoder: Decoder::new(log.host.clone()),
        }
    }

    /// The next record and its number; `None` at the end as it is now.
    pub(super) fn next<T>(
        &mut self,
        decode: impl Fn(&mut Decoder, &[u8]) -> Option<T>,
    ) -> io::Result<Option<(u64, T)>> {
        while let Some(piece) = self.frames.next()? {
            let (number, stands_alone, body) = match piece {
                Piece::Segment(bytes) => {
                    self.decoder.begin_segment(bytes);
                    continue;
                }
                Piece::Record { number, stands_alone, body } => (number, stands_alone, body),
            };
            if stands_alone {
                self.decoder.stand_alone();
            }
            // Also what is not wanted: what it defines may be.
            let decoded = decode(&mut self.decoder, self.frames.body(body));
            let skipped = self.decoder.take_skipped();
            match (number, decoded) {
                (Some(number), Some(decoded)) if number > self.after => {
                    self.log.skipped.fetch_add(skipped, Ordering::Relaxed);
                    return Ok(Some((number, decoded)));
                }
                (Some(_), None) => self.frames.lose(),
                _ => {}
            }
        }
        Ok(None)
    }
}
