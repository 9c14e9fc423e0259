//! Box's fields of users and groups: the type of each, and who sets it.
//!
//! The two tables follow Box's OpenAPI document: the bodies of `POST` and `PUT`, and the schemas
//! `User--Full` and `Group--Full`. Fields that the service decides (`id`, `created_at`, `enterprise`) are
//! not in them, and neither are their rules: those are in the operations.

use serde_json::{Map, Value, json};

use super::text::too_long;

/// The most tracking codes of a user.
const CODES_MAX: usize = 100;
/// The most that they take together, in bytes of JSON. All other fields have a length of their own, so a
/// profile is never much larger.
const CODES_BYTES_MAX: usize = 8 * 1024;
/// The longest name or value of a tracking code, and the longest e-mail address, in characters.
const TEXT_MAX: usize = 255;

/// What a field holds.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A text; the operation checks what it says.
    Checked,
    /// A text of at most `max` characters. Without a stored one the answer has `unset`, or no such field.
    Text { max: usize, unset: Option<&'static str> },
    /// One of these words; unset, it is the first.
    Word(&'static [&'static str]),
    /// A whole number of 64 bits that is at least this.
    Number(i64),
    /// True or false.
    Flag,
    /// A list of texts.
    Texts,
    /// A list of `{type, name, value}`.
    TrackingCodes,
    /// `{email, is_confirmed}` or null.
    Email,
    /// What the caller may do with a group.
    Permissions,
}

/// Who sets a field, and whether it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Callers, when they create and when they change.
    Writable,
    /// Callers, when they create.
    AtCreation,
    /// Callers, when they change.
    AtUpdate,
    /// Callers may send it with a change; it has no effect and is not kept.
    NoEffect,
    /// Nobody: a value that is sent is ignored.
    ReadOnly,
}

/// A field.
#[derive(Debug)]
struct Field {
    name: &'static str,
    kind: Kind,
    access: Access,
}

/// The fields of one kind of object.
#[derive(Debug)]
pub struct Fields {
    /// Those with a column of their own.
    columns: &'static [Field],
    /// Those that are stored as one profile.
    profile: &'static [Field],
}

/// The request that a field is sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `POST`.
    Create,
    /// `PUT`.
    Update,
}

/// What is wrong with a field or a parameter.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The field or parameter.
    pub field: &'static str,
    /// What is wrong with it, so that it reads well after the name.
    pub message: String,
}

/// A profile as it is answered.
#[derive(Debug, PartialEq)]
pub struct Shown {
    /// Every field in Box's type.
    pub fields: Map<String, Value>,
    /// The fields whose stored value has another type; `profile` where nothing can be read.
    pub damaged: Vec<&'static str>,
}

const ROLES: &[&str] = &["user", "coadmin", "admin"];
const STATUSES: &[&str] = &["active", "inactive", "cannot_delete_edit", "cannot_delete_edit_upload"];
const LEVELS: &[&str] = &["admins_only", "admins_and_members", "all_managed_users"];

const fn field(name: &'static str, kind: Kind, access: Access) -> Field {
    Field { name, kind, access }
}

const fn text(max: usize, unset: Option<&'static str>) -> Kind {
    Kind::Text { max, unset }
}

/// Box's fields of a user.
pub const USER: Fields = Fields {
    columns: &[
        field("name", Kind::Checked, Access::Writable),
        field("login", Kind::Checked, Access::Writable),
        field("role", Kind::Word(ROLES), Access::Writable),
        field("status", Kind::Word(STATUSES), Access::Writable),
        field("external_app_user_id", Kind::Checked, Access::Writable),
    ],
    profile: &[
        field("language", text(50, Some("en")), Access::Writable),
        field("timezone", text(100, Some("UTC")), Access::Writable),
        field("job_title", text(100, Some("")), Access::Writable),
        field("phone", text(100, Some("")), Access::Writable),
        field("address", text(255, Some("")), Access::Writable),
        // -1 is unlimited.
        field("space_amount", Kind::Number(-1), Access::Writable),
        field("tracking_codes", Kind::TrackingCodes, Access::Writable),
        field("can_see_managed_users", Kind::Flag, Access::Writable),
        field("is_sync_enabled", Kind::Flag, Access::Writable),
        field("is_external_collab_restricted", Kind::Flag, Access::Writable),
        field("is_exempt_from_device_limits", Kind::Flag, Access::Writable),
        field("is_exempt_from_login_verification", Kind::Flag, Access::Writable),
        field("is_platform_access_only", Kind::Flag, Access::AtCreation),
        field("notification_email", Kind::Email, Access::AtUpdate),
        field("is_password_reset_required", Kind::Flag, Access::NoEffect),
        field("notify", Kind::Flag, Access::NoEffect),
        field("space_used", Kind::Number(0), Access::ReadOnly),
        field("max_upload_size", Kind::Number(0), Access::ReadOnly),
        field("avatar_url", text(0, Some("")), Access::ReadOnly),
        field("hostname", text(0, Some("")), Access::ReadOnly),
        field("my_tags", Kind::Texts, Access::ReadOnly),
    ],
};

