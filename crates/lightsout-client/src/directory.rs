//! Users, groups and memberships.

use lightsout_api::{
    CreateGroup, CreateGroupMembership, CreateUser, Group, GroupMembership, Page, Reference, UpdateGroup,
    UpdateGroupMembership, UpdateUser, User,
};
use reqwest::Method;

use crate::client::Client;
use crate::error::Error;
use crate::pages::Pages;
use crate::retry::Repeat;
use crate::transport::segment;

/// The most entries that one page may hold.
const PAGE_MAX: &str = "1000";
/// What a user's standing is read from; Box answers the role and the enterprise only when asked.
const USER_FIELDS: &str = "id,type,name,login,role,status,enterprise,created_at";

impl Client {
    /// Reads the user behind the token, with role and enterprise.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// let me = client.me().await?;
    /// println!("{} is {:?}", me.login.unwrap_or_default(), me.role);
    /// # Ok(()) });
    /// ```
    pub async fn me(&self) -> Result<User, Error> {
        self.get("/2.0/users/me", &[("fields", USER_FIELDS.to_owned())]).await
    }

    /// Creates a user. When the answer is lost it is not repeated: look whether the user is there.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// use lightsout_client::api::CreateUser;
    ///
    /// let user = CreateUser {
    ///     name: "Dan Poe".to_owned(),
    ///     login: Some("dan@acme.example".to_owned()),
    ///     ..CreateUser::default()
    /// };
    /// println!("{}", client.create_user(&user).await?.id);
    /// # Ok(()) });
    /// ```
    pub async fn create_user(&self, user: &CreateUser) -> Result<User, Error> {
        self.call(Method::POST, "/2.0/users", Repeat::Harmful, user).await
    }

    /// Reads a user, with role and enterprise.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let user_id = service.user_id.as_str();
    /// println!("{:?}", client.user(user_id).await?.status);
    /// # Ok(()) });
    /// ```
    pub async fn user(&self, user_id: &str) -> Result<User, Error> {
        let path = format!("/2.0/users/{}", segment(user_id));
        self.get(&path, &[("fields", USER_FIELDS.to_owned())]).await
    }

    /// Changes a user; `inactive` ends the user's sessions on a lightsout service.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let user_id = service.user_id.as_str();
    /// use lightsout_client::api::{UpdateUser, UserStatus};
    ///
    /// let locked = UpdateUser { status: Some(UserStatus::Inactive), ..UpdateUser::default() };
    /// client.update_user(user_id, &locked).await?;
    /// # Ok(()) });
    /// ```
    pub async fn update_user(&self, user_id: &str, change: &UpdateUser) -> Result<User, Error> {
        let path = format!("/2.0/users/{}", segment(user_id));
        self.call(Method::PUT, &path, Repeat::Harmless, change).await
    }

    /// Deletes a user.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let user_id = service.user_id.as_str();
    /// client.delete_user(user_id).await?;
    /// # Ok(()) });
    /// ```
    pub async fn delete_user(&self, user_id: &str) -> Result<(), Error> {
        self.delete(&format!("/2.0/users/{}", segment(user_id))).await
    }

    /// Lists one page of the users whose name or login starts with a term, up to 1,000, by marker.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// let page = client.users("ann@", None, 100).await?;
    /// assert_eq!(page.entries.len(), 1);
    /// # Ok(()) });
    /// ```
    pub async fn users(
        &self,
        filter_term: &str,
        marker: Option<&str>,
        limit: u32,
    ) -> Result<Page<User>, Error> {
        let mut query = vec![("usemarker", "true".to_owned()), ("limit", limit.to_string())];
        query.extend(filter(filter_term));
        query.extend(marker.map(|marker| ("marker", marker.to_owned())));
        self.get("/2.0/users", &query).await
    }

    /// Lists all users whose name or login starts with a term; an empty one is everybody.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// let mut users = client.all_users("");
    /// while let Some(user) = users.next().await? {
    ///     println!("{}", user.login.unwrap_or_default());
    /// }
    /// # Ok(()) });
    /// ```
    pub fn all_users(&self, filter_term: &str) -> Pages<User> {
        let mut query = vec![
            ("usemarker", "true".to_owned()),
            ("limit", PAGE_MAX.to_owned()),
            ("fields", USER_FIELDS.to_owned()),
        ];
        query.extend(filter(filter_term));
        Pages::by_marker(self, "/2.0/users".to_owned(), query)
    }

