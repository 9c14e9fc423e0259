//! The present token: fetched once however many calls wait for it, and renewed before it ends.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use lightsout_api::AccessToken;
use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinHandle;

use super::{Auth, OAuth, StoredTokens};
use crate::error::Error;
use crate::retry::Repeat;
use crate::transport::{Form, Transport, now};

/// How long before its end a token is renewed; a tenth of its life, if that is less.
const RENEW_BEFORE: Duration = Duration::from_mins(1);
/// After a renewal that failed, how long the present token is used before the next try.
const RENEW_AGAIN: Duration = Duration::from_secs(10);
/// A clock that differs by less than this is not what an assertion was refused for.
const SKEW_MIN: SignedDuration = SignedDuration::from_secs(5);
/// How long a program that shares a store may take to save what it got, read after each of these.
const SAVE_WAITS_MS: [u64; 5] = [0, 100, 200, 300, 400];

/// The tokens of one set of credentials.
pub(crate) struct Tokens {
    auth: Auth,
    transport: Arc<Transport>,
    present: RwLock<Option<Present>>,
    /// Held by the one who renews.
    renewing: tokio::sync::Mutex<Renewal>,
    /// A renewal that nobody waits for.
    early: Mutex<Option<JoinHandle<()>>>,
}

/// What one renewal leaves to the next.
#[derive(Default)]
struct Renewal {
    /// Tokens that the store could not take.
    unsaved: Option<StoredTokens>,
    /// The last failure, for those who waited for it.
    failed: Option<(Instant, Error)>,
}

#[derive(Clone)]
struct Present {
    token: SecretString,
    renew_at: Option<Instant>,
    ends_at: Option<Instant>,
}

impl Present {
    fn new(token: SecretString, life: Duration) -> Self {
        let now = Instant::now();
        // Some servers leave the life out.
        let life = (!life.is_zero()).then_some(life);
        let renew_at =
            life.and_then(|life| now.checked_add(life.saturating_sub(RENEW_BEFORE.min(life / 10))));
        Self { token, renew_at, ends_at: life.and_then(|life| now.checked_add(life)) }
    }

    /// A token of which this much is left, of a life that nobody knows any more.
    fn left(token: SecretString, left: Duration) -> Self {
        let renew_at = Instant::now().checked_add(left.saturating_sub(RENEW_BEFORE));
        Self { renew_at, ..Self::new(token, left) }
    }

    fn is_fresh(&self) -> bool {
        self.renew_at.is_none_or(|at| Instant::now() < at)
    }

    fn is_alive(&self) -> bool {
        self.ends_at.is_none_or(|at| Instant::now() < at)
    }
}

impl Tokens {
    pub(crate) fn new(auth: Auth, transport: Arc<Transport>) -> Self {
        let (present, renewing, early) = (RwLock::default(), tokio::sync::Mutex::default(), Mutex::default());
        Self { auth, transport, present, renewing, early }
    }

    pub(crate) fn auth(&self) -> &Auth {
        &self.auth
    }

    /// The present token; a new one if there is none, if it is over, or if it is `refused`.
    ///
    /// One that ends soon is renewed meanwhile: how that goes is nothing to a call that has a good one.
    pub(crate) async fn token(
        self: &Arc<Self>,
        refused: Option<&SecretString>,
    ) -> Result<SecretString, Error> {
        if let Auth::DeveloperToken(token) = &self.auth {
            return Ok(token.clone());
        }
        if let Some(present) = self.alive(refused) {
            if !present.is_fresh() {
                self.renew_early(&present.token);
            }
            return Ok(present.token);
        }
        // In a task of its own: a caller that goes away must not lose a refresh token that was just used.
        let (this, refused, asked_at) = (Arc::clone(self), refused.cloned(), Instant::now());
        let renewed = tokio::spawn(async move { this.renew(refused.as_ref(), None, asked_at).await }).await;
        renewed.unwrap_or_else(|error| Err(Error::setup_because("the token's renewal was cut short", error)))
    }

    /// Uses this token from now on, as after a sign-in.
    pub(crate) async fn adopt(&self, app: &OAuth, reply: AccessToken) -> Result<(), Error> {
        let mut renewal = self.renewing.lock().await;
        self.keep(app, reply, &mut renewal.unsaved).await?;
        match &renewal.unsaved {
            Some(_) => Err(Error::setup("the tokens cannot be saved: they work until this program ends")),
            None => Ok(()),
        }
    }

    /// Revokes the present tokens at the server, and forgets them, and what is saved of them.
    ///
    /// Nothing is renewed meanwhile, and a caller that goes away leaves nothing half done.
    pub(crate) async fn revoke(self: &Arc<Self>) -> Result<(), Error> {
        let this = Arc::clone(self);
        let revoked = tokio::spawn(async move { this.revoke_present().await }).await;
        revoked.unwrap_or_else(|error| Err(Error::setup_because("the revocation was cut short", error)))
    }

