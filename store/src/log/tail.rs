//! The end of the log that is in memory: what is appended goes here, numbered and encoded, and waits to be written.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use smollama_engine::context::Host;
use smollama_engine::node::Receipt;
use uuid::Uuid;

use super::encode::Encoder;
use super::frame::{self, HEADER_MAX, Header};
use super::settings::LogSettings;
use super::wire;

/// After so many bytes a record leans on no other: what damage costs at most, beside what is damaged.
const ALONE_EVERY: usize = 1 << 10;
/// A segment shorter than this is not given up to free it.
const TINY: u64 = 4 << 10;
/// A buffer larger than this is not kept for the next.
const SPARE_MAX: usize = 256 << 10;
/// What is kept of it while nothing comes.
const SPARE_REST: usize = 4 << 10;
/// When so much has gathered, it is written.
const BULK: usize = 128 << 10;

/// Bytes of one segment that wait to be written, in one piece.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) segment: u64,
    /// Where in the segment they begin.
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

/// A chunk on its way to the disk, and who is to be told.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) chunk: Arc<Chunk>,
    pub(super) receipts: Vec<Receipt>,
}

/// A segment as far as it is known without reading it.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) header: Header,
    /// Its bytes, those included that are not written yet.
    pub(super) len: u64,
    pub(super) written: u64,
    /// Something in it could not be read.
    pub(super) damaged: bool,
    /// Its header survives a power cut.
    pub(super) durable: bool,
    /// How often its file was replaced by another of the same name.
    pub(super) replaced: u32,
}

/// There is no room for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRoom;

/// What whoever writes is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// Writing, or about to.
    Awake,
    /// Waiting for a little more to come, unless something is urgent.
    Gathering,
    /// Waiting for anything.
    Asleep,
}

/// See the module. One mutex guards it; nothing in here waits for a disk.
#[derive(Debug)]
pub(super) struct Tail {
    cap: u64,
    segment_len: u64,
    boot: Option<Uuid>,
    encoder: Encoder,
    /// The number given last, and that of the last record.
    pub(super) last: u64,
    last_record: u64,
    pub(super) segments: VecDeque<Segment>,
    /// Whether the last segment may grow; if not, the next record begins a new one.
    growing: bool,
    since_alone: usize,
    /// What the owner wants to find in the next header.
    pub(super) note: Vec<u8>,
    /// All up to this number is done with.
    freed: u64,
    /// The chunk that grows, those before it, and those being written.
    open: Option<Chunk>,
    ready: VecDeque<(Chunk, Vec<Receipt>)>,
    flying: Vec<Arc<Chunk>>,
    receipts: Vec<Receipt>,
    spare: Vec<u8>,
    /// Bytes in chunks.
    pub(super) waiting: usize,
    /// Bytes on disk and on their way there, in files put aside and not yet removed also.
    pub(super) used: u64,
    pub(super) writer: Writer,
    /// The writer is to look after something even if nothing waits to be written.
    pub(super) called: bool,
    pub(super) closed: bool,
    /// A record found no room since this was last looked at.
    pub(super) refused: bool,
    /// Files put aside because they were damaged, the oldest first.
    pub(super) aside: VecDeque<(PathBuf, u64)>,
}

impl Tail {
    pub(super) fn new(host: &Arc<Host>, settings: &LogSettings) -> Tail {
        Tail {
            cap: settings.cap(),
            segment_len: settings.segment(),
            boot: settings.boot,
            encoder: Encoder::new(host.clone()),
            last: 0,
            last_record: 0,
            segments: VecDeque::new(),
            growing: false,
            since_alone: 0,
            note: Vec::new(),
            freed: 0,
            open: None,
            ready: VecDeque::new(),
            flying: Vec::new(),
            receipts: Vec::new(),
            spare: Vec::new(),
            waiting: 0,
            used: 0,
            writer: Writer::Awake,
            called: false,
            closed: false,
            refused: false,
            aside: VecDeque::new(),
        }
    }

    /// Goes on behind what was found on the disk.
    pub(super) fn resume(&mut self, last_record: u64, last: u64) {
        self.last_record = last_record;
        self.last = last.max(last_record);
    }

    /// Whether the writer has no reason to wait for more: somebody waits to be told, or much has gathered.
    pub(super) fn urgent(&self) -> bool {
        self.called
            || self.closed
            || self.waiting >= BULK
            || !self.receipts.is_empty()
            || self.ready.iter().any(|(_, receipts)| !receipts.is_empty())
    }

