//! Tables as the real packages make them, and what the packages write there.

use std::hash::{DefaultHasher, Hash, Hasher};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lightsout_server::connector::{Format, Path, SqlConfig, SqlPreset};

use super::database::{Base, Database};

/// Whose tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Find,
    Scan,
    Django,
    BetterAuth,
    Authjs,
    ConnectPgSimple,
    Laravel,
    TowerSessions,
    Kratos,
}

/// The names of the tables.
pub(super) struct Tables {
    pub(super) sessions: String,
    pub(super) users: String,
}

/// In 2033: no session of a test expires, and a TIMESTAMP of MySQL can hold it.
const LATER_MS: i64 = 2_000_000_000_000;

impl Tables {
    pub(super) fn new(layout: Layout) -> Self {
        let number = Database::number();
        let name = format!("{layout:?}").to_lowercase();
        Self { sessions: format!("{name}_s_{number}"), users: format!("{name}_u_{number}") }
    }
}

/// A number of a name, the same each time.
pub(super) fn number_of(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish() % 0x7fff_ffff
}

/// A UUID of a name.
pub(super) fn uuid_of(name: &str) -> String {
    format!("0f8fad5b-d9cb-469f-a165-{:012x}", number_of(name))
}

/// Django's signed form of a session, uncompressed, with a signature that nobody checks.
pub(super) fn django(user: &str) -> String {
    let json = serde_json::json!({"_auth_user_id": user, "_auth_user_backend": "x", "cart": [1, 2]});
    format!("{}:1xVG4W:c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(json.to_string()))
}

/// What `rmp_serde::to_vec` writes of a tower-sessions record with axum-login's data in it.
pub(super) fn tower(id: u8, user: &str) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).expect("short");
        let head = if length < 32 { vec![0xa0 | length] } else { vec![0xd9, length] };
        [head, text.as_bytes().to_vec()].concat()
    };
    let id = [&[0xc4, 0x10][..], &[0; 15], &[id]].concat();
    let user = [text("auth_hash"), vec![0x93, 1, 2, 3], text("user_id"), text(user)].concat();
    let data = [vec![0x81], text("axum-login.data"), vec![0x82], user].concat();
    [vec![0x93], id, data, vec![0x99, 0xcd, 0x08, 0x34, 1, 0, 0, 0, 0, 0, 0, 0]].concat()
}

impl Layout {
    pub(super) fn knows_begins(self) -> bool {
        matches!(self, Self::Find | Self::Scan | Self::BetterAuth | Self::Kratos)
    }

    pub(super) fn config(self, base: Base, tables: &Tables, url: &str) -> SqlConfig {
        let mut config = SqlConfig::new(url);
        let (s, u) = (base.name(&tables.sessions), base.name(&tables.users));
        let preset = match self {
            Self::Find => {
                config.find_sql = Some(format!(
                    "SELECT who AS subject, k AS session_key, began AS began_at FROM {s} WHERE who IN (:subjects)"
                ));
                config.end_sql = Some(format!("DELETE FROM {s} WHERE k IN (:keys)"));
                return config;
            }
            Self::Scan => {
                config.scan_sql = Some(format!(
                    "SELECT k AS session_key, v AS value FROM {s} WHERE k > :after ORDER BY k LIMIT :limit"
                ));
                config.end_sql = Some(format!("DELETE FROM {s} WHERE k IN (:keys)"));
                config.user_path = Some(Path::new(["passport", "user"]));
                config.began_at_path = Some(Path::new(["began"]));
                config.format = Some(Format::Json);
                return config;
            }
            Self::Django => SqlPreset::Django,
            Self::BetterAuth => SqlPreset::BetterAuth,
            Self::Authjs => SqlPreset::Authjs,
            Self::ConnectPgSimple => SqlPreset::ConnectPgSimple,
            Self::Laravel => SqlPreset::Laravel,
            Self::TowerSessions => SqlPreset::TowerSessions,
            Self::Kratos => SqlPreset::Kratos,
        };
        config.preset = Some(preset);
        config.table = Some(tables.sessions.clone());
        if !matches!(self, Self::ConnectPgSimple | Self::TowerSessions | Self::Kratos) {
            config.user_table = Some(tables.users.clone());
        }
        if self == Self::ConnectPgSimple {
            config.user_path = Some(Path::new(["passport", "user"]));
        }
        if self == Self::Kratos {
            // Kratos' other tables have no names of their own here.
            let [types, networks] = ["c", "n"].map(|t| base.name(&format!("{}{t}", tables.users)));
            config.user_sql = Some(format!(
                "SELECT i.identifier AS subject, c.identity_id AS user_key FROM {u} i \
                 JOIN {types} c ON c.id = i.identity_credential_id \
                 WHERE i.nid IN (SELECT id FROM {networks}) AND i.identifier IN (:subjects)"
            ));
        }
        // MySQL's times are in the zone of whoever wrote them; here that is UTC.
        config.times_are_utc = base == Base::MySql;
        config
    }

