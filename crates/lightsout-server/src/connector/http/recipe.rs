//! A vendor's API as data: a TOML text, strictly read. `docs/systems/http.md` is its reference.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::template::{Slot, Template, templates_in};
use crate::unknown_key::explain;

/// The most ids in one bulk call.
const BATCH_MAX: usize = 1_000;
/// The largest recipe, in bytes.
const RECIPE_BYTES_MAX: u64 = 64 * 1024;

/// The recipes that are built in.
pub(super) const BUILT_IN: [(&str, &str); 6] = [
    ("okta", include_str!("../recipes/okta.toml")),
    ("entra", include_str!("../recipes/entra.toml")),
    ("slack", include_str!("../recipes/slack.toml")),
    ("keycloak", include_str!("../recipes/keycloak.toml")),
    ("kratos", include_str!("../recipes/kratos.toml")),
    ("webhook", include_str!("../recipes/webhook.toml")),
];

/// How one vendor's sessions are looked up, ended and verified.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recipe {
    /// Whose sessions these are, for people.
    pub(super) about: String,
    /// The published document that it follows.
    pub(super) source: String,
    /// The secrets that must be configured.
    #[serde(default)]
    pub(super) secrets: Vec<String>,
    /// The parameters that must be configured.
    #[serde(default)]
    pub(super) parameters: Vec<String>,
    /// Parameters that may be configured, with their defaults.
    #[serde(default)]
    pub(super) defaults: BTreeMap<String, String>,
    /// Where the API is, if that is the same for every customer.
    pub(super) base_url: Option<String>,
    /// What the credentials must be allowed to do.
    pub(super) permissions: String,
    /// Headers of every call.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Template>,
    /// What must hold in every answer besides its status.
    pub(super) holds: Option<Field>,
    /// Where an answer names its error by a code.
    pub(super) error: Option<String>,
    /// Codes of errors that are about the credentials.
    #[serde(default)]
    pub(super) denied: Vec<String>,
    /// OAuth 2 client credentials.
    pub(super) token: Option<Token>,
    pub(super) lookup: Option<Lookup>,
    pub(super) end: End,
    pub(super) verify: Option<Verify>,
    /// A call that changes nothing and names nobody.
    pub(super) check: Option<Check>,
    /// Seconds that tokens live on although the sessions were revoked.
    pub(super) ends_by_s: Option<u32>,
    #[serde(default)]
    pub(super) rate: Rate,
    #[serde(default)]
    pub(super) retry: Retry,
    pub(super) sign: Option<Sign>,
}

/// A place in a JSON answer and what stands there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Field {
    pub(super) at: String,
    pub(super) is: Value,
}

impl Field {
    pub(super) fn is_in(&self, answer: &Value) -> bool {
        answer.pointer(&self.at) == Some(&self.is)
    }
}

/// A method and a path below the base URL.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Request {
    pub(super) method: reqwest::Method,
    pub(super) path: Template,
}

impl TryFrom<String> for Request {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (method, path) = text.split_once(' ').unwrap_or((text.as_str(), ""));
        let method = match method {
            "GET" => reqwest::Method::GET,
            "POST" => reqwest::Method::POST,
            "PUT" => reqwest::Method::PUT,
            "PATCH" => reqwest::Method::PATCH,
            "DELETE" => reqwest::Method::DELETE,
            _ => return Err(format!("request {text:?}: write METHOD /path, such as GET /users/{{subject}}")),
        };
        if (!path.is_empty() && !path.starts_with('/')) || path.contains(['?', '#', ' ', '\\']) {
            return Err(format!(
                "request {text:?}: the path begins with / and has no query; write it as query = {{ ... }}"
            ));
        }
        Ok(Self { method, path: Template::try_from(path.to_owned())? })
    }
}

