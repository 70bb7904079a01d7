//! What can be done with dead letters while an engine runs.

use std::sync::Arc;

use smollama_engine::batch::Items;
use smollama_engine::control::{ControlError, Letter, LettersDone, Selection};
use smollama_engine::json::parse_reading;
use smollama_engine::run::Journal;
use smollama_store::dead_letters::DeadLetterFile;
use tokio::sync::oneshot;

use crate::handle::Handle;
use crate::kept::Kept;
use crate::supervisor::Ask;

/// Items to be given to a node once more.
#[derive(Debug)]
pub(crate) struct Inject {
    pub(crate) address: Arc<str>,
    pub(crate) items: Items,
}

/// Does what reads or writes the letters on a thread for that.
pub(crate) async fn blocking<T: Send + 'static>(
    kept: &Kept,
    work: impl FnOnce(&DeadLetterFile) -> std::io::Result<T> + Send + 'static,
) -> Result<T, ControlError> {
    let letters = kept.letters.clone();
    let done = tokio::task::spawn_blocking(move || work(&letters)).await;
    let failed = |error: &dyn std::fmt::Display| {
        ControlError::failed(format!("the dead letters cannot be read or written: {error}"))
    };
    match done {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(failed(&error)),
        Err(error) => Err(failed(&error)),
    }
}

async fn selected(kept: &Kept, selection: Selection) -> Result<Vec<Letter>, ControlError> {
    let wanted = match &selection {
        Selection::Ids(ids) => Some(ids.clone()),
        Selection::Filter(_) => None,
    };
    let found = blocking(kept, move |letters| letters.select(&selection)).await?;
    let missing =
        wanted.into_iter().flatten().find(|id| !found.iter().any(|one| one.letter.id == *id));
    match missing {
        Some(id) => Err(ControlError::not_found(format!(
            "there is no dead letter `{id}`; nothing was done"
        ))),
        None => Ok(found),
    }
}

/// Gives letters to their nodes; those that were taken are gone.
pub(crate) async fn replay(
    handle: &Handle,
    selection: Selection,
) -> Result<LettersDone, ControlError> {
    let kept = &handle.overview.kept;
    let mut done = LettersDone::default();
    let mut taken = Vec::new();
    let mut last = None;
    for letter in selected(kept, selection).await? {
        let given = match items(kept, &letter) {
            Ok(items) => {
                let address = letter.letter.address.as_str().into();
                let (reply, answer) = oneshot::channel();
                let ask = Ask::Inject(Inject { address, items }, reply);
                let sent = handle.ask.send(ask).await.is_ok();
                match answer.await {
                    Ok(given) if sent => given,
                    _ => Err(ControlError::failed("the engine is stopping")),
                }
            }
            Err(why) => Err(why),
        };
        match given {
            Ok(()) => {
                done.letters += 1;
                done.items += letter.letter.items;
                taken.push(letter.letter.id);
            }
            Err(why) => {
                done.refused += 1;
                last = Some(why);
            }
        }
    }
    let journal = kept.journal.clone();
    blocking(kept, move |letters| {
        // A letter goes once what was given survives all that the letter would have survived.
        if !taken.is_empty() {
            journal.sync()?;
        }
        letters.remove(&taken)
    })
    .await?;
    match last {
        Some(why) if done.letters == 0 => Err(why),
        _ => Ok(done),
    }
}

/// The items of a letter, in the numbers of this process.
fn items(kept: &Kept, letter: &Letter) -> Result<Items, ControlError> {
    let id = &letter.letter.id;
    if letter.letter.kind != "readings" {
        let what = &letter.letter.kind;
        return Err(ControlError::refused(format!(
            "the letter `{id}` holds {what}; only readings can be given to a node again"
        ))
        .help("mend what is wrong at the source, and drop the letter"));
    }
    let mut readings = Vec::new();
    for item in &letter.items {
        let named = parse_reading(item.to_string().as_bytes())
            .map_err(|error| ControlError::failed(format!("the letter `{id}`: {error}")))?;
        let reading = named
            .intern(&kept.host.series)
            .map_err(|error| ControlError::failed(format!("the letter `{id}`: {error}")))?;
        readings.push(reading);
    }
    Ok(Items::Readings(readings))
}

/// Removes letters.
pub(crate) async fn drop_letters(
    kept: &Kept,
    selection: Selection,
) -> Result<LettersDone, ControlError> {
    let found = selected(kept, selection).await?;
    let ids: Vec<String> = found.iter().map(|one| one.letter.id.clone()).collect();
    blocking(kept, move |letters| letters.remove(&ids)).await?;
    let items = found.iter().map(|one| one.letter.items).sum();
    Ok(LettersDone { letters: found.len() as u64, items, refused: 0 })
}