    pub(super) fn create(self, base: Base, tables: &Tables) -> Vec<String> {
        let (s, u) = (base.name(&tables.sessions), base.name(&tables.users));
        let pick = |pg, my, lite| base.pick(pg, my, lite);
        let id =
            pick("serial PRIMARY KEY", "bigint unsigned PRIMARY KEY AUTO_INCREMENT", "integer PRIMARY KEY");
        match self {
            Self::Find => {
                let key = pick("text", "varchar(100)", "text");
                vec![format!("CREATE TABLE {s} (k {key} PRIMARY KEY, who {key} NOT NULL, began bigint)")]
            }
            Self::Scan => {
                let key = pick("text", "varchar(100)", "text");
                vec![format!("CREATE TABLE {s} (k {key} PRIMARY KEY, v text)")]
            }
            Self::Django => {
                let time = pick("timestamp with time zone", "datetime(6)", "datetime");
                vec![
                    format!("CREATE TABLE {u} (id {id}, username varchar(150) NOT NULL UNIQUE)"),
                    format!(
                        "CREATE TABLE {s} (session_key varchar(40) NOT NULL PRIMARY KEY, session_data {} NOT NULL, expire_date {time} NOT NULL)",
                        pick("text", "longtext", "text")
                    ),
                ]
            }
            Self::BetterAuth => {
                let [text, time] =
                    [pick("text", "varchar(255)", "text"), pick("timestamptz", "timestamp(3)", "date")];
                let [user, begin, expires, agent, address] =
                    ["userId", "createdAt", "expiresAt", "userAgent", "ipAddress"].map(|n| base.name(n));
                vec![
                    format!(
                        "CREATE TABLE {u} (id {text} NOT NULL PRIMARY KEY, email {text} NOT NULL UNIQUE)"
                    ),
                    format!(
                        "CREATE TABLE {s} (id {text} NOT NULL PRIMARY KEY, {expires} {time} NOT NULL, token {text} NOT NULL UNIQUE, {begin} {time} NULL, {user} {text} NOT NULL, {agent} {text} NULL, {address} {text} NULL)"
                    ),
                ]
            }
            _ => self.create_others(base, tables),
        }
    }

