//! Who may do what: pure decisions over facts, each refusal with its reason.
//!
//! The table of every standing, scope and target is kept as a snapshot beside the tests. Nothing
//! here reads the database; callers bring the facts.

use lightsout_api::{ClientId, EnterpriseId, Role, UserId};
use serde_json::{Map, Value};

/// Ends users' sessions, and reads and writes users.
pub const MANAGE_USERS: &str = "manage_managed_users";
/// Ends groups' sessions, and reads and writes groups and memberships.
pub const MANAGE_GROUPS: &str = "manage_groups";
/// Reads the admin events and every termination.
pub const MANAGE_ENTERPRISE: &str = "manage_enterprise_properties";
/// The scopes that an app or token may have here.
pub const SCOPES: [&str; 3] = [MANAGE_USERS, MANAGE_GROUPS, MANAGE_ENTERPRISE];

/// Registers and ends registry sessions.
pub const SESSIONS_WRITE: &str = "sessions.write";
/// Lists registry sessions.
pub const SESSIONS_READ: &str = "sessions.read";
/// Asks whether a session or token is active.
pub const INTROSPECT: &str = "introspect";
/// Follows the barrier feed.
pub const FEED: &str = "feed";
/// The rights that only the server's operator gives to an app.
pub const RIGHTS: [&str; 4] = [SESSIONS_WRITE, SESSIONS_READ, INTROSPECT, FEED];

/// What a caller is in the enterprise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A plain user; may still administer groups.
    User,
    /// An app's service account: a coadmin, and more where the operator said so.
    Service {
        /// Whether it may end the sessions of admins and coadmins.
        may_end_admins: bool,
    },
    /// A coadmin.
    Coadmin,
    /// The primary admin.
    Admin,
}

impl Standing {
    fn rank(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Service { .. } | Self::Coadmin => 2,
            Self::Admin => 3,
        }
    }

    fn manages(self) -> bool {
        self.rank() >= 2
    }
}

/// The account whose token was sent with `As-User`, or the person behind the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The id.
    pub user_id: UserId,
    /// The login; service accounts have one, too.
    pub login: Option<String>,
    /// The display name.
    pub name: String,
}

/// Who is calling, as authentication found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The person or service account on whose behalf the call is made.
    pub person: Person,
    /// The tenant.
    pub enterprise_id: EnterpriseId,
    /// What that person is.
    pub standing: Standing,
    /// The token's scopes.
    pub scopes: Vec<String>,
    /// The app's rights; none for a person's own token.
    pub rights: Vec<String>,
    /// The app that the token was given to.
    pub client_id: Option<ClientId>,
    /// How many seconds that app may keep an active answer of introspection; none: until the session expires.
    pub introspection_cache_s: Option<i64>,
    /// Who sent the token, if `As-User` named somebody else.
    pub sent_by: Option<Person>,
}

impl Caller {
    /// Who asked: the sender of the token.
    pub fn asked_by(&self) -> &Person {
        self.sent_by.as_ref().unwrap_or(&self.person)
    }

    /// Requires a scope of the token.
    pub fn needs_scope(&self, scope: &'static str) -> Result<(), Denied> {
        if self.scopes.iter().any(|s| s == scope) { Ok(()) } else { Err(Denied::Scope(scope)) }
    }

    /// Requires a right that the operator gave to the app.
    pub fn needs_right(&self, right: &'static str) -> Result<(), Denied> {
        if self.rights.iter().any(|r| r == right) { Ok(()) } else { Err(Denied::Right(right)) }
    }
}

