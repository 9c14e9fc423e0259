//! Forms: their fields, and the token that no other site can know.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use maud::{Markup, html};

use super::browser::{SignedIn, Visitor};
use crate::http::Web;
use crate::http::failure::Failure;
use crate::http::request::FormBody;

const CSRF: &str = "csrf";

/// The fields of a form, in their order; a name may stand several times.
pub(in crate::http) struct Fields(Vec<(String, String)>);

impl Fields {
    /// A text without space around it; an empty one counts as absent.
    pub(in crate::http) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every text of a name.
    pub(in crate::http) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let named: Vec<&(String, String)> = self.0.iter().filter(|(found, _)| found == name).collect();
        named.into_iter().map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// A text as it was typed: a password may begin with a space.
    pub(in crate::http) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    async fn read(request: Request, web: &Arc<Web>, csrf: &str) -> Result<Self, Failure> {
        let FormBody(pairs) = FormBody::<Vec<(String, String)>>::from_request(request, web).await?;
        if pairs.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
            return Err(Failure::bad_request("a field holds a character that no text has"));
        }
        let fields = Self(pairs);
        if fields.text(CSRF) == Some(csrf) {
            return Ok(fields);
        }
        let message = "this form is from another session, or from another site; open the page again and send it from there";
        Err(Failure::new(StatusCode::FORBIDDEN, "form_not_ours", message))
    }
}

/// The fields of a query, where a name may stand several times.
pub(in crate::http) struct QueryFields(pub(in crate::http) Fields);

impl FromRequestParts<Arc<Web>> for QueryFields {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Web>) -> Result<Self, Failure> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if pairs.iter().any(|(_, value)| value.contains('\0')) {
            return Err(Failure::bad_request("the address holds a character that no text has"));
        }
        Ok(Self(Fields(pairs)))
    }
}

/// A form of somebody who has signed in.
pub(in crate::http) struct SignedForm(pub(in crate::http) SignedIn, pub(in crate::http) Fields);

impl FromRequest<Arc<Web>> for SignedForm {
    type Rejection = Failure;

    async fn from_request(request: Request, web: &Arc<Web>) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let signed_in = SignedIn::from_request_parts(&mut parts, web).await?;
        let fields = Fields::read(Request::from_parts(parts, body), web, &signed_in.csrf).await?;
        Ok(Self(signed_in, fields))
    }
}

/// A form of somebody who has not signed in yet.
pub(in crate::http) struct VisitorForm(pub(in crate::http) Visitor, pub(in crate::http) Fields);

impl FromRequest<Arc<Web>> for VisitorForm {
    type Rejection = Failure;

    async fn from_request(request: Request, web: &Arc<Web>) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, web).await?;
        let fields = Fields::read(Request::from_parts(parts, body), web, &visitor.csrf).await?;
        Ok(Self(visitor, fields))
    }
}

/// The hidden field that every form carries.
pub(in crate::http) fn csrf_field(csrf: &str) -> Markup {
    html! { input type="hidden" name=(CSRF) value=(csrf); }
}
