//! What the console shows of people and groups: to those who manage, all of the enterprise; to a group
//! admin who can edit accounts, these groups and their members.

use std::collections::{BTreeMap, HashMap, HashSet};

use lightsout_api::{CreateTermination, GroupId, SystemPreview, UserId};

use super::radius::{self, PAGE_TIMEOUT};
use super::{Error, terminate};
use crate::app::App;
use crate::connector::Registry;
use crate::domain::access::{self, Caller, Denied, MANAGE_GROUPS, MANAGE_USERS, Standing};
use crate::domain::fold::fold;
use crate::domain::marker::List;
use crate::store::{GroupRow, MembershipRow, SessionRow, TerminationRow, UserRow};

/// The most people, and the most groups, that one search shows.
pub const FOUND_MAX: usize = 20;
/// The rows of one page of a list.
pub const PAGE: i64 = 100;
/// Past terminations of a person are looked for among so many of the enterprise.
pub const NEWEST: i64 = 1_000;
/// The past terminations of a person that are shown.
pub const PAST_MAX: i64 = 20;

/// Whom a caller may look at.
pub(super) enum Reach {
    Everyone,
    /// The members of these groups.
    Groups(Vec<String>),
}

impl Reach {
    async fn of(app: &App, caller: &Caller) -> Result<Self, Error> {
        caller.needs_scope(MANAGE_USERS)?;
        caller.needs_scope(MANAGE_GROUPS)?;
        if caller.standing != Standing::User {
            access::may_read_directory(caller, MANAGE_USERS)?;
            return Ok(Self::Everyone);
        }
        let groups = terminate::administered(app, caller).await?;
        access::may_end_anyone(caller, true, true, !groups.is_empty())?;
        Ok(Self::Groups(groups))
    }

    /// Whether a group is among them.
    fn holds(&self, group_id: &str) -> bool {
        self.among().is_none_or(|groups| groups.iter().any(|id| id == group_id))
    }

    fn among(&self) -> Option<&[String]> {
        match self {
            Self::Everyone => None,
            Self::Groups(groups) => Some(groups),
        }
    }
}

/// What a search found, each list cut at [`FOUND_MAX`].
#[derive(Debug, Default)]
pub struct Found {
    /// People.
    pub people: Vec<UserRow>,
    /// Whether there are more people.
    pub more_people: bool,
    /// Groups.
    pub groups: Vec<GroupRow>,
    /// Whether there are more groups.
    pub more_groups: bool,
}

/// Finds people and groups with a login or a word of their name that begins with a text, in any case, or
/// whose id it is.
pub async fn search(app: &App, caller: &Caller, term: &str) -> Result<Found, Error> {
    let reach = Reach::of(app, caller).await?;
    let enterprise = caller.enterprise_id.0.as_str();
    let limit = i64::try_from(FOUND_MAX).expect("a small number") + 1;
    let among = reach.among();
    let mut people = app.db.list_users_by_any_id(enterprise, term.trim(), among).await?;
    people.extend(app.db.list_users_by_login(enterprise, term, among, limit).await?);
    people.extend(app.db.list_users_by_name(enterprise, term, among, limit).await?);
    let mut seen = HashSet::new();
    people.retain(|person| seen.insert(person.user_id.clone()));
    if people.len() <= FOUND_MAX {
        let more = app.db.list_users_by_word(enterprise, term, among, limit).await?;
        people.extend(more.into_iter().filter(|person| !seen.contains(&person.user_id)));
    }
    let by_id = app.db.find_group(enterprise, term.trim()).await?;
    let mut groups: Vec<GroupRow> = by_id.into_iter().filter(|group| reach.holds(&group.group_id)).collect();
    groups.extend(app.db.list_groups_by_name(enterprise, term, among, limit).await?);
    let mut seen = HashSet::new();
    groups.retain(|group| seen.insert(group.group_id.clone()));
    if groups.len() <= FOUND_MAX {
        let more = app.db.list_groups_by_word(enterprise, term, among, limit).await?;
        groups.extend(more.into_iter().filter(|group| !seen.contains(&group.group_id)));
    }
    let (more_people, more_groups) = (people.len() > FOUND_MAX, groups.len() > FOUND_MAX);
    people.truncate(FOUND_MAX);
    groups.truncate(FOUND_MAX);
    Ok(Found { people, more_people, groups, more_groups })
}

