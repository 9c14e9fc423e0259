//! Newtypes for the ids of both wires.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub struct $name(pub String);

        impl $name {
            /// Shows the id as it stands on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }
    )*};
}

ids! {
    /// Names an enterprise: the tenant that users, groups and apps belong to.
    EnterpriseId;
    /// Names a user; digits only, as Box's are.
    UserId;
    /// Names a group; digits only.
    GroupId;
    /// Names one user's membership in one group; digits only.
    MembershipId;
    /// Names a termination: the object behind one accepted request.
    TerminationId;
    /// Names an app that may ask for tokens (OAuth 2 `client_id`).
    ClientId;
    /// Names a public key of an app.
    KeyId;
    /// Names a registered session without revealing its secret id: the SHA-256 of it, base64url.
    SessionHandle;
}