/// Box's fields of a group.
pub const GROUP: Fields = Fields {
    columns: &[field("name", Kind::Checked, Access::Writable)],
    profile: &[
        field("provenance", text(255, None), Access::Writable),
        field("external_sync_identifier", text(255, None), Access::Writable),
        field("description", text(255, Some("")), Access::Writable),
        field("invitability_level", Kind::Word(LEVELS), Access::Writable),
        field("member_viewability_level", Kind::Word(LEVELS), Access::Writable),
        field("permissions", Kind::Permissions, Access::ReadOnly),
    ],
};

impl Fields {
    /// Keeps what a request may set, each value in Box's type. Unknown and read-only fields are left out,
    /// and so is a `null`, unless `null` is a value of that field.
    pub fn accept(&self, change: Change, body: &Map<String, Value>) -> Result<Map<String, Value>, Wrong> {
        let mut kept = Map::new();
        for field in self.columns.iter().chain(self.profile) {
            let Some(value) = body.get(field.name).filter(|_| field.access.allows(change)) else { continue };
            if value.is_null() && !matches!(field.kind, Kind::Email) {
                continue;
            }
            let value = field.kind.read(value).filter(|value| field.kind.is_in_range(value));
            let wrong = || Wrong { field: field.name, message: field.kind.describe() };
            let value = value.ok_or_else(wrong)?;
            if let Some(message) = field.kind.oversize(&value) {
                return Err(Wrong { field: field.name, message });
            }
            if field.access != Access::NoEffect {
                kept.insert(field.name.to_owned(), value);
            }
        }
        if change == Change::Create && !kept.contains_key("name") {
            return Err(Wrong { field: "name", message: "is required".to_owned() });
        }
        Ok(kept)
    }

    /// The profile to store: the fields of the stored one that have Box's types, changed by what a request
    /// sent.
    pub fn merge(&self, stored: &str, sent: &Map<String, Value>) -> String {
        let stored: Map<String, Value> = serde_json::from_str(stored).unwrap_or_default();
        let mut merged = Map::new();
        for field in self.profile.iter().filter(|field| field.access.is_stored()) {
            let sent = sent.get(field.name).cloned();
            let value = sent.or_else(|| stored.get(field.name).and_then(|value| field.kind.read(value)));
            merged.extend(value.map(|value| (field.name.to_owned(), value)));
        }
        Value::Object(merged).to_string()
    }

    /// A stored profile as it is answered. What is damaged is shown as if it were unset.
    pub fn show(&self, stored: &str) -> Shown {
        let read = serde_json::from_str::<Map<String, Value>>(stored);
        let damaged = if read.is_err() { vec!["profile"] } else { Vec::new() };
        let mut shown = Shown { fields: Map::new(), damaged };
        let stored = read.unwrap_or_default();
        for field in self.profile.iter().filter(|field| field.access != Access::NoEffect) {
            // A read-only field that was stored was once sent, and says nothing.
            let value = stored.get(field.name).filter(|_| field.access.is_stored());
            let read = value.and_then(|value| field.kind.read(value));
            if read.is_none() && value.is_some_and(|value| !value.is_null()) {
                shown.damaged.push(field.name);
            }
            let value = read.or_else(|| field.kind.unset());
            shown.fields.extend(value.map(|value| (field.name.to_owned(), value)));
        }
        shown
    }
}

impl Access {
    fn is_stored(self) -> bool {
        !matches!(self, Self::NoEffect | Self::ReadOnly)
    }