/// What a caller sees before searching: the newest terminations, or the groups that the caller
/// administers.
#[derive(Debug)]
pub enum Beginning {
    /// The newest terminations of the enterprise.
    Terminations(Vec<TerminationRow>),
    /// The caller's groups.
    Groups(Vec<GroupRow>),
}

/// Says what stands on the first page.
pub async fn begin(app: &App, caller: &Caller) -> Result<Beginning, Error> {
    let enterprise = caller.enterprise_id.0.as_str();
    Ok(match Reach::of(app, caller).await? {
        Reach::Everyone => {
            access::may_read_events(caller)?;
            Beginning::Terminations(app.db.list_newest_terminations(enterprise, 5).await?)
        }
        Reach::Groups(groups) => {
            Beginning::Groups(app.db.list_groups_by_name(enterprise, "", Some(&groups), PAGE).await?)
        }
    })
}

/// A person, and what of them is stored here.
#[derive(Debug)]
pub struct Person {
    /// The person.
    pub user: UserRow,
    /// Whether the caller may end their sessions.
    pub may_end: Result<(), Denied>,
    /// Whether the person is the caller.
    pub is_caller: bool,
    /// Sessions in the registry; none for a group admin, who is told only how many.
    pub sessions: Option<Vec<SessionRow>>,
    /// Where the next page of sessions starts.
    pub more_sessions: Option<String>,
    /// All live sessions in the registry.
    pub sessions_count: u64,
    /// The names of the apps that registered them.
    pub apps: BTreeMap<String, String>,
    /// One page of the groups that they are in.
    pub groups: Vec<MembershipRow>,
    /// Whether there are more groups.
    pub more_groups: bool,
    /// Terminations that ended their sessions, newest first; none for a group admin.
    pub past: Option<Vec<TerminationRow>>,
}

/// Reads a person; sessions from a marker on, groups from an offset.
pub async fn person(
    app: &App,
    caller: &Caller,
    user_id: &str,
    sessions_after: Option<&str>,
    groups_offset: i64,
) -> Result<Person, Error> {
    let (reach, user) = find(app, caller, user_id).await?;
    let manages = matches!(reach, Reach::Everyone);
    let is_caller = user.user_id == caller.person.user_id.0;
    let may_end = access::may_end(caller.standing, user.role(), is_caller, !manages);
    let now = app.clock.now_ms();
    let list = List("sessions", user_id);
    let sessions_after = list.after("after", sessions_after)?;
    let mut sessions = app.db.list_sessions(user_id, &sessions_after, now, PAGE + 1).await?;
    let last = cut(&mut sessions).then(|| sessions.last()).flatten();
    let more_sessions = last.map(|session| list.marker(&session.session_hash));
    sessions.sort_by_key(|session| std::cmp::Reverse(session.began_at));
    let counts = app.db.count_sessions(&[user_id.to_owned()], now).await?;
    let mut groups = app.db.list_groups_of(user_id, reach.among(), groups_offset, PAGE + 1).await?;
    let more_groups = cut(&mut groups);
    let past = if access::may_read_events(caller).is_ok() {
        Some(app.db.list_terminations_of(&caller.enterprise_id.0, user_id, NEWEST, PAST_MAX).await?)
    } else {
        None
    };
    Ok(Person {
        apps: apps(app, &sessions).await?,
        may_end,
        is_caller,
        sessions: manages.then_some(sessions),
        more_sessions: more_sessions.filter(|_| manages),
        sessions_count: counts.first().map_or(0, |(_, n)| n.unsigned_abs()),
        groups,
        more_groups,
        past,
        user,
    })
}

