//! The registry: apps register sessions, list them, end one, and ask whether one is active.

use std::collections::{HashMap, HashSet};

use lightsout_api::{
    Introspection, OidcSession, RegisterSession, RegisterSessions, RegisteredSession, RegisteredSessions,
    Session, SessionPage, SessionState,
};
use serde_json::json;

use super::tokens::find_token;
use super::{Error, body, retried};
use crate::app::App;
use crate::clock::timestamp;
use crate::domain::access::{self, Caller, INTROSPECT, SESSIONS_READ, SESSIONS_WRITE};
use crate::domain::fold::fold;
use crate::domain::marker::List;
use crate::random::sha256;
use crate::store::{NewOidcSession, NewSession};

/// The most sessions that one request may register.
pub const SESSIONS_MAX: usize = 1_000;

/// Registers sessions: all, or none if an entry is wrong. One that is over already is answered
/// `ended` and not stored; what it is called at a relying party is stored all the same, for a logout
/// token to name.
pub async fn register(
    app: &App,
    caller: &Caller,
    request: RegisterSessions,
) -> Result<RegisteredSessions, Error> {
    caller.needs_right(SESSIONS_WRITE)?;
    if request.sessions.is_empty() || request.sessions.len() > SESSIONS_MAX {
        return Err(Error::invalid(format!("sessions holds 1 to {SESSIONS_MAX} entries")));
    }
    let users = users(app, caller, &request.sessions).await?;
    let mut at_relying_parties = Vec::new();
    let mut prepared = Vec::with_capacity(request.sessions.len());
    for (n, (mut session, user_id)) in request.sessions.into_iter().zip(users).enumerate() {
        let wrong = |why| Error::invalid(format!("sessions[{n}]: {why}"));
        let oidc = session.oidc.take();
        let (row, minted) = prepare(app, caller, session, user_id).map_err(wrong)?;
        if let Some(oidc) = oidc {
            at_relying_parties.push(at_relying_party(oidc, &row).map_err(wrong)?);
        }
        prepared.push((row, minted));
    }
    let rows: Vec<NewSession> = prepared.iter().map(|(row, _)| row.clone()).collect();
    let mut seen = HashSet::new();
    if let Some(twice) = rows.iter().position(|row| !seen.insert(row.session_hash.as_str())) {
        return Err(Error::invalid(format!(
            "sessions[{twice}]: this session_id stands twice in the request"
        )));
    }
    let live = retried!(register_once(app, &rows, &at_relying_parties))?;
    let live: HashMap<String, (String, i64)> =
        live.into_iter().map(|(hash, user, expires_at)| (hash, (user, expires_at))).collect();
    let answer = |(row, minted): (NewSession, Option<String>)| {
        let stored = live.get(&row.session_hash).filter(|(user, _)| *user == row.user_id);
        let is_live = stored.is_some();
        RegisteredSession {
            session_id: minted.filter(|_| is_live),
            user_id: row.user_id.into(),
            state: if is_live { SessionState::Active } else { SessionState::Ended },
            expires_at: timestamp(stored.map_or(row.expires_at, |(_, expires_at)| *expires_at)),
            id: row.session_hash.into(),
        }
    };
    Ok(RegisteredSessions { sessions: prepared.into_iter().map(answer).collect() })
}

async fn register_once(
    app: &App,
    rows: &[NewSession],
    at_relying_parties: &[NewOidcSession],
) -> Result<Vec<(String, String, i64)>, Error> {
    let mut tx = app.db.begin().await?;
    tx.insert_oidc_sessions(at_relying_parties).await?;
    let live = tx.register_sessions(rows, app.clock.now_ms()).await?;
    tx.commit().await?;
    Ok(live)
}

