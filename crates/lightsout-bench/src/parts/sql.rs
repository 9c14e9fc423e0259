//! Django's database sessions: one user and 1,000 users, each beside the bare statements.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lightsout_server::clock::Clock;
use lightsout_server::connector::{Connector, Reply, Sql, SqlConfig, SqlPreset, Target};

use crate::Bench;
use crate::report::Part;
use crate::stats::{Times, digits, float, ratio, time, timed, whole};
use crate::store::{Kind, Store};

const USERS: usize = 10_000;
const PAGE: usize = 1_000;

/// Times of the connector and of the bare statements.
struct Found {
    what: String,
    ours: Times,
    bare: Times,
}

pub(crate) fn run(bench: &Bench, part: &mut Part) -> anyhow::Result<()> {
    let rows = bench.size(20_000, 100_000);
    let rounds = bench.size(3, 7);
    part.text(format!(
        "{} sessions of {} users in Django's table, read whole, since the user stands inside the signed value. Bare: \
         a `SELECT` of every key and value in the same pages with the same condition by the same driver; for an end, \
         the same and a `DELETE` by key. Medians of {rounds} rounds, in turns.",
        whole(float(rows)),
        whole(float(USERS))
    ));
    let mut table = Vec::new();
    for kind in Kind::BOTH {
        let folder = bench.folder("sql")?;
        let url = match kind {
            Kind::Sqlite => format!("sqlite:{}", folder.join("django.db").display()),
            Kind::Postgres => bench.postgres().create("django")?,
        };
        for found in measure(&url, rows, rounds)? {
            let (ours, bare) = (found.ours.median(), found.bare.median());
            let of_bare = digits(ratio(ours, bare));
            table.push([kind.name().to_owned(), found.what, time(ours), time(bare), of_bare]);
        }
    }
    part.table(["database", "pass", "connector", "bare", "ratio"], table);
    bench.postgres().drop("django")
}

fn measure(url: &str, rows: usize, rounds: usize) -> anyhow::Result<Vec<Found>> {
    let store = Store::open(url)?;
    prepare(&store, rows)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let config = SqlConfig {
        preset: Some(SqlPreset::Django),
        table: Some("bench_session".to_owned()),
        user_table: Some("bench_user".to_owned()),
        ..SqlConfig::new(url)
    };
    let sql = Sql::new(config, Clock::system()).map_err(anyhow::Error::msg)?;
    let mut all = Vec::new();
    for users in [1, 1_000] {
        let targets: Vec<Target> =
            (0..users).map(|n| Target::every_session(&n.to_string(), format!("user{n}"))).collect();
        let chosen: Vec<usize> = (0..rows).filter(|n| n % USERS < users).collect();
        let found = |what: &str| Found {
            what: format!(
                "{what} {}",
                if users == 1 { "one user".to_owned() } else { format!("{} users", whole(float(users))) }
            ),
            ours: Times::default(),
            bare: Times::default(),
        };
        let (mut find, mut end) = (found("look for"), found("end"));
        for _ in 0..rounds {
            let (count, took) = timed(|| Ok(count(&runtime.block_on(sql.find(&targets))?.replies)))?;
            anyhow::ensure!(count == chosen.len(), "it found {count} of {}", chosen.len());
            find.ours.push(took);
            find.bare.push(timed(|| scan(&store, rows))?.1);
            let (count, took) = timed(|| Ok(self::count(&runtime.block_on(sql.end(&targets))?.replies)))?;
            anyhow::ensure!(count == chosen.len(), "it ended {count} of {}", chosen.len());
            end.ours.push(took);
            insert(&store, &chosen)?;
            let bare = || {
                scan(&store, rows)?;
                delete(&store, &chosen)
            };
            end.bare.push(timed(bare)?.1);
            insert(&store, &chosen)?;
        }
        all.extend([find, end]);
    }
    Ok(all)
}

fn prepare(store: &Store, rows: usize) -> anyhow::Result<()> {
    let time = if store.kind() == Kind::Postgres { "timestamp with time zone" } else { "datetime" };
    store.script(&format!(
        "CREATE TABLE bench_session (session_key varchar(40) PRIMARY KEY, session_data text NOT NULL, expire_date {time} NOT NULL);
         CREATE TABLE bench_user (id integer PRIMARY KEY, username varchar(150) NOT NULL UNIQUE)"
    ))?;
    let users: Vec<String> = (0..USERS).map(|n| format!("({n}, 'user{n}')")).collect();
    store.script(&format!("INSERT INTO bench_user VALUES {}", users.join(", ")))?;
    insert(store, &(0..rows).collect::<Vec<_>>())?;
    store.script("ANALYZE")
}

fn insert(store: &Store, rows: &[usize]) -> anyhow::Result<()> {
    for chunk in rows.chunks(PAGE) {
        let values: Vec<String> = chunk
            .iter()
            .map(|n| format!("('{}', '{}', '2033-05-18 03:33:20')", key(*n), session(n % USERS)))
            .collect();
        store.script(&format!("INSERT INTO bench_session VALUES {}", values.join(", ")))?;
    }
    Ok(())
}

/// A session as Django writes one: signed, with a little of the app's own in it.
fn session(user: usize) -> String {
    let json = serde_json::json!({
        "_auth_user_id": user.to_string(),
        "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
        "_auth_user_hash": "0".repeat(64),
    });
    format!("{}:1xVG4W:{}", URL_SAFE_NO_PAD.encode(json.to_string()), "s".repeat(43))
}

fn key(n: usize) -> String {
    format!("{:032x}", (n as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

/// Reads every key and value, in the same pages and with the same condition.
fn scan(store: &Store, rows: usize) -> anyhow::Result<()> {
    let live = if store.kind() == Kind::Postgres { "now()" } else { "datetime('now', '-1 day')" };
    let sql = format!(
        "SELECT session_key, session_data FROM bench_session WHERE session_key > $1 AND expire_date > {live} ORDER BY session_key LIMIT {PAGE}"
    );
    let (mut after, mut bytes) = (String::new(), 0);
    loop {
        let page = store.page(&sql, &after)?;
        bytes += page.iter().map(|(_, data)| data.len()).sum::<usize>();
        match page.last() {
            Some((last, _)) if page.len() == PAGE => after.clone_from(last),
            _ => break,
        }
    }
    anyhow::ensure!(bytes > rows * 100, "every value was read");
    Ok(())
}

fn delete(store: &Store, rows: &[usize]) -> anyhow::Result<()> {
    for chunk in rows.chunks(500) {
        let keys: Vec<String> = chunk.iter().map(|n| format!("'{}'", key(*n))).collect();
        store.script(&format!("DELETE FROM bench_session WHERE session_key IN ({})", keys.join(", ")))?;
    }
    Ok(())
}

fn count(replies: &[Reply]) -> usize {
    replies.iter().map(|r| if let Reply::Sessions(sessions) = r { sessions.len() } else { 0 }).sum()
}
