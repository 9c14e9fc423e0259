//! SQL databases under the suite: own statements and presets, each on the databases that it is for.

mod database;
mod doubts;
mod errors;
mod layouts;
mod passes;
mod presets;

use futures_util::future::BoxFuture;
use lightsout_server::clock::Clock;
use lightsout_server::connector::{Connector, Sql};

use self::database::{Base, Database};
use self::layouts::{Layout, Tables};
use super::{Contents, Store, suite};

/// Tables of one layout in one database, of nobody else's.
struct SqlStore {
    connector: Sql,
    database: Database,
    layout: Layout,
    tables: Tables,
}

impl SqlStore {
    async fn new(base: Base, layout: Layout) -> Self {
        let database = Database::new(base).await;
        let tables = Tables::new(layout);
        for sql in layout.create(base, &tables) {
            database.run(&sql).await;
        }
        // Whom the suite looks for without a session: a preset that looks users up would know nobody.
        for sql in layout.add_user(base, &tables, "eve") {
            database.run(&sql).await;
        }
        let config = layout.config(base, &tables, &database.url);
        let connector = Sql::new(config, Clock::system()).expect("a configuration");
        Self { connector, database, layout, tables }
    }
}

impl Store for SqlStore {
    fn connector(&self) -> &dyn Connector {
        &self.connector
    }

    fn sign_in<'a>(&'a self, subject: &'a str, key: &'a str, began_at: Option<i64>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let base = self.database.base;
            let mut all = self.layout.add_user(base, &self.tables, subject);
            all.extend(self.layout.sign_in(base, &self.tables, subject, key, began_at));
            self.database.run(&all.join(";\n")).await;
        })
    }

    fn lives<'a>(&'a self, key: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let sql = self.layout.lives(self.database.base, &self.tables, key);
            !self.database.texts(&sql).await.is_empty()
        })
    }

    fn knows_begins(&self) -> bool {
        self.layout.knows_begins()
    }

    fn contents(&self) -> BoxFuture<'_, Contents> {
        Box::pin(async move {
            let rows = self.database.texts(&self.layout.contents(self.database.base, &self.tables)).await;
            let row = |mut row: Vec<Vec<u8>>| (row.remove(0), row.concat());
            rows.into_iter().map(row).collect()
        })
    }
}

macro_rules! on {
    ($($name:ident: $base:ident $layout:ident),+ $(,)?) => {
        $(suite!($name, SqlStore::new(Base::$base, Layout::$layout).await);)+
    };
}

on! {
    find_postgres: Postgres Find,
    find_mysql: MySql Find,
    find_sqlite: Sqlite Find,
    scan_postgres: Postgres Scan,
    scan_mysql: MySql Scan,
    scan_sqlite: Sqlite Scan,
    django_postgres: Postgres Django,
    django_mysql: MySql Django,
    django_sqlite: Sqlite Django,
    better_auth_postgres: Postgres BetterAuth,
    better_auth_mysql: MySql BetterAuth,
    better_auth_sqlite: Sqlite BetterAuth,
    authjs_postgres: Postgres Authjs,
    connect_pg_simple_postgres: Postgres ConnectPgSimple,
    laravel_postgres: Postgres Laravel,
    laravel_mysql: MySql Laravel,
    laravel_sqlite: Sqlite Laravel,
    tower_sessions_postgres: Postgres TowerSessions,
    tower_sessions_mysql: MySql TowerSessions,
    tower_sessions_sqlite: Sqlite TowerSessions,
    kratos_postgres: Postgres Kratos,
    kratos_mysql: MySql Kratos,
    kratos_sqlite: Sqlite Kratos,
}