/// The user of each entry, by id or by login.
async fn users(app: &App, caller: &Caller, sessions: &[RegisterSession]) -> Result<Vec<String>, Error> {
    let ids: Vec<String> =
        sessions.iter().filter_map(|s| s.user_id.as_ref().map(|id| id.0.clone())).collect();
    let logins: Vec<String> = sessions.iter().filter_map(|s| s.login.as_deref().map(fold)).collect();
    let by_id = app.db.list_known_users(&caller.enterprise_id.0, &ids, &logins).await?;
    let known: HashSet<&str> = by_id.iter().map(|(id, _)| id.as_str()).collect();
    let by_login: HashMap<&str, &str> =
        by_id.iter().filter_map(|(id, login)| Some((login.as_deref()?, id.as_str()))).collect();
    let mut users = Vec::with_capacity(sessions.len());
    for (n, session) in sessions.iter().enumerate() {
        users.push(match (&session.user_id, &session.login) {
            (Some(id), None) if known.contains(id.as_str()) => id.0.clone(),
            (Some(id), None) => return Err(Error::not_found("user_id", id.as_str())),
            (None, Some(login)) => match by_login.get(fold(login).as_str()) {
                Some(id) => (*id).to_owned(),
                None => return Err(Error::not_found("login", login)),
            },
            _ => {
                return Err(Error::invalid(format!(
                    "sessions[{n}]: name the user by user_id or by login, one of the two"
                )));
            }
        });
    }
    Ok(users)
}

/// Checks one entry. Returns the row, and the minted session id if the app brought none.
fn prepare(
    app: &App,
    caller: &Caller,
    session: RegisterSession,
    user_id: String,
) -> Result<(NewSession, Option<String>), String> {
    let now = app.clock.now_ms();
    let minted = session.session_id.is_none().then(|| app.random.session_id());
    let session_id = session.session_id.or_else(|| minted.clone()).unwrap_or_default();
    if !(16..=512).contains(&session_id.len()) {
        return Err("session_id has 16 to 512 characters; a shorter one could be guessed".to_owned());
    }
    let began_at = session.began_at.map(jiff::Timestamp::as_millisecond);
    if began_at.is_some_and(|at| at > now + app.settings.registry_clock_skew_ms) {
        return Err("began_at lies in the future".to_owned());
    }
    let life = app.settings.session_life_ms;
    let expires_at = session.expires_at.map_or(now + life, jiff::Timestamp::as_millisecond);
    if expires_at <= now || expires_at > now + life {
        return Err(format!("expires_at lies in the future, at most {} s ahead", life / 1000));
    }
    if [&session.device, &session.address].into_iter().flatten().any(|text| text.chars().count() > 200) {
        return Err("device and address are limited to 200 characters".to_owned());
    }
    let row = NewSession {
        session_hash: sha256(&session_id),
        user_id,
        client_id: caller.client_id.as_ref().map(|id| id.0.clone()).unwrap_or_default(),
        began_at: began_at.unwrap_or(now),
        // A begin that the service itself stamped needs no allowance for another clock.
        clock_skew_ms: if began_at.is_some() { app.settings.registry_clock_skew_ms } else { 0 },
        expires_at,
        device: session.device,
        address: session.address,
    };
    Ok((row, minted))
}

/// Checks what a session is called at a relying party.
fn at_relying_party(oidc: OidcSession, row: &NewSession) -> Result<NewOidcSession, String> {
    let fields = [
        ("iss", &oidc.iss, 512),
        ("client_id", &oidc.client_id, 256),
        ("sub", &oidc.sub, 255),
        ("sid", &oidc.sid, 512),
    ];
    if let Some((name, _, max)) = fields.iter().find(|(_, text, max)| !(1..=*max).contains(&text.len())) {
        return Err(format!("oidc.{name} has 1 to {max} bytes"));
    }
    let is_issuer = reqwest::Url::parse(&oidc.iss).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none()
    });
    if !is_issuer {
        return Err(
            "oidc.iss is the provider's issuer, an http or https URL without query or fragment".to_owned()
        );
    }
    Ok(NewOidcSession {
        user_id: row.user_id.clone(),
        iss: oidc.iss,
        client_id: oidc.client_id,
        sid: oidc.sid,
        sub: oidc.sub,
        began_at: row.began_at,
        expires_at: row.expires_at,
    })
}

/// Lists a user's live sessions.
pub async fn list(
    app: &App,
    caller: &Caller,
    user_id: &str,
    marker: Option<&str>,
    limit: i64,
) -> Result<SessionPage, Error> {
    caller.needs_right(SESSIONS_READ)?;
    if app.db.find_user(&caller.enterprise_id.0, user_id).await?.is_none() {
        return Err(Error::not_found("user_id", user_id));
    }
    let list = List("sessions", user_id);
    let after = list.after("marker", marker)?;
    let mut rows = app.db.list_sessions(user_id, &after, app.clock.now_ms(), limit + 1).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_marker = rows.last().filter(|_| more).map(|row| list.marker(&row.session_hash));
    let entries = rows
        .into_iter()
        .map(|row| Session {
            id: row.session_hash.into(),
            user_id: row.user_id.into(),
            client_id: row.client_id.into(),
            began_at: timestamp(row.began_at),
            expires_at: timestamp(row.expires_at),
            device: row.device,
            address: row.address,
        })
        .collect();
    Ok(SessionPage { entries, next_marker })
}