/// Finds a person whom the caller may look at.
pub(super) async fn find(app: &App, caller: &Caller, user_id: &str) -> Result<(Reach, UserRow), Error> {
    let reach = Reach::of(app, caller).await?;
    let unknown = || Error::not_found("user_id", user_id);
    if let Reach::Groups(groups) = &reach
        && !app.db.is_member_of_any(groups, user_id).await?
    {
        return Err(unknown());
    }
    let user = app.db.find_user(&caller.enterprise_id.0, user_id).await?.ok_or_else(unknown)?;
    Ok((reach, user))
}

async fn apps(app: &App, sessions: &[SessionRow]) -> Result<BTreeMap<String, String>, Error> {
    let mut names = BTreeMap::new();
    for session in sessions {
        if !names.contains_key(&session.client_id)
            && let Some(found) = app.db.find_app(&session.client_id).await?
        {
            names.insert(session.client_id.clone(), found.name);
        }
    }
    Ok(names)
}

/// A group, and one page of its members.
#[derive(Debug)]
pub struct Group {
    /// The group.
    pub group: GroupRow,
    /// All its members.
    pub members_count: u64,
    /// Some of them, by id.
    pub members: Vec<UserRow>,
    /// The marker of the next page.
    pub more_members: Option<String>,
}

/// Reads a group; members from a marker on.
pub async fn group(app: &App, caller: &Caller, group_id: &str, after: Option<&str>) -> Result<Group, Error> {
    let group = find_group(app, caller, group_id).await?;
    let list = List("members", group_id);
    let after = list.after("after", after)?;
    let mut members = app.db.list_members(group_id, &after, PAGE + 1).await?;
    let last = cut(&mut members).then(|| members.last()).flatten();
    let more_members = last.map(|member| list.marker(&member.user_id));
    let members_count = app.db.count_members(group_id).await?.unsigned_abs();
    Ok(Group { group, members_count, members, more_members })
}

async fn find_group(app: &App, caller: &Caller, group_id: &str) -> Result<GroupRow, Error> {
    let reach = Reach::of(app, caller).await?;
    let unknown = || Error::not_found("group_id", group_id);
    if !reach.holds(group_id) {
        return Err(unknown());
    }
    app.db.find_group(&caller.enterprise_id.0, group_id).await?.ok_or_else(unknown)
}

/// Counts the registered sessions of a group's members; with `all`, asks the other systems, too. Run it in
/// a task that nobody cancels.
pub async fn ask_for_group(
    app: &App,
    caller: &Caller,
    group_id: &str,
    all: bool,
) -> Result<Vec<SystemPreview>, Error> {
    find_group(app, caller, group_id).await?;
    let request = CreateTermination {
        group_ids: vec![GroupId(group_id.to_owned())],
        skip_not_permitted: true,
        ..CreateTermination::default()
    };
    let radius = radius::look(app, caller, &request).await?;
    if all {
        return radius::count(app, caller, &radius, PAGE_TIMEOUT).await;
    }
    let sessions = Some(radius::count_registered(app, &radius).await?);
    Ok(vec![SystemPreview { system: Registry::NAME.to_owned(), sessions, reason: None }])
}

/// Cuts a list at one page; whether there was more.
fn cut<T>(rows: &mut Vec<T>) -> bool {
    let page = usize::try_from(PAGE).expect("a small number");
    let more = rows.len() > page;
    rows.truncate(page);
    more
}

/// A person or group by name, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The login.
    pub login: Option<String>,
}

