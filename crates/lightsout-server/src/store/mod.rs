//! The database: SQL texts, rows, and the transactions they run in. Nothing here decides.

mod apps;
mod changes;
mod connect;
mod credentials;
mod db;
mod directory;
mod events;
mod grants;
mod jobs;
mod log;
mod memberships;
mod migrate;
mod people;
mod relying_parties;
mod retention;
mod sessions;
mod targets;
mod terminations;
mod watch;

pub use apps::{AppKeyRow, AppRow, TokenFacts, TokenRow};
pub use changes::{BarrierRow, ChangeRow, IndexRow};
pub use credentials::{IdentityRow, PendingRow, SecondFactorRow, SignInRow};
pub use db::{Db, DbError, Row, Tx, Value};
pub use directory::{EnterpriseRow, GroupRow, UserFilter, UserRow};
pub use events::{BrokenLink, EventFilter, EventRow, Head, NewEvent};
pub use grants::{CodeRow, DerivedToken, GrantRow, NewGrant, RefreshRow};
pub use jobs::{JobRow, JobTarget, Settled, SettledJob, SettledOutcome};
pub use log::{ChainEnds, LogFilter, Named, follow as follow_chain};
pub use memberships::MembershipRow;
pub use migrate::{MigrateError, migrate};
pub use relying_parties::{NewOidcSession, OidcSessionRow};
pub use retention::{Retention, Walk};
pub use sessions::{NewSession, SessionFacts, SessionRow};
pub use targets::{Chosen, TargetFacts};
pub use terminations::{NewTermination, OutcomeRow, TerminationRow};
pub use watch::{OpenJobs, Proven, SystemJobs};
