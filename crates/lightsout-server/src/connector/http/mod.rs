//! Sessions behind a vendor's API, which a recipe describes as data.
//!
//! A pass looks the people up, lists what lives where the recipe can, makes the ending calls, and
//! replies. Nothing is ended that only began after the cutoff where the list shows that; a call that
//! ends all of a person's sessions is not made where only such sessions are listed.

mod caller;
mod look;
mod pass;
mod rate;
mod recipe;
mod sign;
mod template;
mod tokens;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use reqwest::Url;
use secrecy::ExposeSecret;
use serde::Deserialize;

use self::caller::{Caller, Paced};
use self::rate::Pace;
use self::recipe::{Call, Lookup, Recipe};
use self::template::{Setup, Slot};
use self::tokens::Tokens;
use super::{Answering, Capabilities, Connector, Explanation, Target, web};
use crate::clock::Clock;
use crate::secret::Secret;

/// How long one call may take.
const CALL_MAX: Duration = Duration::from_secs(15);
/// Calls at once, if the recipe says nothing.
const PARALLEL: usize = 4;
/// The most targets of a job; a bulk call may take more.
const TARGETS_MAX: usize = 500;

/// Which API, and how to get in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// `okta`, `entra`, `slack`, `keycloak`, `kratos`, `webhook`, or the path of a `.toml` file.
    pub recipe: String,
    /// Where the API is; some recipes know it.
    #[serde(default)]
    pub base_url: Option<String>,
    /// What the recipe calls secrets.
    #[serde(default)]
    pub secrets: BTreeMap<String, Secret>,
    /// What the recipe calls parameters.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// Certificates (PEM) to trust besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Whether the subject is the system's own id, so that nobody is looked up.
    #[serde(default)]
    pub subject_is_id: bool,
    /// Calls a minute, instead of every number in the recipe.
    #[serde(default)]
    pub calls_per_minute: Option<u32>,
    /// Calls at once, instead of the recipe's.
    #[serde(default)]
    pub parallel: Option<usize>,
    /// Seconds that tokens live on, instead of the recipe's.
    #[serde(default)]
    pub ends_by_s: Option<u32>,
}

/// A system behind an API.
#[derive(Debug)]
pub struct Http {
    name: String,
    recipe: Recipe,
    caller: Caller,
    lookup: Option<(Lookup, Paced)>,
    end: Paced,
    /// Whether the ending call names one session.
    per_session: bool,
    verify: Option<Paced>,
    check: Option<Paced>,
    parallel: usize,
    /// How long a pass may take.
    timeout: Duration,
    /// By subject and time of the request: between two requests a name may pass to another account.
    known: Mutex<HashMap<(String, i64), (String, Instant)>>,
    /// By a person's id, what was ordered to end and is still shown, and the newest request for which
    /// it was.
    ordered: Mutex<HashMap<String, HashMap<String, i64>>>,
}

impl Http {
    /// Reads the recipe, and says what of the configuration cannot work. Connects at the first pass.
    /// A pass answers within `timeout`.
    pub fn new(config: &HttpConfig, clock: Clock, timeout: Duration) -> Result<Self, String> {
        let mut recipe = Recipe::load(&config.recipe)?;
        recipe.ends_by_s = config.ends_by_s.or(recipe.ends_by_s);
        if recipe.ends_by_s.is_some() && recipe.verify.is_none() {
            return Err(
                "ends_by_s: the recipe has no [verify], so nothing shows that the order was carried out"
                    .to_owned(),
            );
        }
        let base = base_url(config.base_url.as_ref().or(recipe.base_url.as_ref()))?;
        let setup = setup(config, &recipe, base.as_str().trim_end_matches('/'))?;
        if config.calls_per_minute == Some(0) || config.parallel == Some(0) {
            return Err("calls_per_minute and parallel are at least 1".to_owned());
        }
        let everything = config.calls_per_minute.or(recipe.rate.calls_per_minute);
        let shared = Arc::new(Pace::new(everything));
        let paced = |call: Call| {
            let own = call.calls_per_minute.filter(|_| config.calls_per_minute.is_none());
            let pace = own.map_or_else(|| Arc::clone(&shared), |own| Arc::new(Pace::new(Some(own))));
            Paced { call, pace }
        };
        let lookup = recipe.lookup.clone().filter(|_| !config.subject_is_id);
        let end = recipe.end.call();
        let sign = recipe.sign.as_ref().map(|sign| {
            let secret = setup.secrets.get(&sign.secret).map_or("", |secret| secret.0.expose_secret());
            sign::key(secret).map_err(|why| format!("secrets.{}: {why}", sign.secret))
        });
        let caller = Caller {
            http: web::client(CALL_MAX.min(timeout / 4), config.ca_file.as_ref())?,
            base,
            setup,
            headers: recipe.headers.clone(),
            holds: recipe.holds.clone(),
            error: recipe.error.clone(),
            denied: recipe.denied.clone(),
            permissions: recipe.permissions.clone(),
            retry_statuses: recipe.retry.statuses.clone(),
            sign: sign.transpose()?,
            repeats: recipe.verify.is_some(),
            tokens: recipe.token.clone().map(|token| (token, Tokens::default())),
            clock,
        };
        Ok(Self {
            name: config.recipe.clone(),
            caller,
            lookup: lookup.map(|lookup| (lookup.clone(), paced(lookup.call()))),
            per_session: end.slots()?.contains(&Slot::Session),
            end: paced(end),
            verify: recipe.verify.as_ref().map(|verify| paced(verify.call())),
            check: recipe.check.as_ref().map(|check| paced(check.call())),
            parallel: config.parallel.or(recipe.rate.parallel).unwrap_or(PARALLEL).min(64),
            recipe,
            timeout,
            known: Mutex::default(),
            ordered: Mutex::default(),
        })
    }

