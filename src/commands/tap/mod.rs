//! `tap`: what leaves a node, as it comes.

pub(super) mod line;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use futures::StreamExt;
use smollama_engine::control::{Chunk, TapRequest};

use crate::cli::look;
use crate::client::Call;
use crate::signals::Signals;
use crate::terminal::{self, Failure};
use crate::text::count;

pub(crate) async fn tap(call: &Call<'_>, args: &look::Tap) -> Result<ExitCode, Failure> {
    let is_read = !call.json && io::stdout().is_terminal();
    let show = |lines: &[u8]| match is_read {
        true => terminal::print(&line::readable(lines, call)),
        false => terminal::print_bytes(lines),
    };
    let (seen, saved) = follow(call, args, show).await?;
    terminal::say(&seen.text());
    if let Some(saved) = saved {
        terminal::say(&saved);
    }
    if seen.as_wanted {
        return Ok(ExitCode::SUCCESS);
    }
    let address = &args.address;
    Err(Failure::Failed(format!(
        "nothing more comes from `{address}`: the engine has stopped, or the node is gone"
    )))
}

/// Shows and saves what comes until it is enough. Says how much it was, and what the file is good for.
async fn follow(
    call: &Call<'_>,
    args: &look::Tap,
    mut show: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(Seen, Option<String>), Failure> {
    let request = TapRequest {
        address: args.address.clone(),
        limit: args.count,
        per_second: args.per_second,
    };
    let mut lines = call.engine.tap(request).await?;
    // Not before the address is known to be right: where it is wrong, an older file stays as it is.
    let mut save = args.save.as_deref().map(Save::create).transpose()?;
    let mut signals = Signals::new()?;
    let span = args.span.map_or(Duration::MAX, smollama_engine::duration::Duration::to_std);
    let enough = tokio::time::sleep(span);
    tokio::pin!(enough);
    let mut seen = Seen::default();
    seen.as_wanted = loop {
        let chunk = tokio::select! {
            chunk = lines.next() => chunk,
            () = &mut enough => break true,
            _ = signals.next() => break true,
        };
        let Some(chunk) = chunk else {
            break args.count.is_some_and(|count| seen.items >= count);
        };
        seen.add(&chunk);
        if let Some(save) = &mut save {
            save.write(&chunk.lines)?;
        }
        show(&chunk.lines)?;
    };
    let saved = save.map(|save| save.finish(seen.items)).transpose()?;
    Ok((seen, saved))
}

/// How much came.
#[derive(Debug, Default)]
struct Seen {
    items: u64,
    missed: u64,
    /// Whether it ended because the user had enough.
    as_wanted: bool,
}

impl Seen {
    fn add(&mut self, chunk: &Chunk) {
        self.items += chunk.lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.missed += chunk.missed;
    }

    fn text(&self) -> String {
        let items = count(self.items, "item");
        match self.missed {
            0 => format!("{items}, none missed."),
            missed => format!("{items}, {missed} missed: there were too many to show."),
        }
    }
}

/// The file that the lines are kept in.
struct Save<'a> {
    path: &'a Path,
    file: File,
}

impl Save<'_> {
    fn create(path: &Path) -> Result<Save<'_>, Failure> {
        let file = File::create(path).map_err(|error| cannot("make", path, &error))?;
        Ok(Save { path, file })
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), Failure> {
        self.file.write_all(lines).map_err(|error| cannot("write", self.path, &error))
    }

    /// Says what it is good for.
    fn finish(mut self, items: u64) -> Result<String, Failure> {
        self.file.flush().map_err(|error| cannot("write", self.path, &error))?;
        let path = self.path.display();
        Ok(match items {
            0 => format!("Nothing was saved in {path}."),
            _ => format!("Saved in {path}: a `replay` source reads it, and `file` in a test."),
        })
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("cannot {what} `{}`: {error}", path.display()))
}