    /// Whether the writer is to be woken now. Says so once.
    pub(super) fn wake(&mut self) -> bool {
        let wake = match self.writer {
            Writer::Awake => false,
            Writer::Gathering => self.urgent(),
            Writer::Asleep => self.called || self.closed || self.has_chunk(),
        };
        if wake {
            self.writer = Writer::Awake;
        }
        wake
    }

    /// How many chunks wait to be taken.
    pub(super) fn chunks(&self) -> usize {
        self.ready.len() + usize::from(self.open.is_some())
    }

    /// Whether something waits to be taken.
    pub(super) fn has_chunk(&self) -> bool {
        self.chunks() > 0
    }

    /// Appends a record under the next number.
    #[inline]
    pub(super) fn append(
        &mut self,
        receipt: Option<Receipt>,
        encode: impl Fn(&mut Encoder, &mut Vec<u8>),
    ) -> Result<u64, (NoRoom, Option<Receipt>)> {
        let number = self.last + 1;
        if let Err(no_room) = self.place(number, encode) {
            self.refused = true;
            return Err((no_room, receipt));
        }
        self.last = number;
        self.last_record = number;
        self.receipts.extend(receipt);
        Ok(number)
    }

    fn place(
        &mut self,
        number: u64,
        encode: impl Fn(&mut Encoder, &mut Vec<u8>),
    ) -> Result<(), NoRoom> {
        if !self.growing {
            self.begin_segment(number)?;
        }
        if self.try_place(number, &encode)? {
            return Ok(());
        }
        self.begin_segment(number)?;
        // A segment without a record takes one of any length.
        self.try_place(number, &encode).map(drop)
    }

    /// Encodes a record into the last segment; `false`: it belongs into a new one.
    #[inline]
    fn try_place(
        &mut self,
        number: u64,
        encode: impl Fn(&mut Encoder, &mut Vec<u8>),
    ) -> Result<bool, NoRoom> {
        let Some(segment) = self.segments.back_mut() else { return Ok(false) };
        let first = segment.header.first;
        let has_records = self.last_record >= first;
        let chunk = self.open.get_or_insert_with(|| Chunk {
            segment: first,
            offset: segment.len,
            bytes: std::mem::take(&mut self.spare),
        });
        let (mark, at) = (self.encoder.mark(), chunk.bytes.len());
        let alone = !has_records || self.since_alone >= ALONE_EVERY;
        let start = frame::begin(&mut chunk.bytes, alone);
        if alone {
            self.encoder.stand_alone();
        }
        wire::put(&mut chunk.bytes, number - if alone { first } else { self.last_record });
        encode(&mut self.encoder, &mut chunk.bytes);
        frame::finish(&mut chunk.bytes, start, first, alone);
        let added = chunk.bytes.len() - at;
        let fits_segment = !has_records || segment.len + added as u64 <= self.segment_len;
        // There is always room for a header, so that a segment that is done with can be given up.
        let fits = self.used + (added + HEADER_MAX) as u64 <= self.cap;
        if !fits_segment || !fits {
            chunk.bytes.truncate(at);
            self.encoder.go_back(mark);
            self.drop_empty_chunk();
            return if fits_segment { Err(NoRoom) } else { Ok(false) };
        }
        segment.len += added as u64;
        self.used += added as u64;
        self.waiting += added;
        self.since_alone = if alone { added } else { self.since_alone + added };
        Ok(true)
    }

    fn drop_empty_chunk(&mut self) {
        if let Some(chunk) = self.open.take_if(|chunk| chunk.bytes.is_empty()) {
            self.spare = chunk.bytes;
        }
    }

    /// Begins a segment whose first record has this number or a larger one.
    pub(super) fn begin_segment(&mut self, first: u64) -> Result<(), NoRoom> {
        let header =
            Header { first, before: self.last_record, boot: self.boot, note: self.note.clone() };
        let mut bytes = std::mem::take(&mut self.spare);
        header.write(&mut bytes);
        let len = bytes.len() as u64;
        if self.used + len > self.cap {
            bytes.clear();
            self.spare = bytes;
            return Err(NoRoom);
        }
        self.close_chunk();
        self.used += len;
        self.waiting += bytes.len();
        self.open = Some(Chunk { segment: first, offset: 0, bytes });
        self.segments.push_back(Segment {
            header,
            len,
            written: 0,
            damaged: false,
            durable: false,
            replaced: 0,
        });
        self.encoder.begin_segment();
        self.growing = true;
        Ok(())
    }

    fn close_chunk(&mut self) {
        if let Some(chunk) = self.open.take() {
            self.ready.push_back((chunk, std::mem::take(&mut self.receipts)));
        }
    }

