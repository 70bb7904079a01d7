//! Loops that block now and then, and mostly do not: tasks, which are polled on a thread for that while they need one.
//!
//! A thread for each such loop would cost memory and two changes of threads for each item; asking for one thread per blocking call would
//! make every function on the way to the call asynchronous. So a loop asks for permission before it blocks. Without it the loop waits, and
//! [`blocking_at_times`] polls it again where blocking is fine.

use std::future::poll_fn;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};

use tokio::sync::Semaphore;

/// How many loops block at once. A disk that hangs stops these, and not all threads of the runtime's pool.
const AT_ONCE: usize = 16;
/// How often a loop may block before it lets others.
const IN_A_ROW: u32 = 64;

static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// Whether a loop may block its thread now.
#[derive(Debug, Clone)]
pub(crate) struct Permission(Option<Arc<Asked>>);

#[derive(Debug, Default)]
struct Asked {
    /// The loop waits for permission.
    waits: AtomicBool,
    /// How often it may block still.
    left: AtomicU32,
}

impl Permission {
    /// For a loop that may always block: it has a thread of its own, or what it calls returns at once.
    pub(crate) fn always() -> Permission {
        Permission(None)
    }

    /// For a loop that is run by [`blocking_at_times`].
    pub(crate) fn on_request() -> Permission {
        Permission(Some(Arc::default()))
    }

    /// Whether to block is fine now. If not, that is asked for: the loop is to return [`Poll::Pending`], and is polled again with it.
    pub(crate) fn ask(&self) -> bool {
        let Some(asked) = &self.0 else { return true };
        let take = |left: u32| left.checked_sub(1);
        let may = asked.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        asked.waits.store(!may, Ordering::Relaxed);
        may
    }

    /// Waits until to block is fine, up to the next time that this loop waits for something.
    pub(crate) async fn granted(&self) {
        poll_fn(|_| if self.ask() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    fn is_asked_for(&self) -> bool {
        self.0.as_ref().is_some_and(|asked| asked.waits.swap(false, Ordering::Relaxed))
    }

    fn give(&self, times: u32) {
        if let Some(asked) = &self.0 {
            asked.left.store(times, Ordering::Relaxed);
        }
    }
}

/// Runs a loop as a task, and on a thread where blocking is fine from when it asks for that until it waits for something else.
pub(crate) async fn blocking_at_times<T: Send + 'static>(
    permission: Permission,
    mut run: Pin<Box<impl Future<Output = T> + Send + 'static>>,
) -> T {
    loop {
        let polled = poll_fn(|cx| match run.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if permission.is_asked_for() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        if let Some(done) = polled.await {
            return done;
        }
        let polled;
        (run, polled) = poll_where_it_may_block(run, permission.clone()).await;
        // Whatever woke it meanwhile woke this task, so it is looked at once more.
        if let Poll::Ready(done) = polled {
            return done;
        }
    }
}

async fn poll_where_it_may_block<T, F>(
    mut run: Pin<Box<F>>,
    permission: Permission,
) -> (Pin<Box<F>>, Poll<T>)
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let turn = TURNS.acquire().await;
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let there = tokio::task::spawn_blocking(move || {
        permission.give(IN_A_ROW);
        let polled = run.as_mut().poll(&mut Context::from_waker(&waker));
        permission.give(0);
        (run, polled)
    });
    let polled = there.await;
    drop(turn);
    match polled.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(polled) => polled,
        Err(Ok(panic)) => resume_unwind(panic),
        // The runtime ends, and this task with it.
        Err(Err(_)) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;

    fn here() -> ThreadId {
        std::thread::current().id()
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_is_elsewhere_while_it_may_block_and_here_while_it_waits() {
        let (permission, task) = (Permission::on_request(), here());
        let asks = permission.clone();
        let run = async move {
            let mut stays = 0;
            for _ in 0..3 {
                assert_eq!(here(), task);
                asks.granted().await;
                for _ in 0..1_000 {
                    assert_ne!(here(), task);
                    asks.granted().await;
                    stays += 1;
                }
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
            stays
        };
        assert_eq!(blocking_at_times(permission, Box::pin(run)).await, 3_000);
    }

    #[tokio::test]
    async fn more_loops_than_may_block_at_once_all_get_their_turn() {
        let loops = (0..10 * AT_ONCE).map(|_| {
            let permission = Permission::on_request();
            let asks = permission.clone();
            let run = async move {
                for _ in 0..3 {
                    asks.granted().await;
                    std::thread::sleep(std::time::Duration::from_micros(10));
                    tokio::task::yield_now().await;
                }
            };
            tokio::spawn(blocking_at_times(permission, Box::pin(run)))
        });
        for one in loops.collect::<Vec<_>>() {
            one.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_panic_there_is_one_here() {
        let permission = Permission::on_request();
        let asks = permission.clone();
        let run = async move {
            asks.granted().await;
            panic!("as planned");
        };
        let ended = tokio::spawn(blocking_at_times::<()>(permission, Box::pin(run))).await;
        assert!(ended.unwrap_err().is_panic());
    }
}
