//! Texts with placeholders. What is put in cannot leave the place where it stands: it is
//! percent-encoded in a path or query, a string in JSON, and refused in a header where it would end it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Instant;

use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;

use crate::clock::timestamp;
use crate::secret::Secret;

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Subject,
    Id,
    Ids,
    Session,
    Now,
    AskedAt,
    Token,
    BaseUrl,
    Secret(String),
    Parameter(String),
}

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Slot(Slot),
}

/// What a value may not be where it is put.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfit(pub(super) &'static str);

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, from)) = rest.split_once('{') {
            let (name, after) =
                from.split_once('}').ok_or_else(|| format!("{text:?}: a placeholder is not closed"))?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Slot(Slot::named(name)?));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        Ok(Self(pieces))
    }
}

impl Slot {
    fn named(name: &str) -> Result<Self, String> {
        Ok(match name {
            "subject" => Self::Subject,
            "id" => Self::Id,
            "ids" => Self::Ids,
            "session" => Self::Session,
            "now" => Self::Now,
            "asked_at" => Self::AskedAt,
            "token" => Self::Token,
            "base_url" => Self::BaseUrl,
            other => match other.split_once('.') {
                Some(("secret", name)) => Self::Secret(name.to_owned()),
                Some(("parameter", name)) => Self::Parameter(name.to_owned()),
                _ => {
                    return Err(format!(
                        "unknown placeholder {{{other}}}; known are subject, id, ids, session, now, asked_at, token, base_url, secret.NAME, parameter.NAME"
                    ));
                }
            },
        })
    }
}

/// What the configuration gives to a recipe.
#[derive(Clone, Debug, Default)]
pub(super) struct Setup {
    pub(super) secrets: BTreeMap<String, Secret>,
    pub(super) parameters: BTreeMap<String, String>,
    /// Without a slash at its end.
    pub(super) base_url: String,
}

/// What the placeholders of one request stand for.
#[derive(Clone, Copy, Default)]
pub(super) struct Scope<'a> {
    pub(super) subject: &'a str,
    pub(super) id: &'a str,
    pub(super) ids: &'a [&'a str],
    pub(super) session: &'a str,
    pub(super) now: i64,
    pub(super) asked_at: i64,
    pub(super) token: &'a str,
    /// When nothing more is called.
    pub(super) until: Option<Instant>,
}

impl Scope<'_> {
    fn value<'s>(&'s self, slot: &Slot, setup: &'s Setup) -> Cow<'s, str> {
        match slot {
            Slot::Subject => self.subject.into(),
            Slot::Id => self.id.into(),
            Slot::Ids => Value::from(self.ids).to_string().into(),
            Slot::Session => self.session.into(),
            Slot::Now => timestamp(self.now).to_string().into(),
            Slot::AskedAt => timestamp(self.asked_at).to_string().into(),
            Slot::Token => self.token.into(),
            Slot::BaseUrl => setup.base_url.as_str().into(),
            // Both were checked to be there when the recipe was read.
            Slot::Secret(name) => {
                setup.secrets.get(name).map_or("", |secret| secret.0.expose_secret()).into()
            }
            Slot::Parameter(name) => setup.parameters.get(name).map_or("", String::as_str).into(),
        }
    }
}