/// The names of people and groups. Of those that the caller may not see there is none.
pub async fn names(
    app: &App,
    caller: &Caller,
    user_ids: &[String],
    group_ids: &[String],
) -> Result<Vec<Named>, Error> {
    let reach = Reach::of(app, caller).await?;
    let rows = app.db.list_names(&caller.enterprise_id.0, user_ids, group_ids).await?;
    let mut names = Vec::new();
    for (id, name, login) in rows {
        let seen = match &reach {
            Reach::Everyone => true,
            Reach::Groups(groups) => groups.contains(&id) || app.db.is_member_of_any(groups, &id).await?,
        };
        if seen {
            names.push(Named { id, name, login });
        }
    }
    Ok(names)
}

/// What was typed or pasted, looked up.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// People, each once, in the order of the text.
    pub user_ids: Vec<UserId>,
    /// Groups.
    pub group_ids: Vec<GroupId>,
    /// What names nobody.
    pub unknown: Vec<String>,
    /// What names a person and a group.
    pub ambiguous: Vec<String>,
}

/// Looks up logins, ids and names of groups, one a line or separated by commas. A line that is a name as a
/// whole is not split.
pub async fn choose(app: &App, caller: &Caller, text: &str) -> Result<Chosen, Error> {
    let reach = Reach::of(app, caller).await?;
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let words: Vec<String> = lines
        .iter()
        .flat_map(|line| std::iter::once(*line).chain(parts(line)))
        .map(ToOwned::to_owned)
        .collect();
    if words.len() > 2 * terminate::ENTRIES_MAX {
        return Err(Error::invalid(format!("at most {} entries", terminate::ENTRIES_MAX)));
    }
    let known = Known::read(app, caller, &reach, &words).await?;
    let mut chosen = Chosen::default();
    for line in lines {
        if known.names(line) {
            known.take(line, &mut chosen);
        } else {
            parts(line).for_each(|word| known.take(word, &mut chosen));
        }
    }
    Ok(chosen)
}

fn parts(line: &str) -> impl Iterator<Item = &str> {
    line.split([',', ';', '\t']).map(str::trim).filter(|word| !word.is_empty())
}

/// What the directory knows of some words.
struct Known {
    people: HashMap<String, String>,
    groups: HashMap<String, String>,
}

impl Known {
    async fn read(app: &App, caller: &Caller, reach: &Reach, words: &[String]) -> Result<Self, Error> {
        let enterprise = caller.enterprise_id.0.as_str();
        let folded: Vec<String> = words.iter().map(|word| fold(word)).collect();
        let (mut people, mut groups) = (HashMap::new(), HashMap::new());
        for (id, login) in app.db.list_known_users(enterprise, words, &folded).await? {
            if let Reach::Groups(groups) = reach
                && !app.db.is_member_of_any(groups, &id).await?
            {
                continue;
            }
            people.extend(login.map(|login| (login, id.clone())));
            people.insert(id.clone(), id);
        }
        let by_id = app.db.list_known_groups(enterprise, words).await?;
        let by_name = app.db.list_groups_named(enterprise, &folded).await?;
        let found = by_id.into_iter().map(|(id,)| (id.clone(), id)).chain(by_name);
        for (id, name) in found.filter(|(id, _)| reach.holds(id)) {
            groups.insert(name, id);
        }
        Ok(Self { people, groups })
    }

    fn names(&self, word: &str) -> bool {
        let word = fold(word);
        self.people.contains_key(&word) || self.groups.contains_key(&word)
    }

    fn take(&self, word: &str, chosen: &mut Chosen) {
        let folded = fold(word);
        match (self.people.get(&folded), self.groups.get(&folded)) {
            (Some(_), Some(_)) => once(&mut chosen.ambiguous, word.to_owned()),
            (Some(id), None) => once(&mut chosen.user_ids, UserId(id.clone())),
            (None, Some(id)) => once(&mut chosen.group_ids, GroupId(id.clone())),
            (None, None) => once(&mut chosen.unknown, word.to_owned()),
        }
    }
}

fn once<T: PartialEq>(list: &mut Vec<T>, entry: T) {
    if !list.contains(&entry) {
        list.push(entry);
    }
}
