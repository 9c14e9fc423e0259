//! Whole lists, fetched page by page.

use std::collections::VecDeque;

use futures_util::{Stream, stream};
use lightsout_api::Page;
use serde::de::{DeserializeOwned, Error as _};

use crate::client::Client;
use crate::error::Error;

/// A list, one entry after another; a page is fetched when the one before is used up.
#[derive(Debug)]
pub struct Pages<T> {
    client: Client,
    path: String,
    query: Vec<(&'static str, String)>,
    place: Place,
    ready: VecDeque<T>,
}

/// The server leads to the page that it has given.
fn repeated() -> Error {
    Error::unreadable(200, serde_json::Error::custom("the server repeats a page of the list"))
}

#[derive(Debug)]
enum Place {
    Marker(Option<String>),
    Offset(u64),
    End,
}

impl<T: DeserializeOwned> Pages<T> {
    pub(crate) fn by_marker(client: &Client, path: String, query: Vec<(&'static str, String)>) -> Self {
        Self { client: client.clone(), path, query, place: Place::Marker(None), ready: VecDeque::new() }
    }

    pub(crate) fn by_offset(client: &Client, path: String, query: Vec<(&'static str, String)>) -> Self {
        Self { client: client.clone(), path, query, place: Place::Offset(0), ready: VecDeque::new() }
    }

    /// The next entry; none at the end. After an error the same page is asked for again.
    ///
    /// A server that leads to the page that it has just given is [`Error::Unreadable`].
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// let mut users = client.all_users("");
    /// while let Some(user) = users.next().await? {
    ///     println!("{} {}", user.id, user.login.unwrap_or_default());
    /// }
    /// # Ok(()) });
    /// ```
    pub async fn next(&mut self) -> Result<Option<T>, Error> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Some(entry));
            }
            let mut query = self.query.clone();
            match &self.place {
                Place::End => return Ok(None),
                Place::Marker(marker) => query.extend(marker.clone().map(|marker| ("marker", marker))),
                Place::Offset(offset) => query.push(("offset", offset.to_string())),
            }
            let page: Page<T> = self.client.get(&self.path, &query).await?;
            self.place = match &self.place {
                Place::Offset(offset) if page.offset.is_some_and(|at| at < *offset) => return Err(repeated()),
                Place::Offset(offset) => {
                    let next = offset + page.entries.len() as u64;
                    let more = !page.entries.is_empty() && page.total_count.is_none_or(|total| next < total);
                    if more { Place::Offset(next) } else { Place::End }
                }
                Place::Marker(used) => match page.next_marker.filter(|marker| !marker.is_empty()) {
                    Some(marker) if used.as_ref() == Some(&marker) => return Err(repeated()),
                    Some(marker) => Place::Marker(Some(marker)),
                    None => Place::End,
                },
                Place::End => Place::End,
            };
            self.ready.extend(page.entries);
        }
    }

    /// Every entry from here on.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// let groups = client.all_groups("").collect().await?;
    /// assert_eq!(groups.len(), 2);
    /// # Ok(()) });
    /// ```
    pub async fn collect(mut self) -> Result<Vec<T>, Error> {
        let mut entries = Vec::new();
        while let Some(entry) = self.next().await? {
            entries.push(entry);
        }
        Ok(entries)
    }

    /// The same as a [`Stream`], which ends after an error.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// use futures_util::TryStreamExt;
    ///
    /// let logins = client.all_users("").into_stream().map_ok(|user| user.login);
    /// let logins: Vec<Option<String>> = logins.try_collect().await?;
    /// # assert_eq!(logins.len(), 4);
    /// # Ok(()) });
    /// ```
    pub fn into_stream(self) -> impl Stream<Item = Result<T, Error>> + Unpin {
        Box::pin(stream::try_unfold(self, |mut pages| async move {
            Ok(pages.next().await?.map(|entry| (entry, pages)))
        }))
    }
}
