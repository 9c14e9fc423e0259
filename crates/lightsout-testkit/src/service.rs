//! The real service in this process, with an enterprise in it, and the runner of documentation examples.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use lightsout_api::{RegisterSession, RegisterSessions};
use lightsout_server::app::App;
use lightsout_server::config::Config;
use lightsout_server::ops::{admin, import, sessions, tokens};
use lightsout_server::server::{self, Running};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{Answer, ENCRYPTED_KEY_DES3, PASSPHRASE, PUBLIC_KEY, Script, Scripted};

const ADMIN: &str = "ada@acme.example";
const LOGIN: &str = "ann@acme.example";
const PEOPLE: &str = "login,name,groups\n\
    ann@acme.example,Ann Lee,Sales\n\
    bob@acme.example,Bob Ray,Sales;Finance\n\
    cyd@acme.example,Cyd Fox,\n";
const DAY_MS: i64 = 86_400_000;
/// How long an example may take, its service's start and stop included.
const EXAMPLE_WITHIN: Duration = Duration::from_mins(1);

/// A running service with one enterprise, Acme, on a database of its own.
///
/// Ada Admin (`ada@acme.example`) is its primary admin. Ann Lee (`ann@acme.example`) is in the group
/// Sales, Bob Ray (`bob@acme.example`) in Sales and Finance, Cyd Fox (`cyd@acme.example`) in none.
/// Nobody is signed in.
pub struct Service {
    /// Where it listens, such as `http://127.0.0.1:40123`.
    pub url: String,
    /// The enterprise's id.
    pub enterprise_id: String,
    /// A developer token of the primary admin, with every scope, for a day.
    pub token: String,
    /// The primary admin's id.
    pub admin_id: String,
    /// An app's id. The app has every scope and every right on the registry, may end admins, may ask
    /// for tokens of users and admins, and may send assertions that are addressed to Box.
    pub client_id: String,
    /// The app's secret.
    pub client_secret: String,
    /// A file in Box's JWT configuration format for the same app, with [`ENCRYPTED_KEY_DES3`].
    pub jwt_config: PathBuf,
    /// Ann's id.
    pub user_id: String,
    /// Ann's login.
    pub login: String,
    /// The id of the group Sales.
    pub group_id: String,
    running: Running,
    _folder: TempDir,
}

impl Service {
    /// Starts a service that listens on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        Self::start_with("http", "").await
    }

    /// The same over TLS, with this certificate and its key in PEM files.
    pub async fn start_tls(certificate: &Path, key: &Path) -> Self {
        let tls = format!(
            "[server.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n",
            certificate.display(),
            key.display()
        );
        Self::start_with("https", &tls).await
    }

    async fn start_with(scheme: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nshutdown_timeout_s = 2\n{more}\n[database]\nurl = \"sqlite:{}\"\n",
            folder.path().join("test.db").display()
        );
        let config = Config::parse_alone(&text).expect("the configuration is right");
        let running = server::start(&config, None).await.expect("the service starts");
        let app = &running.app;

        let (enterprise, admin) =
            admin::create_enterprise(app, "Acme", ADMIN, "Ada Admin").await.expect("an enterprise");
        let report =
            import::import(app, &[], &enterprise.0, PEOPLE.as_bytes()).await.expect("the import runs");
        assert_eq!((report.users_created, report.groups_created), (3, 2), "{:?}", report.rejected);
        let token = admin::create_token(app, ADMIN, &[], DAY_MS).await.expect("a token");
        let (client_id, client_secret) =
            admin::create_app(app, &new_app(&enterprise.0)).await.expect("an app");
        let key_id = admin::add_key(app, &client_id.0, PUBLIC_KEY).await.expect("a key");
        let jwt_config = folder.path().join("jwt.json");
        let text = json!({
            "boxAppSettings": {
                "clientID": client_id,
                "clientSecret": client_secret,
                "appAuth": {"publicKeyID": key_id, "privateKey": ENCRYPTED_KEY_DES3, "passphrase": PASSPHRASE}
            },
            "enterpriseID": enterprise
        });
        std::fs::write(&jwt_config, format!("{text:#}\n")).expect("the folder can be written");
        let user = app.db.find_user_by_login(LOGIN).await.expect("the database works").expect("imported");
        let group_id = group_id(app, &enterprise.0, "Sales").await;
        Self {
            url: format!("{scheme}://{}", running.address),
            enterprise_id: enterprise.0,
            token,
            admin_id: admin.0,
            client_id: client_id.0,
            client_secret,
            jwt_config,
            user_id: user.user_id,
            login: LOGIN.to_owned(),
            group_id,
            running,
            _folder: folder,
        }
    }

    /// Registers this many sessions (1 to 1,000) of a person, as the app would at sign-in, and
    /// returns their session ids: what introspection takes.
    pub async fn sign_in(&self, login: &str, sessions: usize) -> Vec<String> {
        let app = &self.running.app;
        let row = app.db.find_app(&self.client_id).await.expect("the database works").expect("the app");
        let subject = tokens::Subject::Enterprise(self.enterprise_id.clone());
        let token = tokens::client_credentials(app, &row, subject).await.expect("a token");
        let caller = tokens::authenticate(app, &token.access_token, None).await.expect("it is new");
        let session = RegisterSession { login: Some(login.to_owned()), ..RegisterSession::default() };
        let request = RegisterSessions { sessions: vec![session; sessions] };
        let registered = sessions::register(app, &caller, request).await.expect("registered");
        registered.sessions.into_iter().map(|s| s.session_id.expect("a new session is active")).collect()
    }

    /// A developer token of a person for a day, with these scopes alone.
    pub async fn token_of(&self, login: &str, scopes: &[&str]) -> String {
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        admin::create_token(&self.running.app, login, &scopes, DAY_MS).await.expect("a token")
    }

    /// The service's operations, for what only its operator can do.
    pub fn app(&self) -> &App {
        &self.running.app
    }

    /// Stops it as the command line's interrupt does, and removes its data.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

