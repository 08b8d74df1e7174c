//! Refuses every write of a process that is not the leader, and cancels a write in flight when leadership ends.
//! Independent of leader election.

use std::future::Future;

use thiserror::Error;
use tower::BoxError;

use crate::lease::Leadership;

/// A write was not sent, or not waited for, because another process may lead by now.
#[derive(Clone, Copy, Debug, Error)]
#[error("this operator does not hold the lease; the leader goes on")]
pub(super) struct NotLeading;

/// The answer, unless the leadership under which it was asked for ends before it comes.
pub(super) async fn held<T>(
    leadership: Option<Leadership>,
    answer: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, BoxError> {
    let Some(leadership) = leadership else { return answer.await };
    tokio::select! {
        answer = answer => answer,
        () = leadership.lost() => Err(NotLeading.into()),
    }
}
