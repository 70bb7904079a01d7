//! From whoever has something to show to whoever looks, without the one ever waiting for the other.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::Stream;

/// What a listener gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<T> {
    /// Something that was offered.
    Kept(T),
    /// How much was offered after that and found no room.
    Missed(u64),
}

/// A feed that keeps at most so many bytes for its listener. What finds no room is counted, and so is all that follows until the
/// listener has taken what is there: what it missed lies in one place.
#[must_use]
pub fn feed<T>(bytes_max: usize) -> (Feed<T>, Listener<T>) {
    let shared = Arc::new(Shared { bytes_max, inner: Mutex::default() });
    (Feed(shared.clone()), Listener { shared, taken: VecDeque::new(), missed: 0 })
}

/// The side that shows. Clones show to the same listener.
pub struct Feed<T>(Arc<Shared<T>>);

/// The side that looks. The stream ends when nobody is left who could show anything.
pub struct Listener<T> {
    shared: Arc<Shared<T>>,
    taken: VecDeque<T>,
    missed: u64,
}

struct Shared<T> {
    bytes_max: usize,
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    kept: VecDeque<T>,
    bytes: usize,
    missed: u64,
    feeds: usize,
    deaf: bool,
    waker: Option<Waker>,
}

impl<T> Default for Inner<T> {
    fn default() -> Self {
        Inner { kept: VecDeque::new(), bytes: 0, missed: 0, feeds: 1, deaf: false, waker: None }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Feed<T> {
    /// Offers something of about so many bytes that stands for so many items; it is made only if there is room. Says whether
    /// anybody still looks.
    pub fn offer(&self, bytes: usize, items: u64, make: impl FnOnce() -> T) -> bool {
        let mut inner = self.0.lock();
        if inner.deaf {
            return false;
        }
        // One that is larger than all the room is taken when there is nothing else.
        let fits = inner.kept.is_empty() || inner.bytes + bytes <= self.0.bytes_max;
        if inner.missed > 0 || !fits {
            inner.missed += items;
        } else {
            inner.kept.push_back(make());
            inner.bytes += bytes;
        }
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Whether anybody still looks.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        !self.0.lock().deaf
    }
}

impl<T> Clone for Feed<T> {
    fn clone(&self) -> Self {
        self.0.lock().feeds += 1;
        Feed(self.0.clone())
    }
}

impl<T> Drop for Feed<T> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.feeds -= 1;
        if inner.feeds == 0
            && let Some(waker) = inner.waker.take()
        {
            drop(inner);
            waker.wake();
        }
    }
}

impl<T> Drop for Listener<T> {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.deaf = true;
        inner.kept.clear();
    }
}

impl<T: Unpin> Stream for Listener<T> {
    type Item = Piece<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece<T>>> {
        let this = self.get_mut();
        if this.taken.is_empty() && this.missed == 0 {
            let mut inner = this.shared.lock();
            std::mem::swap(&mut this.taken, &mut inner.kept);
            this.missed = std::mem::take(&mut inner.missed);
            inner.bytes = 0;
            if this.taken.is_empty() && this.missed == 0 {
                if inner.feeds == 0 {
                    return Poll::Ready(None);
                }
                inner.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        let piece = this.taken.pop_front().map(Piece::Kept);
        Poll::Ready(piece.or_else(|| Some(Piece::Missed(std::mem::take(&mut this.missed)))))
    }
}

impl<T> fmt::Debug for Feed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed")
    }
}

impl<T> fmt::Debug for Listener<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}