    fn create_others(self, base: Base, tables: &Tables) -> Vec<String> {
        let (s, u) = (base.name(&tables.sessions), base.name(&tables.users));
        let pick = |pg, my, lite| base.pick(pg, my, lite);
        let id =
            pick("serial PRIMARY KEY", "bigint unsigned PRIMARY KEY AUTO_INCREMENT", "integer PRIMARY KEY");
        match self {
            Self::Authjs => vec![
                format!(
                    "CREATE TABLE {u} (id SERIAL, name VARCHAR(255), email VARCHAR(255) UNIQUE, PRIMARY KEY (id))"
                ),
                format!(
                    "CREATE TABLE {s} (id SERIAL, \"userId\" INTEGER NOT NULL, expires TIMESTAMPTZ NOT NULL, \"sessionToken\" VARCHAR(255) NOT NULL, PRIMARY KEY (id))"
                ),
            ],
            Self::ConnectPgSimple => vec![format!(
                "CREATE TABLE {s} (sid varchar NOT NULL COLLATE \"default\" PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL)"
            )],
            Self::Laravel => vec![
                format!("CREATE TABLE {u} (id {id}, email varchar(255) NOT NULL UNIQUE)"),
                format!(
                    "CREATE TABLE {s} (id varchar(255) NOT NULL PRIMARY KEY, user_id bigint NULL, ip_address varchar(45), user_agent text, payload {} NOT NULL, last_activity integer NOT NULL)",
                    pick("text", "longtext", "text")
                ),
            ],
            Self::TowerSessions => vec![format!(
                "CREATE TABLE {s} (id {} PRIMARY KEY NOT NULL, data {} NOT NULL, expiry_date {} NOT NULL)",
                pick("text", "char(22)", "text"),
                pick("bytea", "blob", "blob"),
                pick("timestamptz", "timestamp(6)", "integer"),
            )],
            Self::Kratos => {
                let [uuid, time] =
                    [pick("uuid", "char(36)", "char(36)"), pick("timestamp", "timestamp(6)", "datetime")];
                let [types, networks] = ["c", "n"].map(|t| base.name(&format!("{}{t}", tables.users)));
                let nid = uuid_of("network");
                vec![
                    format!("CREATE TABLE {networks} (id {uuid} PRIMARY KEY)"),
                    format!("INSERT INTO {networks} VALUES ('{nid}')"),
                    format!(
                        "CREATE TABLE {types} (id {uuid} PRIMARY KEY, identity_id {uuid} NOT NULL, nid {uuid})"
                    ),
                    format!(
                        "CREATE TABLE {u} (id {uuid} PRIMARY KEY, identifier varchar(255) NOT NULL, identity_credential_id {uuid} NOT NULL, nid {uuid}, UNIQUE (nid, identifier))"
                    ),
                    format!(
                        "CREATE TABLE {s} (id {uuid} PRIMARY KEY, issued_at {time} NULL, expires_at {time} NULL, authenticated_at {time} NULL, identity_id {uuid} NOT NULL, active {} DEFAULT false, nid {uuid})",
                        pick("boolean", "boolean", "NUMERIC")
                    ),
                ]
            }
            _ => panic!("{self:?} is made above"),
        }
    }

    /// The key of a user's row.
    fn user_key(self, subject: &str) -> String {
        match self {
            Self::Kratos | Self::BetterAuth => uuid_of(subject),
            _ => number_of(subject).to_string(),
        }
    }

    pub(super) fn add_user(self, base: Base, tables: &Tables, subject: &str) -> Vec<String> {
        let column = match self {
            Self::Find | Self::Scan | Self::ConnectPgSimple | Self::TowerSessions => return Vec::new(),
            Self::Django => "username",
            Self::Kratos => "identifier",
            _ => "email",
        };
        let (verb, tail) = match base {
            Base::Postgres => ("INSERT", " ON CONFLICT DO NOTHING"),
            Base::MySql => ("INSERT IGNORE", ""),
            Base::Sqlite => ("INSERT OR IGNORE", ""),
        };
        let (u, name, key) = (base.name(&tables.users), base.text(subject), self.user_key(subject));
        if self == Self::Kratos {
            let types = base.name(&format!("{}c", tables.users));
            let (id, nid) = (uuid_of(&format!("credential of {subject}")), uuid_of("network"));
            return vec![
                format!("{verb} INTO {types} (id, identity_id, nid) VALUES ('{id}', '{key}', '{nid}'){tail}"),
                format!(
                    "{verb} INTO {u} (id, identifier, identity_credential_id, nid) VALUES ('{id}', {name}, '{id}', '{nid}'){tail}"
                ),
            ];
        }
        vec![format!("{verb} INTO {u} (id, {column}) VALUES ('{key}', {name}){tail}")]
    }