    async fn revoke_present(&self) -> Result<(), Error> {
        let Some((client_id, client_secret)) = self.auth.app() else {
            return Err(Error::setup("a developer token is revoked where it was made"));
        };
        let mut renewal = self.renewing.lock().await;
        let _lock = match &self.auth {
            Auth::OAuth(app) => lock(app).await,
            Auth::DeveloperToken(_) | Auth::ClientCredentials(_) | Auth::Jwt(_) => None,
        };
        let token = match &self.auth {
            Auth::OAuth(app) => Some(self.newest(app, renewal.unsaved.as_ref()).await?.refresh_token),
            Auth::DeveloperToken(_) | Auth::ClientCredentials(_) | Auth::Jwt(_) => {
                self.get().map(|present| present.token)
            }
        };
        if let Some(token) = token {
            let mut form: Form = vec![("client_id", client_id.to_owned())];
            form.extend(client_secret.map(|secret| ("client_secret", secret.expose_secret().to_owned())));
            form.push(("token", token.expose_secret().to_owned()));
            let url = &self.transport.addresses.revoke;
            self.transport.post_form(url, Repeat::Harmless, || Ok(form.clone())).await?;
        }
        renewal.unsaved = None;
        self.set(None);
        let Auth::OAuth(app) = &self.auth else { return Ok(()) };
        let store = Arc::clone(&app.store);
        blocking(move || store.clear())
            .await
            .map_err(|error| Error::setup_because("the revoked tokens cannot be removed", error))
    }

