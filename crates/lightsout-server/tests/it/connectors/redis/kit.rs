//! Redis servers of the tests' own, on private ports.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;

/// A port that nobody listens on.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Waits until something holds.
pub(super) async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut holds: F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>())
            .await
            .expect_err("a pause");
    }
}

/// A server. It ends with this value, and with the test's process at the latest.
pub(super) struct Server {
    pub(super) port: u16,
    /// What follows `redis-server`.
    arguments: Vec<String>,
    /// Where it keeps what it writes.
    _folder: tempfile::TempDir,
    shell: Option<Child>,
}

impl Server {
    /// Starts a server with these arguments, in which `{port}` is its own, and waits until it listens.
    pub(super) async fn start(more: &[&str]) -> Self {
        let plain = ["--port", "{port}", "--save", ""];
        let first = if more.contains(&"--tls-port") { &plain[2..] } else { &plain };
        Self::begin(tempfile::tempdir().expect("a folder"), &[first, more].concat()).await
    }

    /// A sentinel, which keeps its state in its configuration file.
    pub(super) async fn sentinel(lines: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("sentinel.conf").display().to_string();
        std::fs::write(&file, lines).expect("written");
        Self::begin(folder, &[&file, "--sentinel", "--port", "{port}"]).await
    }

    async fn begin(folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        let port = free_port();
        let path = folder.path().display().to_string();
        let all = [arguments, &["--bind", "127.0.0.1", "--dir", &path]].concat();
        let arguments = all.iter().map(|a| a.replace("{port}", &port.to_string())).collect();
        let mut server = Self { port, arguments, _folder: folder, shell: None };
        server.resume().await;
        server
    }

    /// Starts it again on the same port.
    pub(super) async fn resume(&mut self) {
        // The shell waits for the end of its input, which is the end of this process at the latest.
        let script = "redis-server \"$@\" >/dev/null 2>&1 & server=$!; read -r _; kill $server; wait $server";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).args(&self.arguments).stdin(Stdio::piped());
        self.shell = Some(command.spawn().expect("a shell"));
        let address = format!("127.0.0.1:{}", self.port);
        eventually("the server listens", async || std::net::TcpStream::connect(&address).is_ok()).await;
    }

    /// Ends it.
    pub(super) fn stop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            shell.wait().expect("the shell ends");
        }
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(super) async fn connection(&self) -> MultiplexedConnection {
        connect(&self.url()).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(super) async fn connect(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("an address");
    client.get_multiplexed_async_connection().await.expect("Redis answers")
}

/// Three primaries that hold all slots.
pub(super) async fn cluster() -> Vec<Server> {
    let mut servers = Vec::new();
    let mut bus = Vec::new();
    for _ in 0..3 {
        let port = free_port();
        bus.push(port);
        servers.push(Server::start(&["--cluster-enabled", "yes", "--cluster-port", &port.to_string()]).await);
    }
    for (n, (first, last)) in [(0, 5_460), (5_461, 10_922), (10_923, 16_383)].into_iter().enumerate() {
        let mut connection = servers[n].connection().await;
        let () = redis::cmd("CLUSTER")
            .arg(&["ADDSLOTSRANGE", &first.to_string(), &last.to_string()])
            .query_async(&mut connection)
            .await
            .expect("slots");
        let meet = ["MEET", "127.0.0.1", &servers[0].port.to_string(), &bus[0].to_string()];
        let () = redis::cmd("CLUSTER").arg(&meet).query_async(&mut connection).await.expect("met");
    }
    for server in &servers {
        let mut connection = server.connection().await;
        eventually("the cluster is whole", async || {
            let info: String =
                redis::cmd("CLUSTER").arg("INFO").query_async(&mut connection).await.expect("an answer");
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        })
        .await;
    }
    servers
}

/// A certificate authority, and a server's certificate and key.
pub(super) struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    /// Made out to a name or an address, such as `IP:127.0.0.1`.
    pub(super) fn made_out_to(name: &str) -> Self {
        let this = Self { folder: tempfile::tempdir().expect("a folder") };
        let mut extensions = std::fs::File::create(this.file("ext")).expect("a file");
        writeln!(extensions, "subjectAltName={name}").expect("written");
        let key = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        this.openssl(&format!("{key} -x509 -days 2 -subj /CN=CA -keyout ca.key -out ca.pem"));
        this.openssl(&format!("{key} -subj /CN=redis -keyout server.key -out server.csr"));
        this.openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out server.pem");
        this
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(Path::new(self.folder.path()))
            .output()
            .expect("openssl is there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A server that speaks TLS only, and its address.
    pub(super) async fn server(&self, more: &[&str]) -> (Server, String) {
        let file = |name: &str| self.file(name).display().to_string();
        let (ca, certificate, key) = (file("ca.pem"), file("server.pem"), file("server.key"));
        let mut arguments = vec!["--port", "0", "--tls-port", "{port}", "--tls-auth-clients", "no"];
        arguments.extend([
            "--tls-ca-cert-file",
            &ca,
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
        ]);
        arguments.extend(more);
        let server = Server::start(&arguments).await;
        let url = format!("rediss://127.0.0.1:{}", server.port);
        (server, url)
    }
}
