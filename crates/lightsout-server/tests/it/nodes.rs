//! Several nodes on one database: what each knows, when, and what it says when it cannot know.

use std::sync::Arc;

use lightsout_client::api::{CreateTermination, RegisteredSession, Role, UpdateUser};
use lightsout_client::{Auth, Client, Subject};
use lightsout_server::app::App;
use reqwest::StatusCode;

use crate::harness::{Harness, both};

/// A second node, and a client of it.
struct Other {
    app: Arc<App>,
    url: String,
    client: Client,
}

impl Other {
    async fn start(h: &Harness) -> Self {
        let (app, url) = h.other_node().await;
        let (id, secret) = h.credentials.clone();
        let auth = Auth::client_credentials(&id, secret, Subject::Enterprise(h.enterprise_id.clone()));
        let client = Client::new(&url, auth).expect("a client");
        Self { app, url, client }
    }

    async fn is_active(&self, session: &RegisteredSession) -> bool {
        let id = session.session_id.as_deref().expect("the service minted it");
        self.client.introspect(id).await.expect("an answer").active
    }
}

async fn status(url: &str, token: &str) -> StatusCode {
    reqwest::Client::new().get(url).bearer_auth(token).send().await.expect("an answer").status()
}

both! {
    async fn a_node_knows_its_own_terminations_at_once_and_another_ones_when_it_has_read_the_log(h: &mut Harness) {
        let other = Other::start(h).await;
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        assert!(other.is_active(&session).await, "read from the database");
        assert!(h.is_active(&session).await);
        let accepted = h.terminate(&ann).await;
        assert!(!h.is_active(&session).await, "refused on the answering node before any row is gone");
        other.app.index.catch_up().await.expect("the log is read");
        assert!(!other.is_active(&session).await);
        h.run_until_done(&accepted).await;
        assert!(!other.is_active(&session).await);
        let later = h.sign_in(&ann).await;
        assert!(other.is_active(&later).await, "a new sign-in lives on both");
    }
}

both! {
    async fn a_node_that_repeats_the_answer_of_another_knows_what_it_says(h: &mut Harness) {
        let (first, other) = (Other::start(h).await, Other::start(h).await);
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        assert!(other.is_active(&session).await);
        let request = CreateTermination { user_ids: vec![ann.as_str().into()], ..CreateTermination::default() };
        let accepted = first.client.terminate(&request, Some("once")).await.expect("it is accepted");
        assert!(other.is_active(&session).await, "it has not read the log");
        let again = other.client.terminate(&request, Some("once")).await.expect("it is accepted");
        assert_eq!(again.id, accepted.id);
        assert!(!other.is_active(&session).await, "refused on the answering node");
        h.run_until_done(&accepted.id.0).await;
    }
}

both! {
    async fn a_node_that_has_not_read_for_too_long_reads_before_it_answers(h: &mut Harness) {
        let other = Other::start(h).await;
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        assert!(other.is_active(&session).await);
        let accepted = h.terminate(&ann).await;
        h.advance(2_001);
        assert!(!other.is_active(&session).await);
        h.run_until_done(&accepted).await;
    }
}

both! {
    async fn a_node_without_its_database_says_active_of_nobody_after_the_limit(h: &mut Harness) {
        let other = Other::start(h).await;
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        assert!(other.is_active(&session).await);
        let token = h.app_token().await;
        let (ready, feed) = (format!("{}/readyz", other.url), format!("{}/v1/barriers", other.url));
        assert_eq!(status(&feed, &token).await, StatusCode::OK);
        other.app.db.close().await;
        assert!(other.is_active(&session).await, "within the limit it answers from memory");
        h.advance(2_001);
        let id = session.session_id.as_deref().expect("minted");
        let introspect = reqwest::Client::new().post(format!("{}/oauth2/introspect", other.url));
        let answer = introspect.bearer_auth(&token).form(&[("token", id)]).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["retry-after"], "1");
        assert_eq!(status(&ready, &token).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(&feed, &token).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(&h.url("/readyz"), &token).await, StatusCode::OK, "the other node goes on");
    }
}

