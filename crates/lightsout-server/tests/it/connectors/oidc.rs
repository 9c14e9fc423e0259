//! Logout tokens to relying parties that are real HTTP servers. Every story looks at what the party
//! received and did; our own record is compared with that.

mod delivery;
mod keys;
mod party;
mod provider_store;
mod registration;
mod verification;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use lightsout_client::api::{
    CreateTermination, OidcSession, Outcome, OutcomeState, RegisterSession, RegisteredSession,
};
use lightsout_server::app::{Subject, System};
use lightsout_server::connector::{OidcBackchannel, OidcBackchannelConfig};
use lightsout_server::http::LimitsConfig;
use serde_json::{Value, json};

use self::party::{CLIENT_ID, ISSUER, PROBE_TOKEN, Party};
use crate::harness::{Database, Harness, QUIET_MS};

/// The service with one relying party, `wiki`.
struct Wiki {
    h: Harness,
    party: Party,
    keys: PathBuf,
    _folder: tempfile::TempDir,
}

impl Wiki {
    /// With a party that is up. `more` are keys of the system; `timeout_ms` is the pass's.
    async fn start(database: Database, more: Value) -> Self {
        let wiki = Self::start_down(database, more).await;
        wiki.party.come_up().await;
        wiki
    }

    async fn start_down(database: Database, more: Value) -> Self {
        let (jwk, public) = keys::jwk(Algorithm::ES256, "k1");
        let set = json!({"keys": [jwk]}).to_string();
        Self::start_with(database, more, &set, Party::down(public)).await
    }

    async fn start_with(database: Database, more: Value, signing_keys: &str, party: Party) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = folder.path().join("keys");
        std::fs::write(&keys, signing_keys).expect("written");
        let (config, timeout) = config(&party, &keys, more);
        let h = Harness::start_adding(database, LimitsConfig::default(), |db, clock| {
            let connector = OidcBackchannel::new(config, db.clone(), clock.clone(), timeout).expect("valid");
            let system = System {
                subject: Subject::Id,
                quiet_time: Duration::from_millis(QUIET_MS.unsigned_abs()),
                clock_skew: Duration::ZERO,
                timeout,
                ..System::new(Arc::new(connector))
            };
            vec![("wiki".to_owned(), system)]
        })
        .await;
        Self { h, party, keys, _folder: folder }
    }

    /// Signs a user in at the party, and registers what the session is called there.
    async fn sign_in(&self, user_id: &str, sid: &str) -> RegisteredSession {
        self.party.seen().alive.insert(sid.to_owned());
        self.register(user_id, sid, RegisterSession::default()).await
    }

    async fn register(&self, user_id: &str, sid: &str, session: RegisterSession) -> RegisteredSession {
        let session =
            RegisterSession { user_id: Some(user_id.into()), oidc: Some(oidc(user_id, sid)), ..session };
        self.h.registrar.register_sessions(vec![session]).await.expect("registered").remove(0)
    }

    /// Accepts a termination; a moment passes before it is worked.
    async fn terminate(&self, user_ids: &[&str]) -> String {
        self.h.advance(1_000);
        let request = CreateTermination {
            user_ids: user_ids.iter().map(|id| (*id).into()).collect(),
            ..CreateTermination::default()
        };
        let id = self.h.admin.terminate(&request, None).await.expect("accepted").id.0;
        self.h.advance(1);
        id
    }

    /// The outcome of one user here.
    async fn outcome(&self, termination: &str, user_id: &str) -> Outcome {
        let page = self.h.admin.outcomes(termination, None).await.expect("outcomes");
        let mine = |o: &Outcome| o.system == "wiki" && o.user.id == *user_id;
        page.entries.into_iter().find(mine).expect("an outcome for each system")
    }

    /// Ends the sessions of one user, and returns what became of them here.
    async fn end(&self, user_id: &str) -> Outcome {
        let id = self.terminate(&[user_id]).await;
        self.h.run_until_done(&id).await;
        self.outcome(&id, user_id).await
    }

    async fn finish(self) {
        self.h.finish().await;
    }
}

fn oidc(user_id: &str, sid: &str) -> OidcSession {
    OidcSession {
        iss: ISSUER.to_owned(),
        client_id: CLIENT_ID.to_owned(),
        sub: format!("sub of {user_id}"),
        sid: sid.to_owned(),
    }
}

fn config(party: &Party, keys: &std::path::Path, more: Value) -> (OidcBackchannelConfig, Duration) {
    let Value::Object(mut more) = more else { panic!("keys of the system") };
    let timeout = more.remove("timeout_ms").and_then(|ms| ms.as_u64()).unwrap_or(60_000);
    let scheme = more.remove("scheme").map_or("http".to_owned(), |s| s.as_str().unwrap_or("http").to_owned());
    let mut config = json!({
        "issuer": ISSUER,
        "client_id": CLIENT_ID,
        "logout_uri": format!("{scheme}://{}/logout", party.address),
        "signing_keys": keys,
        "algorithm": "ES256",
    });
    if more.remove("probe").is_some() {
        config["probe_url"] = json!(format!("{scheme}://{}/sessions/{{sid}}", party.address));
        config["probe_token"] = json!(PROBE_TOKEN);
    }
    for (key, value) in more {
        config[key] = value;
    }
    (serde_json::from_value(config).expect("a configuration"), Duration::from_millis(timeout))
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_unstable();
    texts
}