/// Ends one session at once. Its id stays refused until it would have expired.
pub async fn end(app: &App, caller: &Caller, session_hash: &str) -> Result<(), Error> {
    caller.needs_right(SESSIONS_WRITE)?;
    retried!(end_once(app, caller, session_hash))
}

/// The same for a person who manages users: one session of whoever's sessions they may end.
pub async fn end_of_person(app: &App, caller: &Caller, session_hash: &str) -> Result<(), Error> {
    access::may_end_one(caller)?;
    let unknown = || Error::not_found("session", session_hash);
    let session = app.db.find_session(session_hash).await?.ok_or_else(unknown)?;
    let user = app.db.find_user(&caller.enterprise_id.0, &session.user_id).await?.ok_or_else(unknown)?;
    let myself = user.user_id == caller.person.user_id.0;
    access::may_end(caller.standing, user.role(), myself, false)?;
    retried!(end_once(app, caller, session_hash))
}

pub(super) async fn end_once(app: &App, caller: &Caller, session_hash: &str) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    let ended = tx.end_session(&caller.enterprise_id.0, session_hash).await?;
    let Some((user_id, expires_at)) = ended else {
        drop(tx);
        // Another node may have ended it already.
        app.hear().await;
        return Err(Error::not_found("session", session_hash));
    };
    let source = json!({"type": "user", "id": user_id});
    let details = json!({"session": session_hash, "expires_at": expires_at});
    let event = body::caused(caller, "SESSION_ENDED", source, details);
    tx.append_events(&caller.enterprise_id.0, app.clock.now_ms(), &app.random, vec![event]).await?;
    app.commit(tx).await?;
    Ok(())
}

/// Says whether a session id or one of our tokens is active (RFC 7662). Another enterprise's is
/// not: an app learns nothing of it.
pub async fn introspect(app: &App, caller: &Caller, token: &str) -> Result<Introspection, Error> {
    caller.needs_right(INTROSPECT)?;
    let (now, hash) = (app.clock.now_ms(), sha256(token));
    if let Some(session) = app.index.find_session(&hash).await? {
        let active = session.is_active(now) && session.enterprise_id == caller.enterprise_id.0;
        return Ok(if active {
            Introspection {
                active: true,
                sub: Some(session.user_id),
                username: session.login,
                client_id: Some(session.client_id),
                scope: None,
                iat: Some(session.began_at / 1000),
                exp: Some(keep_until(caller, now, session.expires_at)),
                session_expires_at: Some(session.expires_at / 1000),
                token_type: Some("session".to_owned()),
            }
        } else {
            Introspection::default()
        });
    }
    let token = find_token(app, &hash).await?;
    Ok(match token.filter(|t| t.is_active(now) && t.enterprise_id == caller.enterprise_id.0) {
        Some(token) => Introspection {
            active: true,
            sub: Some(token.user_id),
            username: token.login,
            client_id: token.client_id,
            scope: Some(token.scopes),
            iat: Some(token.created_at / 1000),
            exp: Some(keep_until(caller, now, token.expires_at)),
            session_expires_at: Some(token.expires_at / 1000),
            token_type: Some("bearer".to_owned()),
        },
        None => Introspection::default(),
    })
}

/// Until when the caller may keep an active answer, in seconds since 1970: resource servers keep one until
/// its `exp`, and would accept a session that was ended meanwhile. Rounded up, so that a caller whose cache
/// is 2 seconds keeps the answer for 2 seconds at least.
fn keep_until(caller: &Caller, now: i64, expires_at: i64) -> i64 {
    let expires_s = expires_at / 1000;
    let capped_s = |cache_s: i64| (now + 999).div_euclid(1000).saturating_add(cache_s);
    caller.introspection_cache_s.map_or(expires_s, |cache_s| expires_s.min(capped_s(cache_s)))
}
