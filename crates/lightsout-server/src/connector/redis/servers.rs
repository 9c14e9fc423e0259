//! Connections to the servers that hold the store: one, a cluster's primaries, or the one that
//! sentinels name. Each server is spoken to directly; nothing is sent on to another one.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    Pipeline, RedisConnectionInfo, RedisError, TlsCertificates, Value,
};
use secrecy::ExposeSecret;

use super::cluster::{self, Topology};
use super::config::{RedisConfig, SentinelConfig};
use super::failure::{explain, explain_connecting};
use crate::connector::ConnectorError;
use crate::secret::Secret;

/// The servers of a store, connected.
#[derive(Clone)]
pub(super) struct Servers {
    pub(super) nodes: Vec<Node>,
    topology: Option<Topology>,
}

/// One server that holds sessions.
#[derive(Clone)]
pub(super) struct Node {
    connection: MultiplexedConnection,
    client: Client,
    /// A cluster takes one key a command.
    pub(super) clustered: bool,
}

impl Node {
    async fn connect(client: Client, clustered: bool) -> Result<Self, ConnectorError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(5)))
            .set_response_timeout(Some(Duration::from_secs(30)));
        let tls = matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. });
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|e| explain_connecting(&e, tls))?;
        Ok(Self { connection, client, clustered })
    }

    /// Another connection to the same server, for a transaction of its own.
    pub(super) async fn apart(&self) -> Result<Self, ConnectorError> {
        Self::connect(self.client.clone(), self.clustered).await
    }

    /// Asks all at once, and gives each answer; what one of them refuses is an answer, too.
    pub(super) async fn ask(&self, questions: &Pipeline) -> Result<Vec<Value>, ConnectorError> {
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.connection.clone();
        connection.req_packed_commands(questions, 0, questions.len()).await.map_err(|e| explain(&e))
    }

    /// Asks one thing.
    pub(super) async fn ask_one(&self, question: &Cmd) -> Result<Value, RedisError> {
        let mut connection = self.connection.clone();
        connection.req_packed_command(question).await?.extract_error()
    }

    /// Whether it still answers, is of the kind that was configured, and takes writes.
    async fn greet(&self) -> Result<(), ConnectorError> {
        let answer = match self.ask_one(&redis::cmd("HELLO")).await {
            Ok(answer) => answer,
            // Older than Redis 6: it cannot say.
            Err(error) if error.to_string().contains("unknown command") => return Ok(()),
            Err(error) => return Err(explain(&error)),
        };
        let said: Vec<(String, String)> = match answer {
            Value::Array(items) => {
                items.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
            }
            Value::Map(pairs) => pairs.iter().map(|(key, value)| (text(key), text(value))).collect(),
            _ => Vec::new(),
        };
        let says = |key: &str, value: &str| said.iter().any(|(k, v)| k == key && v == value);
        let wrong = if says("mode", "sentinel") {
            "this is a sentinel, not a Redis server: write it under sentinel"
        } else if says("mode", "cluster") && !self.clustered {
            "this server is one of a cluster: write cluster = [...] instead of url"
        } else if says("role", "replica") {
            "this server is a read-only replica: give the address of the primary, or its sentinels"
        } else {
            return Ok(());
        };
        Err(ConnectorError::Unexpected(wrong.to_owned()))
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        _ => String::new(),
    }
}

impl Servers {
    /// Connects as configured.
    pub(super) async fn connect(config: &RedisConfig) -> Result<Self, ConnectorError> {
        if let Some(sentinel) = &config.sentinel {
            return Self::by_sentinel(config, sentinel).await;
        }
        match &config.url {
            Some(url) => {
                let node = Node::connect(client(config, info(config, url)?)?, false).await?;
                Self::alone(node).await
            }
            None => Self::by_cluster(config).await,
        }
    }

    async fn alone(node: Node) -> Result<Self, ConnectorError> {
        node.greet().await?;
        Ok(Self { nodes: vec![node], topology: None })
    }

    /// Whether the connections of an earlier pass serve again: one server that still answers.
    pub(super) async fn serve_again(&self, config: &RedisConfig) -> bool {
        config.url.is_some() && self.nodes[0].greet().await.is_ok()
    }

    /// The server where a key lies.
    pub(super) fn node_of(&self, key: &[u8]) -> usize {
        self.topology.as_ref().map_or(0, |topology| topology.node_of(key))
    }

    /// Asks each question of the server that holds its key, and gives the answers in order. What one
    /// of them refuses fails all.
    pub(super) async fn ask_each(&self, questions: &[(Vec<u8>, Cmd)]) -> Result<Vec<Value>, ConnectorError> {
        let mut answers = vec![Value::Nil; questions.len()];
        for (number, node) in self.nodes.iter().enumerate() {
            let here = questions.iter().enumerate().filter(|(_, (key, _))| self.node_of(key) == number);
            let (places, here): (Vec<usize>, Vec<Cmd>) = here.map(|(n, (_, cmd))| (n, cmd.clone())).unzip();
            let mut pipe = redis::pipe();
            for question in here {
                pipe.add_command(question);
            }
            for (place, answer) in places.into_iter().zip(node.ask(&pipe).await?) {
                answers[place] = answer.extract_error().map_err(|e| explain(&e))?;
            }
        }
        Ok(answers)
    }

    /// Fails if the cluster is not what it was when the pass began: keys may have moved past it.
    pub(super) async fn check_unmoved(&self) -> Result<(), ConnectorError> {
        let Some(before) = &self.topology else { return Ok(()) };
        for node in &self.nodes {
            if !Topology::read(node).await?.is_same(before) {
                let why = "the cluster changed while it was read; the pass begins anew";
                return Err(ConnectorError::Unexpected(why.to_owned()));
            }
        }
        Ok(())
    }

