//! Sessions that no store holds: signed cookies, plain JWT. Nothing can end them; they are dead when
//! their life is over, and the report says when that is.

use futures_util::FutureExt;
use serde::Deserialize;

use super::{Answer, Answering, Capabilities, Connector, Explanation, Reply, Target};

/// How long such a session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatelessConfig {
    /// The longest life of a session in seconds, from sign-in to the end, renewals included.
    pub life_s: u32,
}

/// Sessions without a store.
#[derive(Clone, Copy, Debug)]
pub struct Stateless(StatelessConfig);

impl Stateless {
    /// Says when these sessions are dead; nothing is connected to.
    pub fn new(config: StatelessConfig) -> Self {
        Self(config)
    }

    fn answer(self, targets: &[Target]) -> Answer {
        let life_ms = i64::from(self.0.life_s) * 1_000;
        let ends_by = |t: &Target| Reply::EndsBy(t.cutoff.saturating_add(life_ms));
        targets.iter().map(ends_by).collect::<Vec<_>>().into()
    }
}

impl Connector for Stateless {
    fn capabilities(&self) -> Capabilities {
        Capabilities { targets_per_job: 2_000, jobs_per_pass: 100, counts: false }
    }

    fn explain(&self) -> Explanation {
        Explanation {
            matched: "every session: none is stored, so none can be looked up".to_owned(),
            ended: "nothing can be ended: each is dead when its life is over".to_owned(),
            proven: format!(
                "ends_by, {} s after the cutoff, is reported; it is not asked back",
                self.0.life_s
            ),
        }
    }

    fn end<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        async move { Ok(self.answer(targets)) }.boxed()
    }

    fn find<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        async move { Ok(self.answer(targets)) }.boxed()
    }
}