both! {
    async fn one_ended_session_a_revoked_token_and_another_role_reach_the_other_node(h: &mut Harness) {
        let other = Other::start(h).await;
        let ann = h.user("ann").await;
        let (first, second) = (h.sign_in(&ann).await, h.sign_in(&ann).await);
        assert!(other.is_active(&first).await && other.is_active(&second).await);
        h.registrar.end_session(&first.id.0).await.expect("ended");
        assert!(!h.is_active(&first).await);
        other.app.index.catch_up().await.expect("the log is read");
        assert!(!other.is_active(&first).await);
        assert!(other.is_active(&second).await, "the other session lives");

        let token = h.app_token().await;
        let users = format!("{}/2.0/users", other.url);
        assert_eq!(status(&users, &token).await, StatusCode::OK);
        let form = [("client_id", &h.credentials.0), ("client_secret", &h.credentials.1), ("token", &token)];
        let revoke = reqwest::Client::new().post(h.url("/oauth2/revoke")).form(&form).send().await;
        assert_eq!(revoke.expect("an answer").status(), StatusCode::OK);
        assert_eq!(status(&h.url("/2.0/users"), &token).await, StatusCode::UNAUTHORIZED);
        other.app.index.catch_up().await.expect("the log is read");
        assert_eq!(status(&users, &token).await, StatusCode::UNAUTHORIZED);

        let anns = h.token_of("ann@acme.example", "").await;
        assert_eq!(status(&users, &anns).await, StatusCode::FORBIDDEN);
        let promoted = UpdateUser { role: Some(Role::Coadmin), ..UpdateUser::default() };
        h.admin.update_user(&ann, &promoted).await.expect("a coadmin");
        other.app.index.catch_up().await.expect("the log is read");
        assert_eq!(status(&users, &anns).await, StatusCode::OK, "the new role counts");
        h.admin.delete_user(&ann).await.expect("deleted");
        other.app.index.catch_up().await.expect("the log is read");
        assert_eq!(status(&users, &anns).await, StatusCode::UNAUTHORIZED);
        assert!(!other.is_active(&second).await);
        h.run_jobs().await;
        h.advance(40_000);
        h.run_jobs().await;
    }
}

both! {
    async fn generations_that_an_operator_raised_are_heard(h: &mut Harness) {
        let other = Other::start(h).await;
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        assert!(other.is_active(&session).await);
        lightsout_server::ops::admin::raise_generations(&h.app).await.expect("raised");
        assert!(!other.app.index.find_session(&session.id.0).await.expect("read").is_some_and(|s| {
            s.generation < s.generation_now
        }), "not read yet");
        other.app.index.catch_up().await.expect("the log is read");
        let facts = other.app.index.find_session(&session.id.0).await.expect("read").expect("stored");
        assert!(!facts.is_active(h.app.clock.now_ms()));
    }
}

both! {
    async fn an_index_that_starts_later_knows_the_same(h: &mut Harness) {
        let (ann, bob) = (h.user("ann").await, h.user("bob").await);
        let (ended, alone, lives) = (h.sign_in(&ann).await, h.sign_in(&bob).await, h.sign_in(&bob).await);
        let accepted = h.terminate(&ann).await;
        h.registrar.end_session(&alone.id.0).await.expect("ended");
        let other = Other::start(h).await;
        assert_eq!(other.app.index.session_count(), 1, "only who lives is kept");
        assert!(!other.is_active(&ended).await);
        assert!(!other.is_active(&alone).await);
        assert!(other.is_active(&lives).await);
        h.run_until_done(&accepted).await;
        h.advance(31 * 86_400_000);
        h.app.index.tidy();
        assert_eq!(h.app.index.session_count(), 0, "what has expired is forgotten");
    }
}

both! {
    async fn a_log_that_is_another_one_is_begun_anew(h: &mut Harness) {
        let other = Other::start(h).await;
        let ann = h.user("ann").await;
        let session = h.sign_in(&ann).await;
        assert!(other.is_active(&session).await);
        assert!(other.app.index.is_filled() && other.app.index.session_count() == 1);
        // As after a failover to a database that had not heard of everything, and went on.
        let replace = async |from: String, to: String| {
            let mut tx = h.app.db.begin().await.expect("a transaction");
            for table in ["UPDATE event_head SET chain_hash = $2 WHERE chain_hash = $1", "UPDATE events SET chain_hash = $2 WHERE chain_hash = $1"] {
                tx.execute(table, lightsout_server::args![&from, &to]).await.expect("changed");
            }
            tx.commit().await.expect("committed");
        };
        other.app.index.catch_up().await.expect("the log is read");
        let head = h.app.db.event_head().await.expect("the head");
        replace(head.chain_hash.clone(), "another".to_owned()).await;
        other.app.index.catch_up().await.expect("the log is read");
        assert!(!other.app.index.is_loaded() && other.app.index.session_count() == 0);
        assert!(other.app.index.feed_after(&h.enterprise_id, 0).is_none(), "nothing is told until it is loaded");
        other.app.index.load().await.expect("loaded");
        assert!(other.is_active(&session).await);
        replace("another".to_owned(), head.chain_hash).await;
        h.user("bob").await;
        other.app.index.catch_up().await.expect("the log is read");
        assert!(!other.app.index.is_loaded(), "and the first one is another again");
    }
}