/// A section that makes a call has these keys besides its own.
macro_rules! section {
    ($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            request: Request,
            #[serde(default)]
            query: BTreeMap<String, Template>,
            #[serde(default)]
            headers: BTreeMap<String, Template>,
            json: Option<Value>,
            form: Option<BTreeMap<String, Template>>,
            /// Statuses that say that it worked; none: 200 to 299.
            #[serde(default)]
            success: Vec<u16>,
            holds: Option<Field>,
            calls_per_minute: Option<u32>,
            $($(#[$field_about])* pub(super) $field: $type,)*
        }

        impl $name {
            /// The call that it makes.
            pub(super) fn call(&self) -> Call {
                Call {
                    method: self.request.method.clone(),
                    path: self.request.path.clone(),
                    query: self.query.clone(),
                    headers: self.headers.clone(),
                    json: self.json.clone(),
                    form: self.form.clone(),
                    success: self.success.clone(),
                    holds: self.holds.clone(),
                    calls_per_minute: self.calls_per_minute,
                }
            }
        }
    };
}

/// One call of a recipe.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: reqwest::Method,
    pub(super) path: Template,
    pub(super) query: BTreeMap<String, Template>,
    pub(super) headers: BTreeMap<String, Template>,
    pub(super) json: Option<Value>,
    pub(super) form: Option<BTreeMap<String, Template>>,
    pub(super) success: Vec<u16>,
    pub(super) holds: Option<Field>,
    pub(super) calls_per_minute: Option<u32>,
}

section! {
    /// From the subject to the vendor's id.
    Lookup {
        /// Where the list of people stands; none: the answer is one person.
        list: Option<String>,
        /// Where the id stands in a person.
        id: String,
        /// Where the name stands that must be the subject.
        matches: Option<String>,
        /// Whether capitals make no difference there.
        #[serde(default)]
        ignore_case: bool,
        /// Statuses that say that there is nobody.
        #[serde(default)]
        nobody: Vec<u16>,
        /// Error codes that say that there is nobody.
        #[serde(default)]
        nobody_error: Vec<String>,
    }
}

section! {
    /// Ends a person's sessions.
    End {
        /// The most people in one call; none: one, or one session where `{session}` is in it.
        batch: Option<usize>,
        /// Whether the vendor takes the order and carries it out later.
        #[serde(default)]
        enqueued: bool,
        /// Error codes of a bulk call that some of its people make fail.
        #[serde(default)]
        split_on: Vec<String>,
        /// Where an answer lists people who failed.
        failures: Option<Failures>,
    }
}

/// Where a bulk answer lists people who failed, and where the id stands in each.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failures {
    pub(super) list: String,
    pub(super) id: String,
}

section! {
    /// Shows whether sessions live.
    Verify {
        /// Where the list of sessions stands.
        sessions: Option<String>,
        /// Where the key stands in a session.
        key: Option<String>,
        /// Where the begin stands in a session, if anywhere.
        began_at: Option<String>,
        /// Where it stands when a session was last used, if anywhere.
        last_seen_at: Option<String>,
        /// Where its device or browser stands, if anywhere.
        device: Option<String>,
        /// Where its network address stands, if anywhere.
        address: Option<String>,
        /// Where the person's id stands in a session: one list then serves all.
        owner: Option<String>,
        /// What a session that lives has.
        living: Option<Field>,
        /// Where the time stands that every living session began at or after.
        valid_from: Option<String>,
        /// How further pages are reached.
        next: Option<Next>,
    }
}

section! {
    /// Shows that the credentials are accepted.
    Check {}
}

/// How the next page of a list is reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum Next {
    /// An address stands in the answer.
    Url(String),
    /// An address stands in the header `Link`, with `rel="next"`.
    LinkHeader(bool),
    /// A cursor stands in the answer, and goes into the query, or the form where there is one.
    Cursor { at: String, parameter: String },
}

/// A request for a token (RFC 6749, section 4.4).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    pub(super) url: Template,
    pub(super) form: BTreeMap<String, Template>,
}

/// How often, and how much at once.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rate {
    pub(super) calls_per_minute: Option<u32>,
    pub(super) parallel: Option<usize>,
}

/// What is tried again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    pub(super) statuses: Vec<u16>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { statuses: vec![429, 503] }
    }
}

