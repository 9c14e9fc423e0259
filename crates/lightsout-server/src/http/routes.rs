//! Every route, once: the router is built from this table, and tests walk it.

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post, put};

use super::{
    Web, authorize, barriers, console, events, groups, memberships, metadata, oauth, openapi, page, probes,
    sessions, sign_in, terminate, terminations, users,
};

macro_rules! routes {
    ($($method:ident $path:literal => $handler:path,)*) => {
        /// Every route: method and path.
        pub const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path)),*];

        pub(super) fn routes() -> Router<Arc<Web>> {
            Router::new()$(.route($path, $method($handler)))*
        }
    };
}

routes! {
    post "/2.0/users/terminate_sessions" => terminate::users,
    post "/2.0/groups/terminate_sessions" => terminate::groups,
    get "/2.0/events" => events::list,
    get "/2.0/users" => users::list,
    post "/2.0/users" => users::create,
    get "/2.0/users/me" => users::me,
    get "/2.0/users/{user_id}" => users::read,
    put "/2.0/users/{user_id}" => users::update,
    delete "/2.0/users/{user_id}" => users::delete,
    get "/2.0/users/{user_id}/memberships" => memberships::list_of_user,
    get "/2.0/groups" => groups::list,
    post "/2.0/groups" => groups::create,
    get "/2.0/groups/{group_id}" => groups::read,
    put "/2.0/groups/{group_id}" => groups::update,
    delete "/2.0/groups/{group_id}" => groups::delete,
    get "/2.0/groups/{group_id}/memberships" => memberships::list_of_group,
    post "/2.0/group_memberships" => memberships::create,
    get "/2.0/group_memberships/{group_membership_id}" => memberships::read,
    put "/2.0/group_memberships/{group_membership_id}" => memberships::update,
    delete "/2.0/group_memberships/{group_membership_id}" => memberships::delete,
    get "/api/oauth2/authorize" => authorize::ask,
    post "/api/oauth2/authorize" => authorize::answer,
    get "/.well-known/oauth-authorization-server" => metadata::read,
    post "/oauth2/token" => oauth::token,
    post "/oauth2/revoke" => oauth::revoke,
    post "/oauth2/introspect" => oauth::introspect,
    post "/v1/terminations" => terminations::create,
    get "/v1/terminations" => terminations::list,
    get "/v1/terminations/{termination_id}" => terminations::read,
    get "/v1/terminations/{termination_id}/outcomes" => terminations::outcomes,
    get "/v1/terminations/{termination_id}/events" => terminations::events,
    post "/v1/terminations/{termination_id}/retry" => terminations::retry,
    post "/v1/sessions" => sessions::register,
    get "/v1/sessions" => sessions::list,
    delete "/v1/sessions/{session}" => sessions::end,
    get "/v1/barriers" => barriers::read,
    get "/v1/openapi.json" => openapi::read,
    get "/" => console::start::root,
    get "/console" => console::find::show,
    get "/console/people/{user_id}" => console::person::show,
    get "/console/people/{user_id}/systems" => console::person::systems,
    post "/console/sessions/{session}/end" => console::person::end_session,
    get "/console/groups/{group_id}" => console::group::show,
    get "/console/groups/{group_id}/systems" => console::group::systems,
    get "/console/end" => console::end::show,
    get "/console/end/systems" => console::end::systems,
    post "/console/end/choose" => console::choose::choose,
    post "/console/terminations" => console::end::terminate,
    get "/console/assets/{name}" => page::asset,
    get "/console/account" => console::account::show,
    post "/console/account/password" => console::account::change_password,
    post "/console/account/second-factor" => console::account::enrol,
    post "/console/account/second-factor/confirm" => console::account::confirm,
    post "/console/account/second-factor/remove" => console::account::remove,
    post "/console/account/sessions/{session}/end" => console::account::end_session,
    get "/sign-in/second-factor" => sign_in::code_form,
    post "/sign-in/second-factor" => sign_in::enter_code,
    get "/sign-in" => sign_in::form,
    post "/sign-in" => sign_in::enter,
    get "/sign-in/link/{link}" => sign_in::follow_link,
    get "/console/terminations" => console::termination::list,
    get "/console/terminations/{termination_id}" => console::termination::show,
    get "/console/terminations/{termination_id}/live" => console::live::live,
    get "/console/terminations/{termination_id}/outcomes.csv" => console::outcomes::csv,
    get "/console/terminations/{termination_id}/outcomes.json" => console::outcomes::json,
    post "/console/terminations/{termination_id}/retry" => console::termination::retry,
    get "/console/log" => console::log::show,
    get "/console/log/chain" => console::log::chain,
    get "/console/systems" => console::systems::show,
    post "/console/systems/check" => console::systems::check,
    get "/console/apps" => console::apps::show,
    post "/sign-in/provider/{name}" => sign_in::ask_provider,
    get "/sign-in/provider/{name}/callback" => sign_in::provider_answers,
    post "/sign-out" => sign_in::sign_out,
    get "/set-password/{link}" => sign_in::password_form,
    post "/set-password/{link}" => sign_in::set_password,
    get "/healthz" => probes::healthz,
    get "/readyz" => probes::readyz,
    get "/metrics" => probes::metrics,
}