fn new_app(enterprise_id: &str) -> admin::NewApp {
    admin::NewApp {
        enterprise_id: enterprise_id.to_owned(),
        name: "testkit".to_owned(),
        scopes: ["manage_managed_users", "manage_groups", "manage_enterprise_properties"]
            .map(String::from)
            .to_vec(),
        rights: ["sessions.write", "sessions.read", "introspect", "feed"].map(String::from).to_vec(),
        may_end_admins: true,
        user_tokens: true,
        box_audience: true,
        ..admin::NewApp::default()
    }
}

async fn group_id(app: &App, enterprise_id: &str, name: &str) -> String {
    let mut tx = app.db.begin().await.expect("the database works");
    let id = tx.hold_group_by_name(enterprise_id, name).await.expect("the database works");
    id.expect("the import made it")
}

/// Runs an example of the documentation against a service of its own, and panics if it fails or
/// takes longer than a minute.
///
/// It makes a runtime, so it is called outside of any.
pub fn example<F, Fut>(example: F)
where
    F: FnOnce(Arc<Service>) -> Fut,
    Fut: Future<Output = Result<(), Box<dyn Error>>>,
{
    runtime().block_on(async {
        let run = async {
            let service = Arc::new(Service::start().await);
            let result = example(Arc::clone(&service)).await;
            if let Some(service) = Arc::into_inner(service) {
                service.stop().await;
            }
            result
        };
        let result = tokio::time::timeout(EXAMPLE_WITHIN, run).await;
        check(result.expect("the example ends within a minute"));
    });
}

/// Runs an example against a scripted server that gives tokens and accepts terminations; panics if it
/// fails or takes longer than a minute.
pub fn example_scripted<F, Fut>(example: F)
where
    F: FnOnce(Arc<Scripted>) -> Fut,
    Fut: Future<Output = Result<(), Box<dyn Error>>>,
{
    runtime().block_on(async {
        let tokens = json!({
            "access_token": "ACCESS", "expires_in": 3600, "token_type": "bearer", "refresh_token": "REFRESH",
        });
        let script = Script { token: vec![Answer::json(200, tokens)], calls: vec![Answer::accepted()] };
        // Shared, so that an example that names only its address does not drop the rest of it.
        let server = Arc::new(Scripted::start(script).await);
        let result = tokio::time::timeout(EXAMPLE_WITHIN, example(server)).await;
        check(result.expect("the example ends within a minute"));
    });
}

/// Runs an example that blocks, and panics if it fails or takes longer than a minute.
///
/// The example runs on a plain thread outside of the service's runtime, so it may make one itself.
pub fn example_blocking(example: impl FnOnce(&Service) -> Result<(), Box<dyn Error>> + Send + 'static) {
    let runtime = runtime();
    let service = runtime.block_on(Service::start());
    let (done, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        check(example(&service));
        let _ = done.send(service);
    });
    match ended.recv_timeout(EXAMPLE_WITHIN) {
        Ok(service) => runtime.block_on(service.stop()),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the example does not end within a minute"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let panic = thread.join().expect_err("it ended without sending");
            std::panic::resume_unwind(panic);
        }
    }
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime starts")
}

/// Panics with the failure and its causes.
fn check(result: Result<(), Box<dyn Error>>) {
    let Err(error) = result else { return };
    let mut text = format!("the example failed: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    panic!("{text}");
}