impl Template {
    /// The placeholders in it.
    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Slot(slot) => Some(slot),
            Piece::Text(_) => None,
        })
    }

    /// As it is.
    pub(super) fn text(&self, scope: &Scope<'_>, setup: &Setup) -> String {
        self.put(|slot| scope.value(slot, setup).into_owned())
    }

    /// For a path: values are percent-encoded, so that none adds or leaves a part of it.
    pub(super) fn path(&self, scope: &Scope<'_>, setup: &Setup) -> Result<String, Unfit> {
        let mut empty = false;
        let path = self.put(|slot| {
            let value = scope.value(slot, setup);
            empty |= value.is_empty();
            encode(&value)
        });
        if empty {
            return Err(Unfit("it is empty, and stands in a path"));
        }
        if path.split('/').any(|part| part == "." || part == "..") {
            return Err(Unfit("it would lead to another path"));
        }
        Ok(path)
    }

    /// For a whole address: values that are addresses stay, all others are percent-encoded.
    pub(super) fn address(&self, setup: &Setup) -> String {
        let scope = Scope::default();
        self.put(|slot| {
            let value = scope.value(slot, setup);
            if value.contains("://") { value.into_owned() } else { encode(&value) }
        })
    }

    /// For one value of a query.
    pub(super) fn query(&self, scope: &Scope<'_>, setup: &Setup) -> String {
        encode(&self.text(scope, setup))
    }

    /// Without a value for any placeholder: for people.
    pub(super) fn shown(&self) -> String {
        self.put(|slot| match slot {
            Slot::Secret(name) => format!("{{secret.{name}}}"),
            Slot::Parameter(name) => format!("{{parameter.{name}}}"),
            other => format!("{{{}}}", format!("{other:?}").to_lowercase()),
        })
    }

    fn put(&self, mut value: impl FnMut(&Slot) -> String) -> String {
        self.0.iter().fold(String::new(), |mut text, piece| {
            match piece {
                Piece::Text(own) => text.push_str(own),
                Piece::Slot(slot) => text.push_str(&value(slot)),
            }
            text
        })
    }
}

/// A JSON value whose texts are templates. A text that is `{ids}` alone becomes a list.
pub(super) fn json(value: &Value, scope: &Scope<'_>, setup: &Setup) -> Value {
    match value {
        Value::String(text) if text == "{ids}" => Value::from(scope.ids),
        Value::String(text) => match Template::try_from(text.clone()) {
            Ok(template) => Value::String(template.text(scope, setup)),
            // It was checked when the recipe was read.
            Err(_) => Value::Null,
        },
        Value::Array(items) => items.iter().map(|item| json(item, scope, setup)).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(k, v)| (k.clone(), json(v, scope, setup))).collect())
        }
        other => other.clone(),
    }
}

/// The templates in a JSON value.
pub(super) fn templates_in(value: &Value) -> Result<Vec<Template>, String> {
    Ok(match value {
        Value::String(text) => vec![Template::try_from(text.clone())?],
        Value::Array(items) => {
            items.iter().map(templates_in).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()
        }
        Value::Object(fields) => {
            fields.values().map(templates_in).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()
        }
        _ => Vec::new(),
    })
}

/// Percent-encodes everything but what RFC 3986 calls unreserved.
pub(super) fn encode(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte.into());
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn template(text: &str) -> Template {
        Template::try_from(text.to_owned()).expect("a template")
    }

    #[test]
    fn unknown_and_open_placeholders_are_refused() {
        for wrong in ["/users/{user}", "/users/{id", "{secrets.x}", "{}"] {
            assert!(Template::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_that_is_a_step_in_a_path_is_refused() {
        let setup = Setup::default();
        for wrong in [".", "..", ""] {
            let scope = Scope { subject: wrong, ..Scope::default() };
            assert!(template("/users/{subject}/sessions").path(&scope, &setup).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn a_path_keeps_its_parts_whatever_the_name(subject in "\\PC{1,20}|[./?#%\\\\&=;: ]{1,8}") {
            let scope = Scope { subject: &subject, ..Scope::default() };
            let Ok(path) = template("/a/{subject}/b").path(&scope, &Setup::default()) else {
                prop_assert!(subject == "." || subject == "..");
                return Ok(());
            };
            let url: reqwest::Url = format!("https://vendor.example{path}?q={}", encode(&subject)).parse().expect("a URL");
            let parts: Vec<&str> = url.path_segments().expect("a path").collect();
            prop_assert_eq!((parts.len(), parts[0], parts[2]), (3, "a", "b"));
            prop_assert_eq!(url.host_str(), Some("vendor.example"));
            let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            prop_assert_eq!(pairs, vec![("q".to_owned(), subject.clone())]);
            prop_assert_eq!(url.fragment(), None);
        }
    }
}
