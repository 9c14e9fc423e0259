//! The end of sessions: from whom it would reach to the order.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use lightsout_api::{CreateTermination, GroupId, UserId};

use super::choose::choice;
use super::radius::{Filled, radius_page};
use super::systems_table::{number, systems_table};
use super::{apart, refused};
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::page::{Fields, QueryFields, SignedForm, SignedIn};
use crate::ops::radius::{self, PAGE_TIMEOUT};
use crate::ops::{self, terminate as operation};

/// More people than this must be confirmed by their number.
pub(super) const UNCONFIRMED_MAX: u64 = 10;
const KEY_MAX: usize = 255;

/// Whom a page is about: what stands in its address and in its form.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    pub(super) users: Vec<String>,
    pub(super) groups: Vec<String>,
    /// Leaves out whom the caller may not end, and who is gone.
    pub(super) skip: bool,
}

impl Selection {
    fn of(fields: &Fields) -> Result<Self, Failure> {
        let once = |name| {
            let mut seen = HashSet::new();
            let ids = fields.all(name).filter(|id| id.len() <= 64 && seen.insert(*id));
            ids.map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        let (users, groups) = (once("user"), once("group"));
        if users.len() + groups.len() > operation::ENTRIES_MAX {
            let message = format!("at most {} people and groups at once", operation::ENTRIES_MAX);
            return Err(Failure::bad_request(message));
        }
        Ok(Self { users, groups, skip: fields.text("skip").is_some() })
    }

    fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }

    /// The query of the page.
    pub(super) fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.users.iter().map(|id| ("user", id)));
        query.extend_pairs(self.groups.iter().map(|id| ("group", id)));
        if self.skip {
            query.append_pair("skip", "1");
        }
        query.finish()
    }

    /// The request that it stands for.
    pub(super) fn request(&self, reason: Option<&str>) -> CreateTermination {
        CreateTermination {
            user_ids: self.users.iter().cloned().map(UserId).collect(),
            group_ids: self.groups.iter().cloned().map(GroupId).collect(),
            reason: reason.map(ToOwned::to_owned),
            skip_unknown: self.skip,
            skip_not_permitted: self.skip,
            ..CreateTermination::default()
        }
    }
}

/// `GET /console/end?user=ID&group=ID`: whom to end, then what would end.
pub(in crate::http) async fn show(
    State(web): State<Arc<Web>>,
    signed_in: SignedIn,
    QueryFields(query): QueryFields,
) -> Result<Response, Failure> {
    let selection = Selection::of(&query)?;
    if selection.is_empty() {
        // Who may end nobody is not asked for names.
        let may = ops::people::choose(&web.app, &signed_in.caller, "").await;
        may.map_err(|error| refused(&signed_in, error))?;
        return Ok(choice(&signed_in, query.text("who").unwrap_or_default(), &[]).into_response());
    }
    let filled = Filled { ask: query.text("ask").is_some(), ..Filled::default() };
    Ok(radius_page(&web, &signed_in, &selection, filled).await?.into_response())
}

/// `GET /console/end/systems`: the part of the page that takes a while.
pub(in crate::http) async fn systems(
    State(web): State<Arc<Web>>,
    signed_in: SignedIn,
    QueryFields(query): QueryFields,
) -> Result<Html<String>, Failure> {
    let request = CreateTermination {
        skip_unknown: true,
        skip_not_permitted: true,
        ..Selection::of(&query)?.request(None)
    };
    let (web, caller) = (Arc::clone(&web), Arc::clone(&signed_in.caller));
    let systems = apart(async move {
        let radius = radius::look(&web.app, &caller, &request).await?;
        radius::count(&web.app, &caller, &radius, PAGE_TIMEOUT).await
    });
    let systems = systems.await?.map_err(|error| refused(&signed_in, error))?;
    Ok(Html(systems_table("Live sessions by system", &systems).into_string()))
}

/// `POST /console/terminations`.
///
/// The number of people is checked again in the transaction that ends them. The same form sent twice is
/// one termination.
pub(in crate::http) async fn terminate(
    State(web): State<Arc<Web>>,
    SignedForm(signed_in, fields): SignedForm,
) -> Result<Response, Failure> {
    let selection = Selection::of(&fields)?;
    if selection.is_empty() {
        return Ok(Redirect::to("/console/end").into_response());
    }
    let reason = fields.text("reason");
    let filled = |status, wrong: Wrong| Filled {
        reason: fields.raw("reason").unwrap_or_default().to_owned(),
        wrong: Some((status, wrong)),
        ask: false,
    };
    let again = async |status, wrong| radius_page(&web, &signed_in, &selection, filled(status, wrong)).await;
    if reason.is_some_and(|reason| reason.chars().count() > operation::REASON_MAX) {
        let why = format!("A reason has at most {} characters.", operation::REASON_MAX);
        return again(StatusCode::BAD_REQUEST, Wrong::Reason(why)).await;
    }
    let Some(expected) = fields.text("expected").and_then(|n| n.parse::<u64>().ok()) else {
        let why = "The form was not whole. Nothing was ended; look at it again.".to_owned();
        return again(StatusCode::BAD_REQUEST, Wrong::Form(why)).await;
    };
    let typed = fields.text("people").and_then(typed_number);
    if expected > UNCONFIRMED_MAX && typed != Some(expected) {
        let why = format!("Type {} to confirm. Nothing was ended.", number(expected));
        return again(StatusCode::BAD_REQUEST, Wrong::People(why)).await;
    }
    let key = fields.text("key").filter(|key| key.len() <= KEY_MAX);
    let request = selection.request(reason);
    let accepted =
        operation::request_confirmed(&web.app, &signed_in.caller, &request, key, Some(expected)).await;
    match accepted {
        Ok(id) => Ok(Redirect::to(&format!("/console/terminations/{id}")).into_response()),
        Err(ops::Error::Conflict { code: operation::PEOPLE_CHANGED, .. }) => {
            let why = format!(
                "It is not {} people any more: somebody joined or left since you looked. Nothing was ended; look at the number now.",
                number(expected)
            );
            again(StatusCode::CONFLICT, Wrong::Form(why)).await
        }
        Err(ops::Error::Conflict { .. }) => {
            let why = "This form was sent before, and ended sessions then: see Terminations. Sent again, it is a further termination.".to_owned();
            again(StatusCode::CONFLICT, Wrong::Form(why)).await
        }
        Err(ops::Error::Denied(_)) => again(StatusCode::FORBIDDEN, Wrong::Radius).await,
        Err(ops::Error::NotFound(_)) => again(StatusCode::NOT_FOUND, Wrong::Radius).await,
        Err(error) => Err(error.into()),
    }
}

/// What keeps a form from being carried out, by where it is said.
pub(super) enum Wrong {
    /// Above the form.
    Form(String),
    /// At the reason.
    Reason(String),
    /// At the number.
    People(String),
    /// The radius says it.
    Radius,
}

/// A number as people type it: `1,234` and `1 234` are 1234.
fn typed_number(text: &str) -> Option<u64> {
    let digits: String = text.chars().filter(|c| !matches!(c, ',' | '.' | ' ' | '\'' | '\u{a0}')).collect();
    digits.parse().ok()
}
