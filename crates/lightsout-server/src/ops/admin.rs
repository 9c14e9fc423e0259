//! Set-up by the server's operator: enterprises, apps, keys and developer tokens.
//!
//! These run on the server's own machine, with its database; whoever can is its operator.

use lightsout_api::{ClientId, EnterpriseId, KeyId, Role, UserId};
use serde_json::{Value, json};

use super::{Error, groups, user_reference, users};
use crate::app::App;
use crate::domain::access::{RIGHTS, SCOPES};
use crate::domain::redirect;
use crate::random::sha256;
use crate::store::{AppKeyRow, AppRow, DbError, NewEvent, TokenRow, UserRow};

/// Makes an enterprise and its primary admin.
pub async fn create_enterprise(
    app: &App,
    name: &str,
    admin_login: &str,
    admin_name: &str,
) -> Result<(EnterpriseId, UserId), Error> {
    let (now, enterprise_id) = (app.clock.now_ms(), app.random.numeric_id());
    let admin = UserRow {
        user_id: app.random.numeric_id(),
        enterprise_id: enterprise_id.clone(),
        login: Some(users::check_login(admin_login)?),
        name: users::check_name(admin_name)?,
        role: Role::Admin.as_str().to_owned(),
        status: "active".to_owned(),
        external_id: None,
        service_of: None,
        profile: "{}".to_owned(),
        created_at: now,
        modified_at: now,
    };
    let mut tx = app.db.begin().await?;
    tx.insert_enterprise(&enterprise_id, &groups::check_name(name)?, now).await?;
    tx.insert_user(&admin).await.map_err(|error| match error {
        DbError::Duplicate => Error::Conflict {
            code: "user_login_already_used",
            message: format!("a user with the login {admin_login} exists already"),
        },
        error => error.into(),
    })?;
    let event = by_operator("NEW_USER", json!(user_reference(&admin)));
    tx.append_events(&enterprise_id, now, &app.random, vec![event]).await?;
    app.commit(tx).await?;
    Ok((enterprise_id.into(), admin.user_id.into()))
}

/// How many seconds a new app may keep an active answer of introspection, unless the operator says otherwise.
pub const INTROSPECTION_CACHE_S: u32 = 2;

/// An app to make.
#[derive(Clone, Debug)]
pub struct NewApp {
    /// The tenant.
    pub enterprise_id: String,
    /// The name.
    pub name: String,
    /// Scopes of its tokens.
    pub scopes: Vec<String>,
    /// Rights on the registry.
    pub rights: Vec<String>,
    /// Whether it may end admins and coadmins.
    pub may_end_admins: bool,
    /// Whether it may ask for users' tokens.
    pub user_tokens: bool,
    /// Whether it may send assertions addressed to Box.
    pub box_audience: bool,
    /// Where a browser may be sent back to after a sign-in.
    pub redirect_uris: Vec<String>,
    /// How many seconds it may keep an active answer of introspection; none: until the session expires.
    pub introspection_cache_s: Option<u32>,
}

impl Default for NewApp {
    fn default() -> Self {
        Self {
            enterprise_id: String::new(),
            name: String::new(),
            scopes: Vec::new(),
            rights: Vec::new(),
            may_end_admins: false,
            user_tokens: false,
            box_audience: false,
            redirect_uris: Vec::new(),
            introspection_cache_s: Some(INTROSPECTION_CACHE_S),
        }
    }
}

/// Makes an app and its service account. The secret is returned this once.
pub async fn create_app(app: &App, new: &NewApp) -> Result<(ClientId, String), Error> {
    let secret = app.random.secret();
    let client_id = insert_app(app, new, Some(&secret)).await?;
    Ok((client_id, secret))
}

/// Makes an app that can keep no secret: a program on people's devices. All it can do is ask people to sign
/// in.
pub async fn create_public_app(app: &App, new: &NewApp) -> Result<ClientId, Error> {
    if new.may_end_admins || new.user_tokens || new.box_audience || !new.rights.is_empty() {
        let message = "a public app cannot prove who it is, so it can have nothing of its own: no rights, no \
                       tokens without a sign-in, no power over admins";
        return Err(Error::invalid(message));
    }
    if new.redirect_uris.is_empty() {
        return Err(Error::invalid("a public app has a redirect URI: it can do nothing but sign people in"));
    }
    insert_app(app, new, None).await
}

