//! Reading apps. Making one is the operator's (`admin`); no secret, and no digest of one, is in what is
//! read.

use super::Error;
use crate::app::App;
use crate::domain::access::{self, Caller};
use crate::domain::marker::List;
use crate::store::AppRow;

/// An app as those see it who manage its enterprise.
#[derive(Clone, Debug)]
pub struct AppView {
    /// The client id.
    pub client_id: String,
    /// The name.
    pub name: String,
    /// Scopes that its tokens may have.
    pub scopes: Vec<String>,
    /// Rights on the registry.
    pub rights: Vec<String>,
    /// Where a browser may be sent back to after a sign-in.
    pub redirect_uris: Vec<String>,
    /// Whether it keeps no secret.
    pub public: bool,
    /// What it may beyond its scopes and rights.
    pub may: Vec<Power>,
    /// How many public keys it has.
    pub keys: u64,
    /// When it was created, in milliseconds since 1970.
    pub created_at: i64,
    /// When its secret was made anew.
    pub secret_rotated_at: Option<i64>,
    /// When it was given a token last.
    pub last_used_at: Option<i64>,
    /// How many seconds it may keep an active answer of introspection; none: until the session expires.
    pub introspection_cache_s: Option<i64>,
}

/// What only the server's operator gives to an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It ends admins and coadmins.
    EndAdmins,
    /// It asks for users' tokens.
    UserTokens,
    /// It sends assertions addressed to Box.
    BoxAudience,
}

/// Lists the apps of the caller's enterprise from a marker on, at most `limit`, with the marker of the next
/// page.
pub async fn list(
    app: &App,
    caller: &Caller,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<AppView>, Option<String>), Error> {
    access::may_read_apps(caller)?;
    let enterprise = &caller.enterprise_id.0;
    let wanted = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let list = List("apps", enterprise);
    let after = list.after("after", after)?;
    let mut rows = app.db.list_apps(enterprise, &after, wanted).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| list.marker(&row.client_id));
    let keys = app.db.count_app_keys(enterprise).await?;
    let keys = |id: &str| keys.iter().find(|(found, _)| found == id).map_or(0, |(_, n)| n.unsigned_abs());
    let views = rows.into_iter().map(|row| {
        let keys = keys(&row.client_id);
        view(row, keys)
    });
    Ok((views.collect(), next))
}

fn view(row: AppRow, keys: u64) -> AppView {
    let words = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect();
    let powers = [
        (Power::EndAdmins, row.may_end_admins_at),
        (Power::UserTokens, row.user_tokens_at),
        (Power::BoxAudience, row.box_audience_at),
    ];
    AppView {
        redirect_uris: row.redirect_uris(),
        scopes: words(&row.scopes),
        rights: words(&row.rights),
        public: row.public_at.is_some(),
        may: powers.into_iter().filter_map(|(power, since)| since.map(|_| power)).collect(),
        keys,
        created_at: row.created_at,
        secret_rotated_at: row.secret_rotated_at,
        last_used_at: row.last_used_at,
        introspection_cache_s: row.introspection_cache_s,
        client_id: row.client_id,
        name: row.name,
    }
}