    /// Begins to renew this token, unless that was begun.
    fn renew_early(self: &Arc<Self>, token: &SecretString) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        if early.as_ref().is_none_or(JoinHandle::is_finished) {
            let (this, token, asked_at) = (Arc::clone(self), token.clone(), Instant::now());
            *early = Some(tokio::spawn(async move { drop(this.renew(None, Some(&token), asked_at).await) }));
        }
    }

    /// Gets a token for calls that cannot use the `refused` one, or one in place of `old`, which still lives.
    async fn renew(
        &self,
        refused: Option<&SecretString>,
        old: Option<&SecretString>,
        asked_at: Instant,
    ) -> Result<SecretString, Error> {
        let mut renewal = self.renewing.lock().await;
        let is_enough = |present: &Present| present.is_fresh() || !is_refused(present, old);
        if let Some(present) = self.alive(refused).filter(is_enough) {
            return Ok(present.token);
        }
        // A failure is shared like a token: calls that waited for it do not ask one after another.
        if let Some((_, error)) = renewal.failed.as_ref().filter(|(at, _)| *at >= asked_at) {
            return Err(error.clone());
        }
        let error = match self.fetch(refused, &mut renewal.unsaved).await {
            Ok(token) => return Ok(token),
            Err(error) => error,
        };
        // It could not be renewed early: what is there is good to its end.
        let Some(present) = self.alive(refused) else {
            renewal.failed = Some((Instant::now(), error.clone()));
            return Err(error);
        };
        #[cfg(feature = "tracing")]
        tracing::warn!(%error, "the token cannot be renewed early");
        let token = present.token.clone();
        self.set(Some(Present { renew_at: Some(Instant::now() + RENEW_AGAIN), ..present }));
        Ok(token)
    }

    async fn fetch(
        &self,
        refused: Option<&SecretString>,
        unsaved: &mut Option<StoredTokens>,
    ) -> Result<SecretString, Error> {
        let reply = match &self.auth {
            Auth::DeveloperToken(token) => return Ok(token.clone()),
            Auth::OAuth(app) => return self.refresh(app, refused, unsaved).await,
            Auth::ClientCredentials(app) => self.ask(Repeat::Harmless, || Ok(app.form())).await?,
            Auth::Jwt(jwt) => {
                let signed = |ahead: SignedDuration| {
                    move || {
                        jwt.form(
                            &self.transport.addresses,
                            now().saturating_add(ahead).unwrap_or_else(|_| now()),
                        )
                    }
                };
                match self.ask(Repeat::Harmless, signed(SignedDuration::ZERO)).await {
                    Err(error) => match skew(&error) {
                        Some(ahead) => self.ask(Repeat::Harmless, signed(ahead)).await?,
                        None => return Err(error),
                    },
                    Ok(reply) => reply,
                }
            }
        };
        let life = Duration::from_secs(reply.expires_in);
        let present = Present::new(reply.access_token.into(), life);
        let token = present.token.clone();
        self.set(Some(present));
        Ok(token)
    }

    /// Uses the refresh token, or what another program got for it.
    async fn refresh(
        &self,
        app: &OAuth,
        refused: Option<&SecretString>,
        unsaved: &mut Option<StoredTokens>,
    ) -> Result<SecretString, Error> {
        let _lock = lock(app).await;
        let mut stored = self.newest(app, unsaved.as_ref()).await?;
        loop {
            let life = Duration::try_from(stored.expires_at.duration_since(now())).unwrap_or_default();
            let present = Present::left(stored.access_token.clone(), life);
            if !life.is_zero() && !is_refused(&present, refused) {
                let is_known = self.get().is_some_and(|known| is_refused(&known, Some(&present.token)));
                let is_fresh = present.is_fresh();
                self.set(Some(present));
                // One that ends soon is renewed when it is asked for again.
                if is_fresh || !is_known {
                    return Ok(stored.access_token);
                }
            }
            let error = match self.ask(Repeat::Harmless, || Ok(app.refresh_form(&stored))).await {
                Ok(reply) => return self.keep(app, reply, unsaved).await,
                Err(error @ Error::NotAuthenticated(_)) => error,
                Err(error) => return Err(error),
            };
            stored = self.saved_by_another(app, &stored).await?.ok_or(error)?;
        }
    }

    /// What another program got for this refresh token, which it may still be saving.
    async fn saved_by_another(
        &self,
        app: &OAuth,
        used: &StoredTokens,
    ) -> Result<Option<StoredTokens>, Error> {
        for wait_ms in SAVE_WAITS_MS {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            let newest = self.load(app).await?;
            if newest.refresh_token.expose_secret() != used.refresh_token.expose_secret() {
                return Ok(Some(newest));
            }
        }
        Ok(None)
    }

    /// Saves the tokens of a reply, and uses them. What cannot be saved is kept for the next time: a
    /// full disk must not sign anybody out.
    async fn keep(
        &self,
        app: &OAuth,
        reply: AccessToken,
        unsaved: &mut Option<StoredTokens>,
    ) -> Result<SecretString, Error> {
        let refresh_token = reply.refresh_token.ok_or_else(|| {
            Error::setup("the server gave no refresh token: is it an app with user authentication?")
        })?;
        let life = Duration::from_secs(reply.expires_in);
        let stored = StoredTokens {
            access_token: reply.access_token.into(),
            refresh_token: refresh_token.into(),
            expires_at: now().saturating_add(life).unwrap_or(Timestamp::MAX),
        };
        let (store, tokens) = (Arc::clone(&app.store), stored.clone());
        let saved = blocking(move || store.save(&tokens)).await;
        #[cfg(feature = "tracing")]
        if let Err(error) = &saved {
            tracing::warn!(%error, "the renewed tokens cannot be saved");
        }
        self.set(Some(Present::new(stored.access_token.clone(), life)));
        let token = stored.access_token.clone();
        *unsaved = saved.is_err().then_some(stored);
        Ok(token)
    }

    async fn newest(&self, app: &OAuth, unsaved: Option<&StoredTokens>) -> Result<StoredTokens, Error> {
        match unsaved {
            Some(tokens) => Ok(tokens.clone()),
            None => self.load(app).await,
        }
    }

    async fn load(&self, app: &OAuth) -> Result<StoredTokens, Error> {
        let store = Arc::clone(&app.store);
        blocking(move || store.load())
            .await
            .map_err(|error| Error::setup_because("the saved tokens cannot be read", error))?
            .ok_or_else(|| {
                Error::setup("nobody has signed in yet: send a person to Client::authorization's address")
            })
    }

    async fn ask(
        &self,
        repeat: Repeat,
        form: impl Fn() -> Result<Form, Error>,
    ) -> Result<AccessToken, Error> {
        self.transport.post_form(&self.transport.addresses.token, repeat, form).await?.json()
    }

    fn alive(&self, refused: Option<&SecretString>) -> Option<Present> {
        self.get().filter(|present| present.is_alive() && !is_refused(present, refused))
    }

    fn get(&self) -> Option<Present> {
        self.present.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, present: Option<Present>) {
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = present;
    }
}

/// Keeps other programs from renewing; none where that fails: a lock must not sign anybody out.
async fn lock(app: &OAuth) -> Option<Box<dyn Send>> {
    let store = Arc::clone(&app.store);
    blocking(move || store.lock()).await.ok()
}

fn is_refused(present: &Present, refused: Option<&SecretString>) -> bool {
    refused.is_some_and(|refused| refused.expose_secret() == present.token.expose_secret())
}

/// How far the server's clock is ahead of ours, if an assertion may have been refused for that.
fn skew(error: &Error) -> Option<SignedDuration> {
    let Error::NotAuthenticated(api) = error else { return None };
    let ahead = api.date?.duration_since(now());
    (api.code == "invalid_grant" && ahead.abs() >= SKEW_MIN).then_some(ahead)
}

/// Runs what may block where that harms nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