    /// Creates a group. When the answer is lost it is not repeated: look whether the group is there.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// use lightsout_client::api::CreateGroup;
    ///
    /// let group = CreateGroup { name: "On call".to_owned(), ..CreateGroup::default() };
    /// println!("{}", client.create_group(&group).await?.id);
    /// # Ok(()) });
    /// ```
    pub async fn create_group(&self, group: &CreateGroup) -> Result<Group, Error> {
        self.call(Method::POST, "/2.0/groups", Repeat::Harmful, group).await
    }

    /// Reads a group.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let group_id = service.group_id.as_str();
    /// println!("{:?}", client.group(group_id).await?.name);
    /// # Ok(()) });
    /// ```
    pub async fn group(&self, group_id: &str) -> Result<Group, Error> {
        self.get(&format!("/2.0/groups/{}", segment(group_id)), &[]).await
    }

    /// Changes a group.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let group_id = service.group_id.as_str();
    /// use lightsout_client::api::UpdateGroup;
    ///
    /// let change = UpdateGroup { name: Some("Sales EMEA".to_owned()), ..UpdateGroup::default() };
    /// client.update_group(group_id, &change).await?;
    /// # Ok(()) });
    /// ```
    pub async fn update_group(&self, group_id: &str, change: &UpdateGroup) -> Result<Group, Error> {
        let path = format!("/2.0/groups/{}", segment(group_id));
        self.call(Method::PUT, &path, Repeat::Harmless, change).await
    }

    /// Deletes a group; its members stay.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let group_id = service.group_id.as_str();
    /// client.delete_group(group_id).await?;
    /// # Ok(()) });
    /// ```
    pub async fn delete_group(&self, group_id: &str) -> Result<(), Error> {
        self.delete(&format!("/2.0/groups/{}", segment(group_id))).await
    }

    /// Lists one page of the groups whose names start with a term, up to 1,000, by offset.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// let page = client.groups("Sal", 0, 100).await?;
    /// assert_eq!(page.entries[0].name.as_deref(), Some("Sales"));
    /// # Ok(()) });
    /// ```
    pub async fn groups(&self, filter_term: &str, offset: u32, limit: u32) -> Result<Page<Group>, Error> {
        let mut query = vec![("offset", offset.to_string()), ("limit", limit.to_string())];
        query.extend(filter(filter_term));
        self.get("/2.0/groups", &query).await
    }

    /// Lists all groups whose names start with a term; an empty one is every group.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// for group in client.all_groups("").collect().await? {
    ///     println!("{} {}", group.id, group.name.unwrap_or_default());
    /// }
    /// # Ok(()) });
    /// ```
    pub fn all_groups(&self, filter_term: &str) -> Pages<Group> {
        let mut query = vec![("limit", PAGE_MAX.to_owned())];
        query.extend(filter(filter_term));
        Pages::by_offset(self, "/2.0/groups".to_owned(), query)
    }

    /// Puts a user into a group. When the answer is lost it is not repeated.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let group_id = service.group_id.as_str();
    /// # let user_id = client.users("cyd", None, 1).await?.entries.remove(0).id.0;
    /// use lightsout_client::api::{CreateGroupMembership, MembershipRole, Reference};
    ///
    /// let reference = |id: &str| Reference { id: id.to_owned(), ..Reference::default() };
    /// let membership = CreateGroupMembership {
    ///     user: reference(&user_id),
    ///     group: reference(group_id),
    ///     role: Some(MembershipRole::Admin),
    ///     configurable_permissions: None,
    /// };
    /// client.create_group_membership(&membership).await?;
    /// # Ok(()) });
    /// ```
    pub async fn create_group_membership(
        &self,
        membership: &CreateGroupMembership,
    ) -> Result<GroupMembership, Error> {
        self.call(Method::POST, "/2.0/group_memberships", Repeat::Harmful, membership).await
    }