    pub(super) fn sign_in(
        self,
        base: Base,
        tables: &Tables,
        subject: &str,
        key: &str,
        began_at: Option<i64>,
    ) -> Vec<String> {
        let s = base.name(&tables.sessions);
        let (user, later) = (self.user_key(subject), self.time(base, LATER_MS));
        let begin = began_at.map_or_else(|| "NULL".to_owned(), |ms| self.time(base, ms));
        let id = self.session_key(base, key);
        let json =
            || base.text(&serde_json::json!({"passport": {"user": subject}, "began": began_at}).to_string());
        let values = match self {
            Self::Find => {
                let began = began_at.map_or_else(|| "NULL".to_owned(), |ms| ms.to_string());
                format!("(k, who, began) VALUES ({id}, {}, {began})", base.text(subject))
            }
            Self::Scan => format!("(k, v) VALUES ({id}, {})", json()),
            Self::Django => format!(
                "(session_key, session_data, expire_date) VALUES ({id}, {}, {later})",
                base.text(&django(&user))
            ),
            Self::BetterAuth => {
                let [u, b, e] = ["userId", "createdAt", "expiresAt"].map(|n| base.name(n));
                format!(
                    "(id, {e}, token, {b}, {u}) VALUES ({id}, {later}, {}, {begin}, '{user}')",
                    base.text(&format!("token of {key}"))
                )
            }
            Self::Authjs => format!(
                "(id, \"userId\", expires, \"sessionToken\") VALUES ({id}, {user}, {later}, {})",
                base.text(key)
            ),
            Self::ConnectPgSimple => format!("(sid, sess, expire) VALUES ({id}, {}, {later})", json()),
            Self::Laravel => {
                format!("(id, user_id, payload, last_activity) VALUES ({id}, {user}, 'YTowOnt9', 1)")
            }
            Self::TowerSessions => {
                format!("(id, data, expiry_date) VALUES ({id}, {}, {later})", base.bytes(&tower(1, subject)))
            }
            Self::Kratos => format!(
                "(id, issued_at, expires_at, identity_id, active, nid) VALUES ({id}, {begin}, {later}, '{user}', true, '{}')",
                uuid_of("network")
            ),
        };
        let delete = format!("DELETE FROM {s} WHERE {} = {id}", self.key_column());
        vec![delete, format!("INSERT INTO {s} {values}")]
    }

    /// A time as the package writes it: UTC.
    fn time(self, base: Base, ms: i64) -> String {
        let form = match (base, self) {
            (Base::MySql, _) | (_, Self::Django) => "%Y-%m-%d %H:%M:%S%.6f",
            (Base::Sqlite, Self::Kratos) => "%Y-%m-%d %H:%M:%S%.6f+00:00",
            _ => "%Y-%m-%dT%H:%M:%S%.3fZ",
        };
        let at = jiff::Timestamp::from_millisecond(ms).expect("in range");
        format!("'{}'", at.strftime(form))
    }

    fn session_key(self, base: Base, key: &str) -> String {
        match self {
            Self::Authjs => number_of(key).to_string(),
            Self::Kratos => format!("'{}'", uuid_of(key)),
            _ => base.text(key),
        }
    }

    fn key_column(self) -> &'static str {
        match self {
            Self::Find | Self::Scan => "k",
            Self::Django => "session_key",
            Self::ConnectPgSimple => "sid",
            _ => "id",
        }
    }

    pub(super) fn lives(self, base: Base, tables: &Tables, key: &str) -> String {
        let active = if self == Self::Kratos { " AND active" } else { "" };
        let (s, key) = (base.name(&tables.sessions), self.session_key(base, key));
        format!("SELECT '1' FROM {s} WHERE {} = {key}{active}", self.key_column())
    }

    /// The rows of the sessions table, each as its key and the rest. What Kratos has ended stays there.
    pub(super) fn contents(self, base: Base, tables: &Tables) -> String {
        let (s, key) = (base.name(&tables.sessions), self.key_column());
        let rest: &[&str] = match self {
            Self::Find => &["who", "coalesce(began, 0)"],
            Self::Scan => &["v"],
            Self::Django => &["session_data", "expire_date"],
            Self::BetterAuth => &["userId", "createdAt", "expiresAt", "token"],
            Self::Authjs => &["userId", "expires", "sessionToken"],
            Self::ConnectPgSimple => &["sess", "expire"],
            Self::Laravel => &["user_id", "payload", "last_activity"],
            Self::TowerSessions => &["data", "expiry_date"],
            Self::Kratos => &["identity_id", "issued_at", "expires_at", "nid"],
        };
        let text = |column: &str| {
            let name = if column.contains('(') { column.to_owned() } else { base.name(column) };
            match base {
                Base::MySql if column == "data" => format!("HEX({name})"),
                Base::Sqlite if column == "data" => format!("hex({name})"),
                Base::MySql => format!("coalesce(CAST({name} AS CHAR), '-')"),
                _ => format!("coalesce(CAST({name} AS TEXT), '-')"),
            }
        };
        let columns: Vec<String> = std::iter::once(key).chain(rest.iter().copied()).map(text).collect();
        let active = if self == Self::Kratos { "WHERE active" } else { "" };
        format!("SELECT {} FROM {s} {active}", columns.join(", "))
    }
}