async fn insert_app(app: &App, new: &NewApp, secret: Option<&str>) -> Result<ClientId, Error> {
    known("scope", &new.scopes, &SCOPES)?;
    known("right", &new.rights, &RIGHTS)?;
    for uri in &new.redirect_uris {
        redirect::may_register(uri, secret.is_none())
            .map_err(|why| Error::invalid(format!("{uri:?}: {why}")))?;
    }
    if app.db.find_enterprise(&new.enterprise_id).await?.is_none() {
        return Err(Error::not_found("enterprise", &new.enterprise_id));
    }
    let now = app.clock.now_ms();
    let client_id = app.random.id("app_");
    let account = UserRow {
        user_id: app.random.numeric_id(),
        enterprise_id: new.enterprise_id.clone(),
        login: Some(format!("AutomationUser_{client_id}@apps.lightsout.invalid")),
        name: groups::check_name(&new.name)?,
        role: Role::Coadmin.as_str().to_owned(),
        status: "active".to_owned(),
        external_id: None,
        service_of: Some(client_id.clone()),
        profile: "{}".to_owned(),
        created_at: now,
        modified_at: now,
    };
    let row = AppRow {
        client_id: client_id.clone(),
        enterprise_id: new.enterprise_id.clone(),
        name: new.name.clone(),
        // No digest is empty, so nothing ever matches the secret of an app without one.
        secret_hash: secret.map(sha256).unwrap_or_default(),
        scopes: new.scopes.join(" "),
        rights: new.rights.join(" "),
        service_user_id: account.user_id.clone(),
        may_end_admins_at: new.may_end_admins.then_some(now),
        user_tokens_at: new.user_tokens.then_some(now),
        box_audience_at: new.box_audience.then_some(now),
        created_at: now,
        redirect_uris: json!(new.redirect_uris).to_string(),
        public_at: secret.is_none().then_some(now),
        secret_rotated_at: None,
        last_used_at: None,
        introspection_cache_s: new.introspection_cache_s.filter(|_| secret.is_some()).map(i64::from),
    };
    let mut tx = app.db.begin().await?;
    tx.insert_user(&account).await?;
    tx.insert_app(&row).await?;
    let source = json!({"type": "app", "id": client_id, "name": new.name});
    tx.append_events(&new.enterprise_id, now, &app.random, vec![by_operator("APP_CREATED", source)]).await?;
    app.commit(tx).await?;
    Ok(client_id.into())
}

/// Gives an app another secret, returned this once. The old one is dead at once; tokens live on.
pub async fn rotate_secret(app: &App, client_id: &str) -> Result<String, Error> {
    let row = app.db.find_app(client_id).await?.ok_or_else(|| Error::not_found("client_id", client_id))?;
    let (now, secret) = (app.clock.now_ms(), app.random.secret());
    let mut tx = app.db.begin().await?;
    if !tx.rotate_secret(client_id, &sha256(&secret), now).await? {
        return Err(Error::invalid("this is a public app: it has no secret"));
    }
    let source = json!({"type": "app", "id": client_id, "name": row.name});
    let events = vec![by_operator("APP_SECRET_ROTATED", source), account_edited(&row)];
    tx.append_events(&row.enterprise_id, now, &app.random, events).await?;
    app.commit(tx).await?;
    Ok(secret)
}

/// Sets how many seconds an app may keep an active answer of introspection; none: until the session expires.
pub async fn set_introspection_cache(app: &App, client_id: &str, seconds: Option<u32>) -> Result<(), Error> {
    let row = app.db.find_app(client_id).await?.ok_or_else(|| Error::not_found("client_id", client_id))?;
    if row.public_at.is_some() {
        return Err(Error::invalid("this is a public app: it cannot ask for introspection"));
    }
    let mut tx = app.db.begin().await?;
    tx.set_introspection_cache(client_id, seconds.map(i64::from)).await?;
    let source = json!({"type": "app", "id": client_id, "name": row.name});
    let mut changed = by_operator("APP_CHANGED", source);
    changed.body["additional_details"]["introspection_cache_s"] = json!(seconds);
    let events = vec![changed, account_edited(&row)];
    tx.append_events(&row.enterprise_id, app.clock.now_ms(), &app.random, events).await?;
    app.commit(tx).await?;
    Ok(())
}