    fn allows(self, change: Change) -> bool {
        match self {
            Self::Writable => true,
            Self::AtCreation => change == Change::Create,
            Self::AtUpdate | Self::NoEffect => change == Change::Update,
            Self::ReadOnly => false,
        }
    }
}

impl Kind {
    /// The value in Box's type; none: it has another type.
    fn read(self, value: &Value) -> Option<Value> {
        match self {
            Self::Checked | Self::Text { .. } => value.is_string().then(|| value.clone()),
            Self::Word(words) => value.as_str().filter(|word| words.contains(word)).map(Value::from),
            Self::Number(_) => value.as_i64().map(Value::from),
            Self::Flag => value.as_bool().map(Value::from),
            Self::Texts => value.as_array()?.iter().all(Value::is_string).then(|| value.clone()),
            Self::TrackingCodes => {
                value.as_array()?.iter().map(tracking_code).collect::<Option<Vec<Value>>>().map(Value::from)
            }
            Self::Email if value.is_null() => Some(Value::Null),
            // Nothing here confirms an address.
            Self::Email => Some(json!({"email": value.get("email")?.as_str()?, "is_confirmed": false})),
            Self::Permissions => None,
        }
    }

    fn is_in_range(self, value: &Value) -> bool {
        match self {
            Self::Number(min) => value.as_i64().is_some_and(|number| number >= min),
            _ => true,
        }
    }

    /// What is answered where nothing is stored; none: no such field.
    fn unset(self) -> Option<Value> {
        match self {
            Self::Checked => None,
            Self::Text { unset, .. } => unset.map(Value::from),
            Self::Word(words) => words.first().copied().map(Value::from),
            Self::Number(_) => Some(json!(0)),
            Self::Flag => Some(json!(false)),
            Self::Texts | Self::TrackingCodes => Some(json!([])),
            Self::Email => Some(Value::Null),
            // A group is no collaborator of anything here.
            Self::Permissions => Some(json!({"can_invite_as_collaborator": false})),
        }
    }

    /// What a value of this type is, in words.
    fn describe(self) -> String {
        match self {
            Self::Checked | Self::Text { .. } => "must be a string".to_owned(),
            Self::Word(words) => format!("must be one of {}", words.join(", ")),
            Self::Number(min) => format!("must be a whole number, at least {min}"),
            Self::Flag => "must be true or false".to_owned(),
            Self::Texts => "must be a list of strings".to_owned(),
            Self::TrackingCodes => {
                "must be a list of objects with type tracking_code and the strings name and value".to_owned()
            }
            Self::Email => "must be null or an object with the string email".to_owned(),
            Self::Permissions => "must be an object of true and false".to_owned(),
        }
    }

    /// Says that a value of this type is too large.
    fn oversize(self, value: &Value) -> Option<String> {
        let texts = |value: &Value, name: &str| too_long(value[name].as_str().unwrap_or_default(), TEXT_MAX);
        match self {
            Self::Text { max, .. } => too_long(value.as_str()?, max),
            Self::Email => texts(value, "email").map(|why| format!("has an email that {why}")),
            Self::TrackingCodes => {
                let codes = value.as_array()?;
                if codes.len() > CODES_MAX {
                    return Some(format!("has {} entries; at most {CODES_MAX}", codes.len()));
                }
                let bytes = value.to_string().len();
                if bytes > CODES_BYTES_MAX {
                    return Some(format!("takes {bytes} bytes; at most {CODES_BYTES_MAX}"));
                }
                let named = |code: &Value, name: &str| {
                    texts(code, name).map(|why| format!("has a {name} that {why}"))
                };
                codes.iter().find_map(|code| named(code, "name").or_else(|| named(code, "value")))
            }
            _ => None,
        }
    }
}

/// A tracking code in Box's shape, in which every field is optional.
fn tracking_code(code: &Value) -> Option<Value> {
    let sent = code.as_object()?.iter().filter(|(_, value)| !value.is_null());
    let mut read = Map::from_iter([("type".to_owned(), json!("tracking_code"))]);
    for (name, value) in sent {
        match (name.as_str(), value) {
            ("type", value) if value == "tracking_code" => {}
            ("name" | "value", Value::String(_)) => drop(read.insert(name.clone(), value.clone())),
            ("type" | "name" | "value", _) => return None,
            _ => {}
        }
    }
    Some(Value::Object(read))
}