    /// Says what of a configuration cannot work, without connecting.
    pub fn check(config: &HttpConfig) -> Result<(), String> {
        Self::new(config, Clock::system(), Duration::from_mins(1)).map(|_| ())
    }

    /// So many that a pass ends within its time: two thirds of it, or of a minute, for the calls that
    /// are made for each person, at their pace.
    fn targets_per_job(&self) -> usize {
        let one_list = self.recipe.verify.as_ref().is_some_and(|verify| verify.owner.is_some());
        let lookup = self.lookup.as_ref().map(|(_, paced)| paced);
        let end = Some(&self.end).filter(|_| !self.recipe.end_is_bulk());
        let verify = self.verify.as_ref().filter(|_| !one_list);
        let each: Vec<&Arc<Pace>> =
            lookup.into_iter().chain(end).chain(verify).map(|paced| &paced.pace).collect();
        let seconds = usize::try_from(self.timeout.as_secs().min(60)).unwrap_or(60) * 2 / 3;
        let people = |pace: &&Arc<Pace>| {
            let calls = each.iter().filter(|other| Arc::ptr_eq(other, pace)).count();
            pace.per_minute().map(|n| n as usize * seconds / 60 / calls)
        };
        let most = TARGETS_MAX.max(self.recipe.end.batch.unwrap_or(0));
        each.iter().filter_map(people).min().map_or(most, |people| people.clamp(1, most))
    }
}

fn base_url(text: Option<&String>) -> Result<Url, String> {
    let text = text.ok_or("base_url: where the API is, such as https://acme.okta.com")?;
    let url = Url::parse(text).map_err(|_| "base_url: not an address; write https://host".to_owned())?;
    if !["http", "https"].contains(&url.scheme()) || url.cannot_be_a_base() {
        return Err("base_url begins with https:// or http://".to_owned());
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(
            "base_url is an address alone: credentials go into secrets, a query into the recipe".to_owned()
        );
    }
    Ok(url)
}

/// What the recipe needs must be there, and nothing else.
fn setup(config: &HttpConfig, recipe: &Recipe, base_url: &str) -> Result<Setup, String> {
    let name = &config.recipe;
    for secret in &recipe.secrets {
        let given = config.secrets.get(secret).is_some_and(|given| !given.0.expose_secret().is_empty());
        if !given {
            return Err(format!("recipe {name} needs secrets = {{ {secret} = {{ env = \"NAME\" }} }}"));
        }
    }
    for parameter in &recipe.parameters {
        if config.parameters.get(parameter).is_none_or(String::is_empty) {
            return Err(format!("recipe {name} needs parameters = {{ {parameter} = \"...\" }}"));
        }
    }
    let unknown = |kind: &str, given: &str, known: Vec<&String>| {
        let nearest = known.iter().min_by_key(|known| strsim::damerau_levenshtein(given, known));
        let nearest = nearest.map_or(String::new(), |nearest| format!("; did you mean {nearest}?"));
        Err(format!("recipe {name} knows no {kind} {given}{nearest}"))
    };
    if let Some(secret) = config.secrets.keys().find(|given| !recipe.secrets.contains(given)) {
        return unknown("secret", secret, recipe.secrets.iter().collect());
    }
    let known: Vec<&String> = recipe.parameters.iter().chain(recipe.defaults.keys()).collect();
    if let Some(parameter) = config.parameters.keys().find(|given| !known.contains(given)) {
        return unknown("parameter", parameter, known);
    }
    let mut parameters = recipe.defaults.clone();
    parameters.extend(config.parameters.clone());
    Ok(Setup { secrets: config.secrets.clone(), parameters, base_url: base_url.to_owned() })
}

impl Connector for Http {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            targets_per_job: self.targets_per_job(),
            jobs_per_pass: 1,
            counts: self.recipe.verify.as_ref().is_some_and(|verify| verify.sessions.is_some()),
        }
    }

    fn explain(&self) -> Explanation {
        let shown = |paced: &Paced| format!("{} {}", paced.call.method, paced.call.path.shown());
        let matched = match &self.lookup {
            None => "the subject is the system's own name or id of the person".to_owned(),
            Some((lookup, paced)) => match &lookup.matches {
                Some(at) => format!("the person whose {at} is the subject, by {}", shown(paced)),
                None => format!("the one person that {} answers for the subject", shown(paced)),
            },
        };
        let proven = match &self.recipe.verify {
            None => "nothing can be asked back: delivered_not_verified".to_owned(),
            Some(verify) => {
                let paced = self.verify.as_ref().map_or(String::new(), shown);
                let by = match &verify.valid_from {
                    Some(at) => format!("{at} in {paced} is at or after the time of the request"),
                    None => format!("{paced} lists none any more"),
                };
                match self.recipe.ends_by_s {
                    Some(s) => format!("{by}; ends_by is reported, since tokens live on for {s} s"),
                    None => by,
                }
            }
        };
        let each = if self.per_session { " for each session" } else { "" };
        Explanation {
            matched: format!("{}: {matched}", self.recipe.about),
            ended: format!("{}{each}, as {} has it", shown(&self.end).trim_end(), self.recipe.source),
            proven,
        }
    }

    fn end<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        async move { pass::end(self, targets).await }.boxed()
    }

    fn find<'a>(&'a self, targets: &'a [Target]) -> Answering<'a> {
        async move {
            if targets.is_empty() { pass::check(self).await } else { pass::find(self, targets).await }
        }
        .boxed()
    }
}