    /// The next chunk to be written. It stays readable here until [`Tail::landed`].
    pub(super) fn take(&mut self) -> Option<Taken> {
        if self.ready.is_empty() {
            self.close_chunk();
        }
        let (chunk, receipts) = self.ready.pop_front()?;
        let chunk = Arc::new(chunk);
        self.flying.push(chunk.clone());
        Some(Taken { chunk, receipts })
    }

    /// The bytes of a chunk are in their file.
    pub(super) fn written(&mut self, chunk: &Chunk) {
        if let Some(segment) = self.find_mut(chunk.segment) {
            segment.written = chunk.offset + chunk.bytes.len() as u64;
        }
    }

    /// A chunk need not be kept in memory any longer.
    pub(super) fn landed(&mut self, chunk: Arc<Chunk>) {
        self.waiting -= chunk.bytes.len();
        self.flying.retain(|other| !Arc::ptr_eq(other, &chunk));
        if let Some(Chunk { mut bytes, .. }) = Arc::into_inner(chunk)
            && bytes.capacity() <= SPARE_MAX
            && bytes.capacity() > self.spare.capacity()
        {
            bytes.clear();
            self.spare = bytes;
        }
    }

    /// Keeps little memory for the next chunk.
    pub(super) fn rest(&mut self) {
        if self.spare.capacity() > SPARE_REST {
            self.spare = Vec::new();
        }
    }

    fn place_of(&self, first: u64) -> Option<usize> {
        self.segments.binary_search_by_key(&first, |segment| segment.header.first).ok()
    }
    pub(super) fn find(&self, first: u64) -> Option<&Segment> {
        self.segments.get(self.place_of(first)?)
    }
    pub(super) fn find_mut(&mut self, first: u64) -> Option<&mut Segment> {
        let at = self.place_of(first)?;
        self.segments.get_mut(at)
    }

    /// The bytes of a segment, and whether it may get longer; none where it is gone.
    pub(super) fn extent(&self, first: u64) -> (u64, bool) {
        let is_last = self.segments.back().is_some_and(|last| last.header.first == first);
        (self.find(first).map_or(0, |segment| segment.len), is_last && self.growing)
    }

    /// The first segment behind another.
    pub(super) fn after(&self, first: u64) -> Option<&Segment> {
        let at = self.segments.partition_point(|segment| segment.header.first <= first);
        self.segments.get(at)
    }

    /// The segment in which the record behind a number lies, or the first there is.
    pub(super) fn holding(&self, after: u64) -> Option<&Segment> {
        let next = after.saturating_add(1);
        let at = self.segments.partition_point(|segment| segment.header.first <= next);
        self.segments.get(at.saturating_sub(1))
    }

    /// Bytes of a segment from an offset on that are only in memory, at most `max` of them.
    pub(super) fn peek(&self, first: u64, offset: u64, max: usize) -> Option<&[u8]> {
        let ready = self.ready.iter().map(|(chunk, _)| chunk);
        let flying = self.flying.iter().map(|chunk| &**chunk);
        flying.chain(ready).chain(&self.open).find_map(|chunk| {
            let at = usize::try_from(offset.checked_sub(chunk.offset)?).ok()?;
            let bytes = chunk.bytes.get(at..)?;
            let here = chunk.segment == first && !bytes.is_empty();
            here.then(|| &bytes[..bytes.len().min(max)])
        })
    }

    /// All up to this number is done with. Says whether segments can go for it.
    pub(super) fn free(&mut self, upto: u64) -> bool {
        self.freed = self.freed.max(upto);
        let all = self.growing && self.last_record <= self.freed;
        if all && self.segments.back().is_some_and(|segment| segment.len >= TINY) {
            // Without room for a header it goes when there is some.
            let _ = self.begin_segment(self.last + 1);
        }
        self.first_is_free()
    }

    /// Whether nothing waits to be written or removed.
    pub(super) fn is_at_rest(&self) -> bool {
        self.waiting == 0 && !self.first_is_free()
    }

    fn first_is_free(&self) -> bool {
        self.segments.get(1).is_some_and(|second| second.header.before <= self.freed)
    }

    /// A segment that is done with and whose bytes are all written, so that its file can go. Its bytes still count.
    pub(super) fn take_free(&mut self) -> Option<Segment> {
        let gone = self.segments.front().is_some_and(|first| first.written == first.len);
        let known = !self.needs_successor();
        if gone && known && self.first_is_free() { self.segments.pop_front() } else { None }
    }

    /// Whether a segment that is done with must stay until one behind it is durable: nothing else knows the last number and what the owner
    /// noted.
    pub(super) fn needs_successor(&self) -> bool {
        let later = || self.segments.iter().skip(1).any(|segment| segment.durable);
        self.first_is_free() && !later()
    }
}
