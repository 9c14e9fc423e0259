//! Users, groups and memberships, in Box's shapes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{GroupId, MembershipId, UserId};

/// A role in the enterprise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Manages nothing.
    User,
    /// Manages plain users and groups.
    Coadmin,
    /// The primary administrator; there is one.
    Admin,
}

impl Role {
    /// Shows the role as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Coadmin => "coadmin",
            Self::Admin => "admin",
        }
    }
}

/// Whether a user may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// May sign in.
    Active,
    /// May not; becoming inactive ends the user's sessions.
    Inactive,
    /// Box's status for users who may neither delete nor edit content.
    CannotDeleteEdit,
    /// Box's status for users who may not delete, edit or upload content.
    CannotDeleteEditUpload,
}

/// The role of a member in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MembershipRole {
    /// An ordinary member.
    Member,
    /// A group administrator.
    Admin,
}

impl MembershipRole {
    /// Shows the role as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }
}

/// A short form of a user or group inside another object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reference {
    /// `user` or `group`.
    #[serde(rename = "type", default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The id.
    pub id: String,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The login; users only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
}

/// A user as the service answers it. Fields that were not asked for are absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The display name.
    #[serde(default)]
    pub name: Option<String>,
    /// The login, an e-mail address as a rule.
    #[serde(default)]
    pub login: Option<String>,
    /// The role in the enterprise; answered when asked for by `fields`.
    #[serde(default)]
    pub role: Option<Role>,
    /// Whether the user may sign in.
    #[serde(default)]
    pub status: Option<UserStatus>,
    /// When the user was created.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// Every other field of the answer, as it came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Body of `POST /2.0/users`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CreateUser {
    /// The display name, at most 50 characters.
    pub name: String,
    /// The login; required unless `is_platform_access_only` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// `coadmin` or `user` (the default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// `active` (the default) or one of the limited ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<UserStatus>,
    /// The id of the user in an outside system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_app_user_id: Option<String>,
    /// Box's other fields of a user, such as `job_title`, in Box's types. A wrong type is an error; unknown
    /// fields and a `null` are ignored.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Body of `PUT /2.0/users/{id}`: the fields that are present change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpdateUser {
    /// The display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// `coadmin` or `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// `inactive` ends the user's sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<UserStatus>,
    /// The id of the user in an outside system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_app_user_id: Option<String>,
    /// Box's other fields, as in [`CreateUser::other`]. A `null` resets `notification_email`.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A group as the service answers it. Fields that were not asked for are absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The id.
    pub id: GroupId,
    /// The name, unique in the enterprise.
    #[serde(default)]
    pub name: Option<String>,
    /// When the group was created.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// Every other field of the answer, as it came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Body of `POST /2.0/groups`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CreateGroup {
    /// The name, unique in the enterprise.
    pub name: String,
    /// Box's other fields of a group, such as `description`, in Box's types. A wrong type is an error;
    /// unknown fields and a `null` are ignored.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Body of `PUT /2.0/groups/{id}`: the fields that are present change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpdateGroup {
    /// The name, unique in the enterprise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Box's other fields, as in [`CreateGroup::other`].
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// One user's membership in one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupMembership {
    /// The id.
    pub id: MembershipId,
    /// The member.
    #[serde(default)]
    pub user: Option<Reference>,
    /// The group.
    #[serde(default)]
    pub group: Option<Reference>,
    /// The role in the group.
    #[serde(default)]
    pub role: Option<MembershipRole>,
    /// Every other field of the answer, as it came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Body of `POST /2.0/group_memberships`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreateGroupMembership {
    /// The member; only the id is read.
    pub user: Reference,
    /// The group; only the id is read.
    pub group: Reference,
    /// `member` (the default) or `admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<MembershipRole>,
    /// What a group admin may do. Absent keys are on; `null` turns all off.
    #[serde(default, with = "presence", skip_serializing_if = "Option::is_none")]
    pub configurable_permissions: Option<Option<Map<String, Value>>>,
}

/// Body of `PUT /2.0/group_memberships/{id}`: the fields that are present change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpdateGroupMembership {
    /// `member` or `admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<MembershipRole>,
    /// What a group admin may do. Absent keys are on; `null` turns all off.
    #[serde(default, with = "presence", skip_serializing_if = "Option::is_none")]
    pub configurable_permissions: Option<Option<Map<String, Value>>>,
}

/// A page of a list. Offset paging fills `total_count` and `offset`, marker paging `next_marker`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The entries of this page.
    pub entries: Vec<T>,
    /// The most entries that this page could have held.
    #[serde(default)]
    pub limit: Option<u64>,
    /// The number of entries of the whole list.
    #[serde(default)]
    pub total_count: Option<u64>,
    /// The number of entries before this page.
    #[serde(default)]
    pub offset: Option<u64>,
    /// Where the next page starts, opaque; absent or empty at the end.
    #[serde(default)]
    pub next_marker: Option<String>,
}

/// Tells a field that is absent (`None`) from one that is `null` (`Some(None)`).
mod presence {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::option_option, reason = "absent and null differ on this wire")]
    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Option::<T>::deserialize(deserializer).map(Some)
    }

    #[expect(clippy::ref_option, clippy::option_option, reason = "the shape that serde calls")]
    pub(super) fn serialize<T, S>(value: &Option<Option<T>>, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Serialize,
        S: Serializer,
    {
        value.as_ref().and_then(Option::as_ref).serialize(serializer)
    }
}