/// The event by which nodes forget what they keep in memory of an app's service account.
fn account_edited(row: &AppRow) -> NewEvent {
    by_operator("EDIT_USER", json!({"type": "user", "id": row.service_user_id, "name": row.name}))
}

/// Adds an RSA public key to an app.
pub async fn add_key(app: &App, client_id: &str, public_pem: &str) -> Result<KeyId, Error> {
    let row = app.db.find_app(client_id).await?.ok_or_else(|| Error::not_found("client_id", client_id))?;
    jsonwebtoken::DecodingKey::from_rsa_pem(public_pem.as_bytes()).map_err(|_| {
        Error::invalid("not an RSA public key in PEM; make one with: openssl rsa -in key.pem -pubout")
    })?;
    if public_pem.contains("PRIVATE KEY") {
        return Err(Error::invalid("this is a private key; it stays with the app, give the public key"));
    }
    let key = AppKeyRow {
        key_id: app.random.id("")[..16].to_owned(),
        client_id: client_id.to_owned(),
        public_pem: public_pem.to_owned(),
        created_at: app.clock.now_ms(),
    };
    let mut tx = app.db.begin().await?;
    tx.insert_app_key(&key).await?;
    let source = json!({"type": "app", "id": client_id, "name": row.name});
    let events = vec![by_operator("APP_KEY_ADDED", source)];
    tx.append_events(&row.enterprise_id, key.created_at, &app.random, events).await?;
    app.commit(tx).await?;
    Ok(key.key_id.into())
}

/// Makes a developer token for a person, with every scope or the chosen ones. Returned this once.
pub async fn create_token(app: &App, login: &str, scopes: &[String], life_ms: i64) -> Result<String, Error> {
    known("scope", scopes, &SCOPES)?;
    let user = app.db.find_user_by_login(login).await?.ok_or_else(|| Error::not_found("login", login))?;
    let (now, token) = (app.clock.now_ms(), app.random.secret());
    let scopes = if scopes.is_empty() { SCOPES.join(" ") } else { scopes.join(" ") };
    let mut tx = app.db.begin().await?;
    tx.insert_token(&TokenRow {
        token_hash: sha256(&token),
        user_id: user.user_id.clone(),
        client_id: None,
        scopes,
        created_at: now,
        expires_at: now + life_ms,
    })
    .await?;
    let events = vec![by_operator("DEVELOPER_TOKEN_CREATED", json!(user_reference(&user)))];
    tx.append_events(&user.enterprise_id, now, &app.random, events).await?;
    app.commit(tx).await?;
    Ok(token)
}

/// Ends every registered session and every token of everybody, as of now. For a database that was
/// restored from a backup: what was ended after the backup would live again. Returns the number of
/// people. Sessions in other systems are not touched: their stores were not restored.
pub async fn raise_generations(app: &App) -> Result<u64, Error> {
    let now = app.clock.now_ms();
    let enterprises = app.db.list_enterprises().await?;
    let mut tx = app.db.begin().await?;
    let people = tx.raise_all_barriers(now).await?;
    for enterprise in enterprises {
        let source = json!({"type": "enterprise", "id": enterprise.enterprise_id, "name": enterprise.name});
        let events = vec![by_operator("GENERATIONS_RAISED", source)];
        tx.append_events(&enterprise.enterprise_id, now, &app.random, events).await?;
    }
    app.commit(tx).await?;
    Ok(people)
}

fn known(kind: &str, words: &[String], all: &[&str]) -> Result<(), Error> {
    match words.iter().find(|word| !all.contains(&word.as_str())) {
        Some(word) => Err(Error::invalid(format!("unknown {kind} {word:?}; known are {}", all.join(", ")))),
        None => Ok(()),
    }
}

/// An event that the operator caused on the server's own machine.
pub(super) fn by_operator(event_type: &'static str, source: Value) -> NewEvent {
    NewEvent {
        event_type,
        termination_id: None,
        body: json!({"created_by": null, "source": source, "additional_details": {"by": "operator"}}),
    }
}
