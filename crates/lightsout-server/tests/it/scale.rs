//! A group takes time in proportion to its people, even where PostgreSQL's statistics know nothing of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lightsout_client::api::{CreateTermination, TerminationState};
use lightsout_client::{Auth, Client};
use lightsout_server::app::App;
use lightsout_server::args;
use lightsout_server::store::{Retention, Value, Walk};
use lightsout_server::worker;
use tokio_util::sync::CancellationToken;

use crate::harness::{Database, Harness};

/// People of a small group; a large one has four times as many.
const PEOPLE: usize = 1_000;
/// The most that a large group may cost, in multiples of a small one: four, and room for noise.
const TIMES: u32 = 6;

/// A node of its own for the work that is measured.
struct Node {
    app: Arc<App>,
    admin: Client,
    counts_rows: bool,
}

/// What it took to end a group, from the request to its last outcome.
struct Cost {
    termination_id: String,
    time: Duration,
    rows: i64,
}

#[tokio::test]
async fn four_times_the_people_take_four_times_as_long_on_sqlite() {
    let h = Harness::start(Database::Sqlite).await;
    let node = node(&h, false).await;
    measure(&h, &node).await;
    h.finish().await;
}

#[tokio::test]
async fn statistics_of_nearly_empty_tables_make_no_group_quadratic() {
    let h = Harness::start(Database::Postgres).await;
    let ann = h.user("ann").await;
    let first = h.group("first", &[&ann]).await;
    h.sign_in(&ann).await;
    let node = node(&h, true).await;
    end(&h, &node, &first).await;
    freeze_statistics(&h).await;
    measure(&h, &node).await;
    follow_up(&h, &node).await;
    h.finish().await;
}

#[tokio::test]
async fn sessions_of_few_people_are_found_by_key_however_many_there_are() {
    let h = Harness::start(Database::Postgres).await;
    let ann = h.user("ann").await;
    for _ in 0..4 {
        h.sign_in(&ann).await;
    }
    let node = node(&h, true).await;
    // By these statistics, one person holds every session: an index would not help.
    freeze_statistics(&h).await;
    let mut rows = Vec::new();
    for (group, people) in [("few", PEOPLE), ("many", 9 * PEOPLE)] {
        fill(&h, group, people).await;
        let mut tx = h.app.db.begin().await.expect("the database works");
        tx.raise_all_barriers(h.app.clock.now_ms()).await.expect("raised");
        tx.commit().await.expect("the database works");
        let ids: Vec<String> = (0..100).map(|n| format!("{group}-{n:06}")).collect();
        let before = rows_read(&node).await;
        let live = node.app.db.count_sessions(&ids, 0).await.expect("the database works");
        let ended = node.app.db.list_ended_sessions(&ids).await.expect("the database works");
        let mut tx = node.app.db.begin().await.expect("the database works");
        let emptied = tx.empty_ended_sessions(&ended, 1).await.expect("emptied");
        tx.commit().await.expect("the database works");
        assert_eq!((live.len(), ended.len(), emptied.len()), (0, 100, 100));
        rows.push(rows_read(&node).await - before);
    }
    assert!(rows[1] <= 2 * rows[0], "rows read with {PEOPLE} and with ten times as many sessions: {rows:?}");
    h.finish().await;
}

/// What is done with a termination afterwards: its outcomes are read, tried again, and forgotten.
async fn follow_up(h: &Harness, node: &Node) {
    forget(h, node).await;
    let mut costs = Vec::new();
    for (group, people) in [("few", PEOPLE / 2), ("many", PEOPLE * 2)] {
        fill(h, group, people).await;
        let id = end(h, node, group).await.termination_id;
        let mut rows = vec![rows_read(node).await];
        read_outcomes(node, &id, people).await;
        rows.push(rows_read(node).await);
        retry(h, node, &id).await;
        rows.push(rows_read(node).await);
        forget(h, node).await;
        rows.push(rows_read(node).await);
        costs.push(rows.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>());
    }
    // Four times for each; sixteen times would be quadratic.
    let is_linear = |(few, many): (&i64, &i64)| *many <= few * 8;
    assert!(
        costs[0].iter().zip(&costs[1]).all(is_linear),
        "rows read for outcomes, a retry, and retention: {costs:?}",
    );
}

