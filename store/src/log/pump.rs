//! From memory to the disk: whoever writes calls this, the writer's thread or, without one, the caller.

use std::io;
use std::sync::atomic::Ordering;

use smollama_engine::node::Receipt;

use super::Log;
use super::files::Files;
use super::settings::Durability;
use super::tail::Taken;

/// How many damaged segments are kept for whoever wants to look into them.
const ASIDE_MAX: usize = 1;

impl Log {
    /// Writes what waits, tells whoever waits for that, and removes what is done with. After an error nothing is lost: the next call goes on
    /// where this one stopped.
    pub(super) fn pump(&self, files: &mut Files) -> io::Result<()> {
        self.repair(files)?;
        self.remove_freed(files)?;
        // What comes meanwhile is for the next time, so that nobody waits for a sync until nothing more comes.
        let chunks = usize::from(files.unfinished.is_some()) + self.tail().chunks();
        for _ in 0..chunks {
            let Some(taken) = files.unfinished.take().or_else(|| self.tail().take()) else { break };
            if let Err(error) = files.write(&*self.host.disk, &self.settings.folder, &taken.chunk) {
                files.unfinished = Some(taken);
                return Err(error);
            }
            self.wrote(files, taken);
        }
        if !files.held.is_empty() || self.tail().needs_successor() {
            self.sync_files(files)?;
        }
        self.remove_freed(files)
    }

    fn wrote(&self, files: &mut Files, Taken { chunk, receipts }: Taken) {
        self.written.fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
        let mut tail = self.tail();
        tail.written(&chunk);
        let wait = self.settings.durability == Durability::Power && !receipts.is_empty();
        if wait {
            files.kept.push(chunk);
            files.held.extend(receipts);
        } else {
            tail.landed(chunk);
            drop(tail);
            receipts.into_iter().for_each(Receipt::kept);
        }
    }

    /// Makes all that is written durable, and tells whoever waits for that.
    pub(super) fn sync_files(&self, files: &mut Files) -> io::Result<()> {
        self.repair(files)?;
        let segments: Vec<u64> = files.open.iter().map(|file| file.segment).collect();
        let synced = files.sync(&*self.host.disk, &self.settings.folder);
        self.syncs.fetch_add(*synced.as_ref().unwrap_or(&1), Ordering::Relaxed);
        if synced.is_err() {
            // What is written and not durable is in memory still, for those at least who were promised something: once more, elsewhere.
            self.repair(files)?;
            let synced = files.sync(&*self.host.disk, &self.settings.folder)?;
            self.syncs.fetch_add(synced, Ordering::Relaxed);
        }
        let mut tail = self.tail();
        for segment in segments {
            if let Some(segment) = tail.find_mut(segment) {
                segment.durable = true;
            }
        }
        files.kept.drain(..).for_each(|chunk| tail.landed(chunk));
        drop(tail);
        files.held.drain(..).for_each(Receipt::kept);
        Ok(())
    }

    /// Writes and syncs everything.
    pub(super) fn settle(&self, files: &mut Files) -> io::Result<()> {
        self.pump(files)?;
        if files.unsynced() { self.sync_files(files) } else { Ok(()) }
    }

    /// Puts copies in the place of files that a failed call left in doubt.
    fn repair(&self, files: &mut Files) -> io::Result<()> {
        while let Some(len) = files.suspect() {
            {
                let mut tail = self.tail();
                if tail.used + len > self.settings.cap() {
                    let text = "no room below the cap to copy a segment after a failed sync";
                    return Err(io::Error::new(io::ErrorKind::StorageFull, text));
                }
                tail.used += len;
            }
            let copied = files.copy_suspect(&*self.host.disk);
            let mut tail = self.tail();
            tail.used -= len;
            let step = copied?;
            if let Some(segment) = step.replaced.and_then(|first| tail.find_mut(first)) {
                segment.replaced += 1;
            }
            self.syncs.fetch_add(step.syncs, Ordering::Relaxed);
            self.written.fetch_add(len, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Removes the files of segments that are done with. A damaged one is put aside instead, as long as there is room.
    fn remove_freed(&self, files: &mut Files) -> io::Result<()> {
        loop {
            let Some(segment) = self.tail().take_free() else { break };
            let first = segment.header.first;
            files.open.retain(|file| file.segment != first);
            let path = self.path(first);
            if segment.damaged {
                let aside = path.with_extension("log.damaged");
                if self.host.disk.rename(&path, &aside).is_ok() {
                    self.tail().aside.push_back((aside, segment.len));
                    continue;
                }
            }
            files.garbage.push_back((path, segment.len));
        }
        let mut tail = self.tail();
        let room = self.settings.cap().saturating_sub(tail.used);
        let tight = std::mem::take(&mut tail.refused) || room < 2 * self.settings.segment();
        while tail.aside.len() > ASIDE_MAX || (tight && !tail.aside.is_empty()) {
            files.garbage.extend(tail.aside.pop_front());
        }
        drop(tail);
        if files.garbage.is_empty() && files.removed == 0 {
            return Ok(());
        }
        let freed = files.remove_garbage(&*self.host.disk, &self.settings.folder)?;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.tail().used -= freed;
        Ok(())
    }
}
