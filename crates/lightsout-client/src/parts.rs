//! Large lists, split into requests of a chosen size.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};

use crate::error::Error;
use crate::session_termination::CreateUserTerminateSessionRequestBody;

/// How a large list is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The most entries of one request: 1,000. Box's limit is not documented; a service takes 10,000.
    pub size: usize,
    /// The most requests under way at once: 4.
    pub at_once: usize,
}

impl Default for Parts {
    fn default() -> Self {
        Self { size: 1_000, at_once: 4 }
    }
}

/// One request of several, and what became of it.
#[derive(Debug)]
pub struct Part<R, A> {
    /// What was asked for. A part that failed can be sent again as it is.
    pub request: R,
    /// The key that a termination of a service was sent with: sent again with it, as by
    /// [`Client::terminate`](crate::Client::terminate), the part ends nobody's sessions twice. Box has none.
    pub idempotency_key: Option<String>,
    /// The answer. After a failure that another part would meet as well (the credentials, the server,
    /// the way to it), parts that were not begun are [`Error::NotSent`].
    pub result: Result<A, Error>,
}

/// Sends requests, some at once, and answers in their order.
pub(crate) async fn send<R, A, F>(requests: Vec<R>, at_once: usize, one: impl Fn(R) -> F) -> Vec<Part<R, A>>
where
    R: Clone,
    F: Future<Output = Result<A, Error>>,
{
    send_keyed(requests, at_once, || None, |request, _| one(request)).await
}

/// The same, each with a key.
pub(crate) async fn send_keyed<R, A, F>(
    requests: Vec<R>,
    at_once: usize,
    key: impl Fn() -> Option<String>,
    one: impl Fn(R, Option<String>) -> F,
) -> Vec<Part<R, A>>
where
    R: Clone,
    F: Future<Output = Result<A, Error>>,
{
    let stopped = AtomicBool::new(false);
    let (stopped, key, one) = (&stopped, &key, &one);
    stream::iter(requests)
        .map(|request| async move {
            let idempotency_key = key();
            if stopped.load(Ordering::Relaxed) {
                return Part { request, idempotency_key, result: Err(Error::NotSent) };
            }
            let result = one(request.clone(), idempotency_key.clone()).await;
            if result.as_ref().is_err_and(stops_the_others) {
                stopped.store(true, Ordering::Relaxed);
            }
            Part { request, idempotency_key, result }
        })
        .buffered(at_once.max(1))
        .collect()
        .await
}

fn stops_the_others(error: &Error) -> bool {
    error.is_passing() || matches!(error, Error::NotAuthenticated(_) | Error::Setup { .. })
}

/// Splits into lists of at most `size`. Nothing stays one empty list, which the server refuses.
pub(crate) fn chunks<T: Clone>(entries: Vec<T>, size: usize) -> impl Iterator<Item = Vec<T>> {
    let empty = entries.is_empty().then(Vec::new);
    let size = size.max(1);
    let mut entries = entries.into_iter();
    let chunk = std::iter::from_fn(move || {
        let chunk: Vec<T> = entries.by_ref().take(size).collect();
        (!chunk.is_empty()).then_some(chunk)
    });
    empty.into_iter().chain(chunk)
}

/// Splits ids and logins together, ids first, into requests of at most `size` entries.
pub(crate) fn of_users(
    body: CreateUserTerminateSessionRequestBody,
    size: usize,
) -> Vec<CreateUserTerminateSessionRequestBody> {
    let ids = body.user_ids.unwrap_or_default();
    let ids_count = ids.len();
    let entries: Vec<String> = ids.into_iter().chain(body.user_logins.unwrap_or_default()).collect();
    let mut before = 0;
    let request = |mut user_ids: Vec<String>| {
        let logins_from = ids_count.saturating_sub(before).min(user_ids.len());
        before += user_ids.len();
        let user_logins = user_ids.split_off(logins_from);
        // Both, also when one is empty: Box's document requires both, and its SDKs send both.
        CreateUserTerminateSessionRequestBody { user_ids: Some(user_ids), user_logins: Some(user_logins) }
    };
    chunks(entries, size).map(request).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_logins_share_requests() {
        let list = |entries: &[&str]| Some(entries.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>());
        let body = CreateUserTerminateSessionRequestBody {
            user_ids: list(&["1", "2", "3"]),
            user_logins: list(&["a", "b"]),
        };
        let split: Vec<_> =
            of_users(body.clone(), 2).into_iter().map(|part| (part.user_ids, part.user_logins)).collect();
        assert_eq!(
            split,
            [(list(&["1", "2"]), list(&[])), (list(&["3"]), list(&["a"])), (list(&[]), list(&["b"]))]
        );
        assert_eq!(of_users(body.clone(), 5), [body]);
        assert_eq!(of_users(CreateUserTerminateSessionRequestBody::default(), 5).len(), 1);
    }

    #[test]
    fn no_entry_is_lost_at_any_size() {
        for size in 0..12 {
            let entries: Vec<u32> = (0..11).collect();
            let parts: Vec<Vec<u32>> = chunks(entries.clone(), size).collect();
            assert!(parts.iter().all(|part| part.len() <= size.max(1)));
            assert_eq!(parts.concat(), entries);
        }
    }

    #[tokio::test]
    async fn what_another_part_would_meet_as_well_stops_them() {
        let gone = || crate::ApiError { status: 401, ..crate::ApiError::default() };
        let parts =
            send(
                vec![1, 2, 3, 4],
                1,
                |n| async move { if n == 2 { Err(Error::from(gone())) } else { Ok(n) } },
            )
            .await;
        let results: Vec<String> = parts
            .iter()
            .map(|part| {
                part.result.as_ref().map_or_else(
                    |e| e.status().map_or("not sent".into(), |s| s.to_string()),
                    |n| format!("ok {n}"),
                )
            })
            .collect();
        assert_eq!(results, ["ok 1", "401", "not sent", "not sent"]);

        let missing = || crate::ApiError { status: 404, ..crate::ApiError::default() };
        let parts =
            send(
                vec![1, 2, 3],
                2,
                |n| async move { if n == 1 { Err(Error::from(missing())) } else { Ok(n) } },
            )
            .await;
        assert_eq!(parts.iter().map(|part| part.result.is_ok()).collect::<Vec<_>>(), [false, true, true]);
    }
}