/// Reads every page of the outcomes, and one of those in a state.
async fn read_outcomes(node: &Node, id: &str, people: usize) {
    let (mut marker, mut read) = (None, 0);
    loop {
        let page = node.admin.outcomes(id, marker.as_deref()).await.expect("a page");
        read += page.entries.len();
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(read, people * 2, "one for each person and system");
    let people = i64::try_from(people).expect("few");
    let found = node.app.db.list_people_in(id, "nothing_found", people).await.expect("the database works");
    assert_eq!(found.len(), usize::try_from(people).expect("few"), "the shop knew nobody's session");
}

/// Tries every third person again.
async fn retry(h: &Harness, node: &Node, id: &str) {
    let mut tx = node.app.db.begin().await.expect("the database works");
    let sql = "UPDATE outcomes SET state = 'gave_up' WHERE termination_id = $1 AND ordinal % 3 = 0";
    tx.execute(sql, args![id]).await.expect("outcomes");
    tx.commit().await.expect("the database works");
    node.admin.retry_termination(id).await.expect("open again");
    work(h, node).await;
}

/// Deletes every termination, and what hangs on it.
async fn forget(h: &Harness, node: &Node) {
    let now = h.app.clock.now_ms();
    let retention = Retention {
        now,
        events_before: 0,
        terminations_before: now + 1,
        idempotency_keys_before: 0,
        barrier_names_before: 0,
    };
    let mut walk = Walk::default();
    while node.app.db.prune(&retention, &mut walk).await.expect("pruned") {}
}

/// Compares small groups with large ones, and takes the better of two for each.
async fn measure(h: &Harness, node: &Node) {
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for round in 1..=2 {
        for (name, people, costs) in [("small", PEOPLE, &mut small), ("large", 4 * PEOPLE, &mut large)] {
            let group = format!("{name}{round}");
            fill(h, &group, people).await;
            costs.push(end(h, node, &group).await);
        }
    }
    let time = |costs: &[Cost]| costs.iter().map(|cost| cost.time).min().expect("two");
    let rows = |costs: &[Cost]| costs.iter().map(|cost| cost.rows).max().expect("two");
    assert!(
        time(&large) <= time(&small) * TIMES,
        "{PEOPLE} people took {:?}, four times as many {:?}",
        time(&small),
        time(&large),
    );
    assert!(
        rows(&large) <= rows(&small) * i64::from(TIMES),
        "{PEOPLE} people took {} rows, four times as many {}",
        rows(&small),
        rows(&large),
    );
}

/// Ends a group by request, and works its jobs until the last outcome is final.
async fn end(h: &Harness, node: &Node, group: &str) -> Cost {
    let (rows_before, started) = (rows_read(node).await, Instant::now());
    let request = CreateTermination { group_ids: vec![group.into()], ..CreateTermination::default() };
    let id = node.admin.terminate(&request, None).await.expect("accepted").id;
    work(h, node).await;
    let (time, rows) = (started.elapsed(), rows_read(node).await - rows_before);
    let termination = node.admin.termination(&id.0).await.expect("the termination");
    assert_eq!(termination.state, TerminationState::Done);
    Cost { termination_id: id.0, time, rows }
}

/// Works the jobs and advances the clock until the last outcome is final.
async fn work(h: &Harness, node: &Node) {
    let stop = CancellationToken::new();
    while !node.app.db.count_open_jobs().await.expect("the database works").is_empty() {
        for system in node.app.systems.keys() {
            while worker::pass(&node.app, system, &stop).await.expect("the database works") > 0 {}
        }
        h.advance(10_000);
    }
}

/// A node with one connection, whose statements are counted where the database can.
async fn node(h: &Harness, counts_rows: bool) -> Node {
    let (app, url) = h.other_node_with(1).await;
    let token = h.token_of("ada@acme.example", "").await;
    Node { app, admin: Client::new(&url, Auth::developer_token(token)).expect("a client"), counts_rows }
}

/// The rows that were read by the statements of the node's connection.
async fn rows_read(node: &Node) -> i64 {
    if !node.counts_rows {
        return 0;
    }
    // A connection reports what it has read once a second, or when it is told to.
    let _: Option<(String,)> = node
        .app
        .db
        .find("SELECT CAST(pg_stat_force_next_flush() AS TEXT)", args![])
        .await
        .expect("the database works");
    let rows: Option<(i64,)> = node
        .app
        .db
        .find(
            "SELECT CAST(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) AS BIGINT)
             FROM pg_stat_user_tables WHERE schemaname = current_schema()",
            args![],
        )
        .await
        .expect("the database works");
    rows.expect("one row").0
}

/// Takes statistics of every table now, and never again.
async fn freeze_statistics(h: &Harness) {
    let mut tx = h.app.db.begin().await.expect("the database works");
    tx.execute(
        "DO $$
         DECLARE name TEXT;
         BEGIN
             FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() LOOP
                 EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = off)', name);
                 EXECUTE format('ANALYZE %I', name);
             END LOOP;
         END $$",
        args![],
    )
    .await
    .expect("statistics");
    tx.commit().await.expect("the database works");
}

/// Makes a group of new people, each with a session, as rows.
async fn fill(h: &Harness, group: &str, people: usize) {
    let ids: Vec<String> = (0..people).map(|n| format!("{group}-{n:06}")).collect();
    let ids = Value::from(serde_json::Value::from(ids));
    let enterprise = h.enterprise_id.as_str();
    let mut tx = h.app.db.begin().await.expect("the database works");
    for (sql, args) in [
        (
            "INSERT INTO groups (group_id, enterprise_id, name, name_folded, profile, created_at, modified_at)
             VALUES ($1, $2, $1, $1, '', 0, 0)",
            args![group, enterprise],
        ),
        (
            "INSERT INTO users (user_id, enterprise_id, login, login_folded, name, name_folded, role, status,
                                profile, created_at, modified_at)
             SELECT id, $2, id, id, id, id, 'user', 'active', '', 0, 0
             FROM (SELECT value AS id FROM {texts $1} AS ids) AS people",
            args![ids.clone(), enterprise],
        ),
        (
            "INSERT INTO memberships (membership_id, group_id, user_id, role, permissions, created_at, modified_at)
             SELECT id, $2, id, 'member', '', 0, 0
             FROM (SELECT value AS id FROM {texts $1} AS ids) AS people",
            args![ids.clone(), group],
        ),
        (
            "INSERT INTO sessions (user_id, session_hash, client_id, generation, began_at, registered_at, expires_at)
             SELECT id, id, '', 0, 0, 0, 9000000000000
             FROM (SELECT value AS id FROM {texts $1} AS ids) AS people",
            args![ids],
        ),
    ] {
        tx.execute(sql, args).await.expect("rows");
    }
    tx.commit().await.expect("the database works");
}
