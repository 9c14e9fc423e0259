//! One harness for every story: arrange by API, act by client, advance the clock, work the jobs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lightsout_client::api::{
    AccessToken, CreateGroup, CreateTermination, CreateUser, RegisterSession, RegisteredSession, Termination,
};
use lightsout_client::{Auth, Client, Subject as TokenSubject};
use lightsout_server::app::{App, Settings, System};
use lightsout_server::clock::Clock;
use lightsout_server::connector::Memory;
use lightsout_server::http::{Limits, LimitsConfig, Web, service};
use lightsout_server::ops::admin;
use lightsout_server::provider::Provider;
use lightsout_server::random::Random;
use lightsout_server::store::{Db, Retention, Walk, migrate};
use lightsout_server::worker;
use sqlx::{Connection, Executor};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// 2026-01-02T03:04:05Z, when every story begins.
pub(crate) const START_MS: i64 = 1_767_323_045_000;
/// The quiet time of the in-memory system.
pub(crate) const QUIET_MS: i64 = 30_000;
const DAY_MS: i64 = 86_400_000;

/// Runs a story on both databases.
macro_rules! both {
    ($(#[$attribute:meta])* async fn $name:ident($h:ident: &mut Harness) $body:block) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            use crate::harness::{Database, Harness};

            $(#[$attribute])*
            async fn story($h: &mut Harness) $body

            #[tokio::test]
            async fn sqlite() {
                let mut h = Harness::start(Database::Sqlite).await;
                story(&mut h).await;
                h.finish().await;
            }

            #[tokio::test]
            async fn postgres() {
                let mut h = Harness::start(Database::Postgres).await;
                story(&mut h).await;
                h.finish().await;
            }
        }
    };
}
pub(crate) use both;

/// Which database a story runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

/// The service under test.
pub(crate) struct Harness {
    pub(crate) app: Arc<App>,
    /// The in-memory system `shop`; it knows users by login.
    pub(crate) shop: Memory,
    pub(crate) address: SocketAddr,
    pub(crate) enterprise_id: String,
    pub(crate) admin_id: String,
    /// Acts as the primary admin, with every scope.
    pub(crate) admin: Client,
    /// Acts as an app with every right on the registry.
    pub(crate) registrar: Client,
    /// The client id and secret of that app.
    pub(crate) credentials: (String, String),
    /// Where the database is.
    pub(crate) database_url: String,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
    finished: bool,
}

impl Harness {
    pub(crate) async fn start(database: Database) -> Self {
        Self::start_with(database, LimitsConfig::default()).await
    }

    pub(crate) async fn start_with(database: Database, limits: LimitsConfig) -> Self {
        Self::start_adding(database, limits, |_, _| Vec::new()).await
    }

    /// With more systems than `shop`; what they keep stands in the service's database.
    pub(crate) async fn start_adding(
        database: Database,
        limits: LimitsConfig,
        more: impl FnOnce(&Db, &Clock) -> Vec<(String, System)>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database_url = url(database, &folder).await;
        let db = Db::open(&database_url, 5).await.expect("the database opens");
        migrate(&db).await.expect("the schema is made");
        let shop = Memory::default();
        let clock = Clock::manual(START_MS);
        let mut systems = BTreeMap::from([("shop".to_owned(), system(&shop))]);
        systems.extend(more(&db, &clock));
        let app = App::new(db, clock, Random::seeded(7), systems, Settings::default());
        app.index.load().await.expect("the index is loaded");
        let stop = CancellationToken::new();
        let address = serve(&app, limits, Vec::new(), &stop).await;

        let (enterprise, admin_id) = admin::create_enterprise(&app, "Acme", "ada@acme.example", "Ada Admin")
            .await
            .expect("an enterprise");
        let url = format!("http://{address}");
        let token = admin::create_token(&app, "ada@acme.example", &[], 365 * DAY_MS).await.expect("a token");
        let new = admin::NewApp {
            enterprise_id: enterprise.0.clone(),
            name: "registrar".to_owned(),
            scopes: words("manage_managed_users manage_groups manage_enterprise_properties"),
            rights: words("sessions.write sessions.read introspect feed"),
            user_tokens: true,
            ..admin::NewApp::default()
        };
        let (id, secret) = admin::create_app(&app, &new).await.expect("an app");
        let auth =
            Auth::client_credentials(&id.0, secret.clone(), TokenSubject::Enterprise(enterprise.0.clone()));
        Self {
            app,
            shop,
            address,
            enterprise_id: enterprise.0,
            admin_id: admin_id.0,
            admin: Client::new(&url, Auth::developer_token(token)).expect("a client"),
            registrar: Client::new(&url, auth).expect("a client"),
            credentials: (id.0, secret),
            database_url,
            stop,
            _folder: folder,
            finished: false,
        }
    }

    /// Starts another node on the same database, with the same clock. It reads the log only when it is
    /// told to, or has not for too long.
    pub(crate) async fn other_node(&self) -> (Arc<App>, String) {
        self.other_node_with(5).await
    }

    /// The same with this many connections for requests and jobs.
    pub(crate) async fn other_node_with(&self, connections_max: u32) -> (Arc<App>, String) {
        let db = Db::open(&self.database_url, connections_max).await.expect("the database opens");
        let systems = BTreeMap::from([("shop".to_owned(), system(&self.shop))]);
        let node = App::new(db, self.app.clock.clone(), Random::seeded(8), systems, Settings::default());
        node.index.load().await.expect("the index is loaded");
        let address = serve(&node, LimitsConfig::default(), Vec::new(), &self.stop).await;
        (node, format!("http://{address}"))
    }

    /// Serves the same service once more, with other limits and with outside providers, and returns where.
    pub(crate) async fn serve_with(&self, limits: LimitsConfig, providers: Vec<Provider>) -> String {
        format!("http://{}", serve(&self.app, limits, providers, &self.stop).await)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A client for a person's token with these scopes; none: all.
    pub(crate) async fn client_of(&self, login: &str, scopes: &str) -> Client {
        Client::new(&self.url(""), Auth::developer_token(self.token_of(login, scopes).await))
            .expect("a client")
    }

    pub(crate) async fn token_of(&self, login: &str, scopes: &str) -> String {
        admin::create_token(&self.app, login, &words(scopes), 365 * DAY_MS).await.expect("a token")
    }

    /// Makes an app in this enterprise, and returns a client of its service account.
    pub(crate) async fn app_client(&self, scopes: &str, rights: &str, may_end_admins: bool) -> Client {
        let new = admin::NewApp {
            enterprise_id: self.enterprise_id.clone(),
            name: format!("app {scopes} {rights}"),
            scopes: words(scopes),
            rights: words(rights),
            may_end_admins,
            ..admin::NewApp::default()
        };
        let (id, secret) = admin::create_app(&self.app, &new).await.expect("an app");
        let auth =
            Auth::client_credentials(id.0, secret, TokenSubject::Enterprise(self.enterprise_id.clone()));
        Client::new(&self.url(""), auth).expect("a client")
    }

    /// Makes a plain user `name@acme.example`, and returns the id.
    pub(crate) async fn user(&self, name: &str) -> String {
        let user = CreateUser {
            name: name.to_owned(),
            login: Some(format!("{name}@acme.example")),
            ..CreateUser::default()
        };
        self.admin.create_user(&user).await.expect("a user").id.0
    }

    /// Makes a group of these users, and returns its id.
    pub(crate) async fn group(&self, name: &str, members: &[&str]) -> String {
        let group = CreateGroup { name: name.to_owned(), ..CreateGroup::default() };
        let id = self.admin.create_group(&group).await.expect("a group").id.0;
        for member in members {
            self.admin.add_member(&id, member).await.expect("a membership");
        }
        id
    }

    /// Registers a session of a user that began now, and returns it.
    pub(crate) async fn sign_in(&self, user_id: &str) -> RegisteredSession {
        let session = RegisterSession { user_id: Some(user_id.into()), ..RegisterSession::default() };
        self.registrar.register_sessions(vec![session]).await.expect("registered").remove(0)
    }

    pub(crate) async fn is_active(&self, session: &RegisteredSession) -> bool {
        let id = session.session_id.as_deref().expect("the service minted it");
        self.registrar.introspect(id).await.expect("an answer").active
    }

    /// Ends every session of a user as the admin, and returns the termination's id.
    pub(crate) async fn terminate(&self, user_id: &str) -> String {
        let request = CreateTermination { user_ids: vec![user_id.into()], ..CreateTermination::default() };
        self.admin.terminate(&request, None).await.expect("accepted").id.0
    }

    /// A token of the registrar's service account.
    pub(crate) async fn app_token(&self) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.credentials.0),
            ("client_secret", &self.credentials.1),
            ("box_subject_type", "enterprise"),
            ("box_subject_id", &self.enterprise_id),
        ];
        let reply = reqwest::Client::new().post(self.url("/oauth2/token")).form(&form).send().await;
        reply.expect("an answer").json::<AccessToken>().await.expect("a token").access_token
    }

    /// Deletes everything that is past its time.
    pub(crate) async fn prune(&self, retention: &Retention) {
        self.app.db.prune_once(retention).await.expect("pruned");
        let mut walk = Walk::default();
        while self.app.db.prune(retention, &mut walk).await.expect("pruned") {}
    }

    pub(crate) fn advance(&self, ms: i64) {
        self.app.clock.advance_ms(ms);
    }

    /// Works every job that is due.
    pub(crate) async fn run_jobs(&self) {
        for name in self.app.systems.keys() {
            while worker::pass(&self.app, name, &self.stop).await.expect("the database works") > 0 {}
        }
    }

    /// Works jobs and advances the clock until a termination is finished.
    pub(crate) async fn run_until_done(&self, id: &str) -> Termination {
        for _ in 0..1_000 {
            self.run_jobs().await;
            let termination = self.admin.termination(id).await.expect("the termination");
            if termination.finished_at.is_some() {
                return termination;
            }
            self.advance(10_000);
        }
        panic!("termination {id} did not finish");
    }

    /// Stops the service, as a shutdown does.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends the story: no job may be left open, and the event chain must hold.
    pub(crate) async fn finish(mut self) {
        self.finished = true;
        let open = self.app.db.count_open_jobs().await.expect("the database works");
        assert!(open.is_empty(), "jobs are left open: {open:?}");
        self.app.db.verify_events(None).await.expect("the database works").expect("the chain holds");
        self.stop.cancel();
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        assert!(self.finished || std::thread::panicking(), "a story ends with finish()");
    }
}

pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(ToOwned::to_owned).collect()
}

fn system(memory: &Memory) -> System {
    System {
        quiet_time: Duration::from_millis(QUIET_MS.unsigned_abs()),
        ..System::new(Arc::new(memory.clone()))
    }
}

async fn serve(
    app: &Arc<App>,
    limits: LimitsConfig,
    providers: Vec<Provider>,
    stop: &CancellationToken,
) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let web = Arc::new(Web {
        app: Arc::clone(app),
        limits: Limits::new(&limits),
        public_url: format!("http://{address}"),
        behind_proxy: false,
        providers,
        request_timeout: Duration::from_mins(1),
        body_bytes_max: 2 * 1024 * 1024,
        metrics: None,
        admits: Semaphore::new(1_000),
        admits_checks: Semaphore::new(1_000),
        stop: stop.clone(),
    });
    tokio::spawn(async move { axum::serve(listener, service(web)).await });
    address
}

/// A fresh SQLite file, or a fresh schema in the PostgreSQL that `./test` started.
pub(crate) async fn url(database: Database, folder: &tempfile::TempDir) -> String {
    static SCHEMAS: AtomicU64 = AtomicU64::new(0);
    match database {
        Database::Sqlite => format!("sqlite:{}", folder.path().join("test.db").display()),
        Database::Postgres => {
            let url =
                std::env::var("LIGHTSOUT_TEST_POSTGRES").expect("LIGHTSOUT_TEST_POSTGRES is set by ./test");
            let schema = format!("t_{}_{}", std::process::id(), SCHEMAS.fetch_add(1, Ordering::Relaxed));
            let mut connection = sqlx::PgConnection::connect(&url).await.expect("PostgreSQL answers");
            connection
                .execute(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}")))
                .await
                .expect("a schema");
            let joint = if url.contains('?') { '&' } else { '?' };
            format!("{url}{joint}options[search_path]={schema}")
        }
    }
}

/// Waits until a condition holds, for things that happen in the service's own tasks.
pub(crate) async fn eventually(mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Duration::from_secs(20);
    let wait = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(deadline, wait).await.expect("the condition holds in time");
}