/// A refusal and its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The token lacks a scope.
    #[error("the token lacks the scope {0}")]
    Scope(&'static str),
    /// The app lacks a right.
    #[error("the app lacks the right {0}; the server's operator can give it")]
    Right(&'static str),
    /// The caller's role is too low.
    #[error("{0}")]
    Role(&'static str),
}

/// Whether the caller may end anybody's sessions at all. Asked before any look-up, so that a caller
/// without the power cannot learn which ids exist.
pub fn may_end_anyone(caller: &Caller, users: bool, groups: bool, administers: bool) -> Result<(), Denied> {
    if users {
        caller.needs_scope(MANAGE_USERS)?;
    }
    if groups {
        caller.needs_scope(MANAGE_GROUPS)?;
    }
    if caller.standing.manages() || administers {
        Ok(())
    } else {
        Err(Denied::Role("only admins, and group admins who can edit accounts, may end sessions"))
    }
}

/// Whether a caller of `standing` may end the sessions of a person with `role`.
///
/// `myself`: the target is the caller. `administered`: the target was reached through a group that
/// the caller administers with `can_edit_accounts`.
pub fn may_end(standing: Standing, role: Role, myself: bool, administered: bool) -> Result<(), Denied> {
    match (standing, role) {
        (Standing::Admin | Standing::Service { may_end_admins: true }, _) => Ok(()),
        (Standing::Service { .. } | Standing::Coadmin, Role::User) => Ok(()),
        (Standing::Service { .. } | Standing::Coadmin, _) if myself => Ok(()),
        (Standing::Service { .. } | Standing::Coadmin, Role::Admin) => {
            Err(Denied::Role("a coadmin may not end the admin's sessions"))
        }
        (Standing::Service { .. } | Standing::Coadmin, Role::Coadmin) => {
            Err(Denied::Role("a coadmin may not end another coadmin's sessions"))
        }
        (Standing::User, Role::User) if administered => Ok(()),
        (Standing::User, _) => {
            Err(Denied::Role("a group admin may end the sessions of that group's plain users only"))
        }
    }
}

/// Whether the caller may read the admin events.
pub fn may_read_events(caller: &Caller) -> Result<(), Denied> {
    caller.needs_scope(MANAGE_ENTERPRISE)?;
    needs_manager(caller, "only admins and coadmins may read the admin events")
}

/// Whether the caller may see the systems of their enterprise, and look whether they answer.
pub fn may_read_systems(caller: &Caller) -> Result<(), Denied> {
    caller.needs_scope(MANAGE_ENTERPRISE)?;
    needs_manager(caller, "only admins and coadmins may see the systems")
}

/// Whether the caller may see the apps of their enterprise. No secret is shown to anybody.
pub fn may_read_apps(caller: &Caller) -> Result<(), Denied> {
    caller.needs_scope(MANAGE_ENTERPRISE)?;
    needs_manager(caller, "only admins and coadmins may see the apps")
}

/// Whether the caller may read a termination that `asked_by` asked for.
pub fn may_read_termination(caller: &Caller, asked_by: &UserId) -> Result<(), Denied> {
    if caller.standing == Standing::Admin
        || caller.person.user_id == *asked_by
        || caller.asked_by().user_id == *asked_by
    {
        return Ok(());
    }
    may_read_events(caller)
}

/// Whether the caller may read all users, groups or memberships; `scope` says which.
pub fn may_read_directory(caller: &Caller, scope: &'static str) -> Result<(), Denied> {
    caller.needs_scope(scope)?;
    needs_manager(caller, "only admins and coadmins may read this")
}

/// Whether the caller may end registry sessions one by one in the console, where they have no app's right:
/// whoever manages users. Whose, [`may_end`] says.
pub fn may_end_one(caller: &Caller) -> Result<(), Denied> {
    caller.needs_scope(MANAGE_USERS)?;
    needs_manager(caller, "only admins and coadmins may end single sessions")
}

/// Whether the caller may change a user from role `from` (none: a new one) to role `to`.
pub fn may_write_user(caller: &Caller, from: Option<Role>, to: Role) -> Result<(), Denied> {
    caller.needs_scope(MANAGE_USERS)?;
    needs_manager(caller, "only admins and coadmins may change users")?;
    let myself_only = Denied::Role("nobody changes a user whose role is equal to or above their own");
    if from.is_some_and(|role| role_rank(role) >= caller.standing.rank()) {
        return Err(myself_only);
    }
    if role_rank(to) >= caller.standing.rank() {
        return Err(Denied::Role("nobody grants a role equal to or above their own"));
    }
    Ok(())
}

/// Whether the caller may create, change or delete groups.
pub fn may_write_groups(caller: &Caller) -> Result<(), Denied> {
    caller.needs_scope(MANAGE_GROUPS)?;
    needs_manager(caller, "only admins and coadmins may change groups")
}

/// Whether the caller may change the members of a group. `granted`: the caller administers that
/// group and an admin gave that membership the permission `can_edit_memberships`.
pub fn may_write_membership(caller: &Caller, granted: bool) -> Result<(), Denied> {
    caller.needs_scope(MANAGE_GROUPS)?;
    if granted {
        return Ok(());
    }
    needs_manager(caller, "only admins, and group admins with can_edit_memberships, may change members")
}

/// Whether the caller may make somebody a group admin, or say what a group admin may do.
pub fn may_appoint_group_admin(caller: &Caller, permissions: &Permissions) -> Result<(), Denied> {
    needs_manager(caller, "only admins and coadmins appoint group admins")?;
    if permissions.can_edit_memberships() && caller.standing != Standing::Admin {
        return Err(Denied::Role("only the admin grants can_edit_memberships"));
    }
    Ok(())
}

/// Whether the caller may act as somebody with `role` (`As-User`).
pub fn may_act_as(standing: Standing, role: Role, service: bool) -> Result<(), Denied> {
    if service {
        return Err(Denied::Role("a service account cannot be the target of As-User"));
    }
    if standing.manages() && role_rank(role) < standing.rank() {
        Ok(())
    } else {
        Err(Denied::Role("As-User needs a caller who outranks the user"))
    }
}

fn needs_manager(caller: &Caller, otherwise: &'static str) -> Result<(), Denied> {
    if caller.standing.manages() { Ok(()) } else { Err(Denied::Role(otherwise)) }
}

fn role_rank(role: Role) -> u8 {
    match role {
        Role::User => 1,
        Role::Coadmin => 2,
        Role::Admin => 3,
    }
}

/// What a group admin may do, from Box's `configurable_permissions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// All off (`null` on the wire).
    None,
    /// Box's keys that are absent are on; ours are off.
    Some(Map<String, Value>),
}

impl Permissions {
    /// None is named: Box's are on, ours are off.
    pub fn unsaid() -> Self {
        Self::Some(Map::new())
    }

    /// Reads the stored or sent form: `null` or an object of booleans.
    pub fn parse(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self::None),
            Value::Object(map) if map.values().all(Value::is_boolean) => Some(Self::Some(map.clone())),
            _ => None,
        }
    }

    /// Box's permission to edit accounts: on unless it was turned off.
    pub fn can_edit_accounts(&self) -> bool {
        self.key("can_edit_accounts", true)
    }

    /// Our permission to change a group's members: off unless an admin turned it on.
    pub fn can_edit_memberships(&self) -> bool {
        self.key("can_edit_memberships", false)
    }

    fn key(&self, key: &str, absent: bool) -> bool {
        match self {
            Self::None => false,
            Self::Some(map) => map.get(key).map_or(absent, |on| on == &Value::Bool(true)),
        }
    }
}