    /// Puts a user into a group as a plain member.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let group_id = service.group_id.as_str();
    /// # let user_id = client.users("cyd", None, 1).await?.entries.remove(0).id.0;
    /// let membership = client.add_member(group_id, &user_id).await?;
    /// # Ok(()) });
    /// ```
    pub async fn add_member(&self, group_id: &str, user_id: &str) -> Result<GroupMembership, Error> {
        let reference = |id: &str| Reference { id: id.to_owned(), ..Reference::default() };
        self.create_group_membership(&CreateGroupMembership {
            user: reference(user_id),
            group: reference(group_id),
            role: None,
            configurable_permissions: None,
        })
        .await
    }

    /// Reads a membership.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let id = client.group_memberships(&service.group_id, 0, 1).await?.entries.remove(0).id.0;
    /// println!("{:?}", client.group_membership(&id).await?.role);
    /// # Ok(()) });
    /// ```
    pub async fn group_membership(&self, membership_id: &str) -> Result<GroupMembership, Error> {
        self.get(&format!("/2.0/group_memberships/{}", segment(membership_id)), &[]).await
    }

    /// Changes a member's role and permissions in the group.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let id = client.group_memberships(&service.group_id, 0, 1).await?.entries.remove(0).id.0;
    /// use lightsout_client::api::{MembershipRole, UpdateGroupMembership};
    ///
    /// let change =
    ///     UpdateGroupMembership { role: Some(MembershipRole::Admin), ..UpdateGroupMembership::default() };
    /// client.update_group_membership(&id, &change).await?;
    /// # Ok(()) });
    /// ```
    pub async fn update_group_membership(
        &self,
        membership_id: &str,
        change: &UpdateGroupMembership,
    ) -> Result<GroupMembership, Error> {
        let path = format!("/2.0/group_memberships/{}", segment(membership_id));
        self.call(Method::PUT, &path, Repeat::Harmless, change).await
    }

    /// Takes a user out of a group.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let id = client.group_memberships(&service.group_id, 0, 1).await?.entries.remove(0).id.0;
    /// client.delete_group_membership(&id).await?;
    /// # Ok(()) });
    /// ```
    pub async fn delete_group_membership(&self, membership_id: &str) -> Result<(), Error> {
        self.delete(&format!("/2.0/group_memberships/{}", segment(membership_id))).await
    }

    /// Lists one page of the members of a group, up to 1,000, by offset.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let group_id = service.group_id.as_str();
    /// let page = client.group_memberships(group_id, 0, 1).await?;
    /// println!("{:?} members", page.total_count);
    /// # Ok(()) });
    /// ```
    pub async fn group_memberships(
        &self,
        group_id: &str,
        offset: u32,
        limit: u32,
    ) -> Result<Page<GroupMembership>, Error> {
        let query = [("offset", offset.to_string()), ("limit", limit.to_string())];
        self.get(&format!("/2.0/groups/{}/memberships", segment(group_id)), &query).await
    }

    /// Lists all members of a group.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let group_id = service.group_id.as_str();
    /// let members = client.all_group_memberships(group_id).collect().await?;
    /// assert_eq!(members.len(), 2);
    /// # Ok(()) });
    /// ```
    pub fn all_group_memberships(&self, group_id: &str) -> Pages<GroupMembership> {
        let path = format!("/2.0/groups/{}/memberships", segment(group_id));
        Pages::by_offset(self, path, vec![("limit", PAGE_MAX.to_owned())])
    }

    /// Lists all groups that a user is in.
    ///
    /// ```
    /// # lightsout_testkit::example(|service| async move {
    /// # use lightsout_client::{Auth, Client};
    /// # let client = Client::new(&service.url, Auth::developer_token(service.token.clone()))?;
    /// # let user_id = service.user_id.as_str();
    /// for membership in client.all_user_memberships(user_id).collect().await? {
    ///     println!("{:?}", membership.group);
    /// }
    /// # Ok(()) });
    /// ```
    pub fn all_user_memberships(&self, user_id: &str) -> Pages<GroupMembership> {
        let path = format!("/2.0/users/{}/memberships", segment(user_id));
        Pages::by_offset(self, path, vec![("limit", PAGE_MAX.to_owned())])
    }
}

fn filter(term: &str) -> Option<(&'static str, String)> {
    (!term.is_empty()).then(|| ("filter_term", term.to_owned()))
}