/// How requests are signed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sign {
    /// The scheme.
    #[serde(rename = "scheme")]
    pub(super) _scheme: Scheme,
    /// The name of the secret.
    pub(super) secret: String,
}

/// The schemes of signatures.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Scheme {
    StandardWebhooks,
}

impl Recipe {
    /// A built-in recipe by its name, or one in a file that ends in `.toml`.
    pub(super) fn load(name: &str) -> Result<Self, String> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
            return Self::parse(text).map_err(|why| format!("recipe {name}: {why}"));
        }
        if std::path::Path::new(name).extension().is_none_or(|ext| ext != "toml") {
            let known: Vec<&str> = BUILT_IN.iter().map(|(known, _)| *known).collect();
            let nearest = known.iter().min_by_key(|known| strsim::damerau_levenshtein(name, known));
            let nearest = nearest.map_or(String::new(), |nearest| format!("did you mean {nearest}? "));
            return Err(format!(
                "recipe {name:?}: {nearest}Known are {}; or the path of a file that ends in .toml",
                known.join(", ")
            ));
        }
        let size = std::fs::metadata(name).map_err(|e| format!("recipe: cannot read {name}: {e}"))?.len();
        if size > RECIPE_BYTES_MAX {
            return Err(format!("recipe {name}: over {RECIPE_BYTES_MAX} bytes"));
        }
        let text = std::fs::read_to_string(name).map_err(|e| format!("recipe: cannot read {name}: {e}"))?;
        Self::parse(&text).map_err(|why| format!("recipe {name}: {why}"))
    }

    /// Reads a text, and says what in it cannot work.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let recipe: Self = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
            format!("line {line}: {}", explain(e.message().lines().next().unwrap_or_default()))
        })?;
        recipe.check_meaning()?;
        recipe.check_calls()?;
        Ok(recipe)
    }

    fn check_meaning(&self) -> Result<(), String> {
        let refuse = |why: &str| Err(why.to_owned());
        if let Some(verify) = &self.verify {
            match (&verify.sessions, &verify.valid_from) {
                (Some(_), Some(_)) | (None, None) => {
                    return refuse("[verify] has sessions, or valid_from, and not both");
                }
                (Some(_), None) if verify.key.is_none() => return refuse("[verify] sessions needs key"),
                (None, Some(_)) if verify.next.is_some() || verify.owner.is_some() => {
                    return refuse("[verify] next and owner go with sessions");
                }
                _ => {}
            }
            if matches!(verify.next, Some(Next::LinkHeader(false))) {
                return refuse("[verify] next: link_header is true, or left out");
            }
        } else if self.ends_by_s.is_some() || self.end.enqueued {
            return refuse(
                "ends_by_s and enqueued need [verify]: nothing else shows that the order was carried out",
            );
        }
        if self.end.batch.is_some_and(|n| n == 0 || n > BATCH_MAX) {
            return Err(format!("[end] batch is 1 to {BATCH_MAX}"));
        }
        if self.lookup.as_ref().is_some_and(|lookup| lookup.list.is_none() && lookup.matches.is_none()) {
            return refuse("[lookup] matches names the field that must be the subject");
        }
        if self.sign.as_ref().is_some_and(|sign| !self.secrets.contains(&sign.secret)) {
            return refuse("[sign] secret is one of secrets");
        }
        let rates = [
            self.rate.calls_per_minute,
            self.lookup.as_ref().and_then(|s| s.calls_per_minute),
            self.end.calls_per_minute,
            self.verify.as_ref().and_then(|s| s.calls_per_minute),
        ];
        if rates.into_iter().flatten().any(|n| n == 0) || self.rate.parallel == Some(0) {
            return refuse("calls_per_minute and parallel are at least 1");
        }
        Ok(())
    }

    /// Every placeholder must have a value where it stands, and no secret stands in an address.
    fn check_calls(&self) -> Result<(), String> {
        let name = |name: &'static str, of: &[Slot]| (name, of.to_vec());
        let person = [Slot::Subject, Slot::Id];
        let (list, one) = (self.end_is_bulk(), self.verify.as_ref().is_some_and(|v| v.owner.is_some()));
        let end = if list { vec![Slot::Ids] } else { vec![Slot::Subject, Slot::Id, Slot::Session] };
        let sections = [
            (name("[lookup]", &[Slot::Subject]), self.lookup.as_ref().map(Lookup::call)),
            (name("[end]", &end), Some(self.end.call())),
            (name("[verify]", if one { &[] } else { &person }), self.verify.as_ref().map(Verify::call)),
            (name("[check]", &[]), self.check.as_ref().map(Check::call)),
        ];
        for ((section, slots), call) in sections {
            let Some(call) = call else { continue };
            let allowed = |slot: &Slot| slots.contains(slot);
            self.check_call(&call, &allowed).map_err(|why| format!("{section} {why}"))?;
        }
        if let Some(token) = &self.token {
            self.check_slots(token.url.slots(), &|slot| *slot == Slot::BaseUrl, false)
                .map_err(|why| format!("[token] {why}"))?;
            self.check_slots(token.form.values().flat_map(Template::slots), &|_| false, true)
                .map_err(|why| format!("[token] {why}"))?;
        }
        let per_session = self.end.call().slots()?.contains(&Slot::Session);
        if per_session && (list || self.verify.as_ref().is_none_or(|v| v.sessions.is_none())) {
            return Err("[end] {session} needs the list of [verify], and no batch".to_owned());
        }
        Ok(())
    }

    /// Whether one call ends many.
    pub(super) fn end_is_bulk(&self) -> bool {
        self.end.batch.is_some()
    }

    fn check_call(&self, call: &Call, allowed: &dyn Fn(&Slot) -> bool) -> Result<(), String> {
        if call.json.is_some() && call.form.is_some() {
            return Err("has json or form, not both".to_owned());
        }
        let address = call.path.slots().chain(call.query.values().flat_map(Template::slots));
        self.check_slots(address, allowed, false)?;
        let rest = call.headers.values().chain(self.headers.values()).flat_map(Template::slots);
        self.check_slots(rest, allowed, true)?;
        self.check_slots(call.slots()?.iter(), allowed, true)
    }

    fn check_slots<'a>(
        &self,
        slots: impl Iterator<Item = &'a Slot>,
        allowed: &dyn Fn(&Slot) -> bool,
        secrets: bool,
    ) -> Result<(), String> {
        for slot in slots {
            match slot {
                Slot::Secret(_) | Slot::Token if !secrets => {
                    return Err("a secret stands in a header or a body, never in an address".to_owned());
                }
                Slot::Secret(name) if !self.secrets.contains(name) => {
                    return Err(format!("{{secret.{name}}}: not among secrets"));
                }
                Slot::Parameter(name)
                    if !self.parameters.contains(name) && !self.defaults.contains_key(name) =>
                {
                    return Err(format!("{{parameter.{name}}}: not among parameters or defaults"));
                }
                Slot::Token if self.token.is_none() => return Err("{token} needs [token]".to_owned()),
                Slot::Subject | Slot::Id | Slot::Ids | Slot::Session | Slot::BaseUrl if !allowed(slot) => {
                    return Err(format!("{{{}}} is not known there", format!("{slot:?}").to_lowercase()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Call {
    /// Every placeholder of path, query and body.
    pub(super) fn slots(&self) -> Result<Vec<Slot>, String> {
        let mut slots: Vec<Slot> = self.path.slots().cloned().collect();
        let fields = self.query.values().chain(self.form.iter().flat_map(BTreeMap::values));
        slots.extend(fields.flat_map(Template::slots).cloned());
        for template in self.json.as_ref().map(templates_in).transpose()?.unwrap_or_default() {
            slots.extend(template.slots().cloned());
        }
        Ok(slots)
    }
}

#[cfg(test)]
#[path = "recipe_tests.rs"]
mod tests;