    async fn by_cluster(config: &RedisConfig) -> Result<Self, ConnectorError> {
        let mut failure = None;
        for url in &config.cluster {
            match Self::by_member(config, url).await {
                Ok(servers) => return Ok(servers),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.expect("a configuration without addresses is refused"))
    }

    async fn by_member(config: &RedisConfig, url: &Secret) -> Result<Self, ConnectorError> {
        let known = info(config, url)?;
        let member = Node::connect(client(config, known.clone())?, true).await?;
        let topology = Topology::read(&member).await?;
        let mut nodes = Vec::new();
        for address in topology.addresses() {
            let info = elsewhere(&known, address);
            let node = Node::connect(client(config, info)?, true).await?;
            node.greet().await?;
            nodes.push(node);
        }
        let servers = Self { nodes, topology: Some(topology) };
        servers.check_unmoved().await?;
        Ok(servers)
    }

    async fn by_sentinel(config: &RedisConfig, sentinel: &SentinelConfig) -> Result<Self, ConnectorError> {
        let mut failure = None;
        for url in &sentinel.urls {
            let named = match primary(config, sentinel, url).await {
                Ok(named) => named,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            let settings = RedisConnectionInfo::default().set_db(sentinel.db);
            let address = with_tls(named, sentinel.tls);
            let info = address.into_connection_info().map_err(|e| explain(&e))?.set_redis_settings(settings);
            let node = Node::connect(client(config, with_login(config, info))?, false).await?;
            return Self::alone(node).await;
        }
        Err(failure.expect("a configuration without addresses is refused"))
    }
}

/// Asks one sentinel for the primary's host and port.
async fn primary(
    config: &RedisConfig,
    sentinel: &SentinelConfig,
    url: &Secret,
) -> Result<cluster::Address, ConnectorError> {
    let info = url.0.expose_secret().into_connection_info().map_err(|e| explain(&e))?;
    let node = Node::connect(client(config, info)?, false).await?;
    let mut question = redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(&sentinel.master);
    let unexpected = |why: &str| ConnectorError::Unexpected(why.to_owned());
    match node.ask_one(&question).await {
        Ok(Value::Array(parts)) if parts.len() == 2 => {
            let port = text(&parts[1]).parse().map_err(|_| unexpected("the sentinel named no port"))?;
            Ok(cluster::Address { host: text(&parts[0]), port })
        }
        Ok(_) => Err(unexpected("the sentinel knows no primary of the name given in sentinel.master")),
        Err(error) if error.to_string().contains("unknown command") => {
            Err(unexpected("this is a Redis server, not a sentinel: write it as url"))
        }
        Err(error) => Err(explain(&error)),
    }
}

/// The same login and TLS at another address. A cluster's server that does not know its own host is
/// where it was asked.
fn elsewhere(known: &ConnectionInfo, address: &cluster::Address) -> ConnectionInfo {
    let (known_host, tls) = match known.addr() {
        ConnectionAddr::TcpTls { host, .. } => (host.clone(), true),
        ConnectionAddr::Tcp(host, _) => (host.clone(), false),
        _ => (String::new(), false),
    };
    let host = if address.host.is_empty() { known_host } else { address.host.clone() };
    known.clone().set_addr(with_tls(cluster::Address { host, port: address.port }, tls))
}

fn with_tls(address: cluster::Address, tls: bool) -> ConnectionAddr {
    let cluster::Address { host, port } = address;
    if tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    }
}

fn info(config: &RedisConfig, url: &Secret) -> Result<ConnectionInfo, ConnectorError> {
    let info = url.0.expose_secret().into_connection_info().map_err(|e| explain(&e))?;
    Ok(with_login(config, info))
}

fn with_login(config: &RedisConfig, info: ConnectionInfo) -> ConnectionInfo {
    let mut settings = info.redis_settings().clone();
    if let Some(username) = &config.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &config.password {
        settings = settings.set_password(password.0.expose_secret());
    }
    info.set_redis_settings(settings)
}

fn client(config: &RedisConfig, info: ConnectionInfo) -> Result<Client, ConnectorError> {
    if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        return Client::open(info).map_err(|e| explain(&e));
    }
    let certificates = certificates(config).map_err(ConnectorError::Unexpected)?;
    Client::build_with_tls(info, certificates).map_err(|e| explain(&e))
}

/// The certificates to trust and to show; the files are read each time, so new ones are taken up.
pub(super) fn certificates(config: &RedisConfig) -> Result<TlsCertificates, String> {
    let read = |file: &std::path::PathBuf| {
        std::fs::read(file).map_err(|e| format!("cannot read {}: {e}", file.display()))
    };
    let client_tls = match (&config.client_certificate, &config.client_key) {
        (Some(certificate), Some(key)) => {
            Some(ClientTlsConfig { client_cert: read(certificate)?, client_key: read(key)? })
        }
        _ => None,
    };
    let Some(file) = &config.ca_file else { return Ok(TlsCertificates { client_tls, root_cert: None }) };
    let mut pem = read(file)?;
    if !pem.windows(11).any(|window| window == b"BEGIN CERTI") {
        return Err(format!("{} holds no PEM certificate", file.display()));
    }
    for certificate in rustls_native_certs::load_native_certs().certs {
        let text = STANDARD.encode(&certificate);
        pem.extend(format!("\n-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").bytes());
    }
    Ok(TlsCertificates { client_tls, root_cert: Some(pem) })
}
