//! Users, groups, memberships and admin events.

use lightsout_api::{
    CreateGroup, CreateGroupMembership, CreateUser, EventPage, Group, GroupMembership, Page, Reference,
    UpdateUser, User,
};
use reqwest::Method;

use crate::client::{Client, segment};
use crate::error::Error;

impl Client {
    /// Reads the user behind the token.
    pub async fn me(&self) -> Result<User, Error> {
        self.get("/2.0/users/me", &[]).await
    }

    /// Creates a user.
    pub async fn create_user(&self, user: &CreateUser) -> Result<User, Error> {
        self.call(Method::POST, "/2.0/users", user).await
    }

    /// Reads a user.
    pub async fn user(&self, user_id: &str) -> Result<User, Error> {
        self.get(&format!("/2.0/users/{}", segment(user_id)), &[]).await
    }

    /// Changes a user; `inactive` ends its sessions on a lightsout service.
    pub async fn update_user(&self, user_id: &str, change: &UpdateUser) -> Result<User, Error> {
        self.call(Method::PUT, &format!("/2.0/users/{}", segment(user_id)), change).await
    }

    /// Deletes a user.
    pub async fn delete_user(&self, user_id: &str) -> Result<(), Error> {
        self.delete(&format!("/2.0/users/{}", segment(user_id))).await
    }

    /// Lists users, a page by marker.
    pub async fn users(
        &self,
        filter_term: &str,
        marker: Option<&str>,
        limit: u32,
    ) -> Result<Page<User>, Error> {
        let mut query = vec![("usemarker", "true".to_owned()), ("limit", limit.to_string())];
        query.extend((!filter_term.is_empty()).then(|| ("filter_term", filter_term.to_owned())));
        query.extend(marker.map(|m| ("marker", m.to_owned())));
        self.get("/2.0/users", &query).await
    }

    /// Creates a group.
    pub async fn create_group(&self, group: &CreateGroup) -> Result<Group, Error> {
        self.call(Method::POST, "/2.0/groups", group).await
    }

    /// Lists groups whose names start with a term, a page by offset.
    pub async fn groups(&self, filter_term: &str, offset: u32, limit: u32) -> Result<Page<Group>, Error> {
        let mut query = vec![("offset", offset.to_string()), ("limit", limit.to_string())];
        query.extend((!filter_term.is_empty()).then(|| ("filter_term", filter_term.to_owned())));
        self.get("/2.0/groups", &query).await
    }

    /// Puts a user into a group.
    pub async fn create_group_membership(
        &self,
        membership: &CreateGroupMembership,
    ) -> Result<GroupMembership, Error> {
        self.call(Method::POST, "/2.0/group_memberships", membership).await
    }

    /// Puts a user into a group as a plain member.
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

    /// Lists the members of a group, a page by offset.
    pub async fn group_memberships(
        &self,
        group_id: &str,
        offset: u32,
        limit: u32,
    ) -> Result<Page<GroupMembership>, Error> {
        let query = [("offset", offset.to_string()), ("limit", limit.to_string())];
        self.get(&format!("/2.0/groups/{}/memberships", segment(group_id)), &query).await
    }

    /// Reads the admin events after a position; none: from the start, `now`: only the position.
    pub async fn admin_events(
        &self,
        position: Option<&str>,
        event_types: &[&str],
        limit: u32,
    ) -> Result<EventPage, Error> {
        let mut query = vec![("stream_type", "admin_logs".to_owned()), ("limit", limit.to_string())];
        query.extend(position.map(|p| ("stream_position", p.to_owned())));
        query.extend((!event_types.is_empty()).then(|| ("event_type", event_types.join(","))));
        self.get("/2.0/events", &query).await
    }
}
