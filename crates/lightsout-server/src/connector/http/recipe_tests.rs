//! What of a recipe is refused, and in which words.

use super::{BUILT_IN, Recipe};

const GOOD: &str = r#"
about = "a vendor"
source = "https://vendor.example/docs"
secrets = ["token"]
parameters = ["realm"]
permissions = "everything"
headers = { Authorization = "Bearer {secret.token}" }
[lookup]
request = "GET /{parameter.realm}/users"
query = { name = "{subject}" }
list = ""
id = "/id"
[end]
request = "DELETE /users/{id}/sessions"
[verify]
request = "GET /users/{id}/sessions"
sessions = "/sessions"
key = "/id"
"#;

#[test]
fn built_in_recipes_are_right() {
    for (name, text) in BUILT_IN {
        let recipe = Recipe::parse(text).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert!(!recipe.about.is_empty() && recipe.source.starts_with("https://"), "{name}");
    }
    Recipe::parse(GOOD).expect("it is right");
}

#[test]
fn what_cannot_work_is_refused_in_clear_words() {
    let changes = [
        ("about =", "abuot =", "unknown key abuot; did you mean about?"),
        ("list = \"\"", "lst = \"\"", "did you mean list?"),
        ("GET /{parameter.realm}", "FETCH /{parameter.realm}", "write METHOD /path"),
        ("/users\"\nquery", "/users?a=b\"\nquery", "has no query"),
        ("{parameter.realm}", "{parameter.relm}", "not among parameters"),
        ("Bearer {secret.token}", "Bearer {secret.tokn}", "not among secrets"),
        ("name = \"{subject}\"", "name = \"{secret.token}\"", "never in an address"),
        ("name = \"{subject}\"", "name = \"{id}\"", "[lookup] {id} is not known there"),
        ("name = \"{subject}\"", "name = \"{user}\"", "unknown placeholder {user}"),
        ("Bearer {secret.token}", "Bearer {token}", "{token} needs [token]"),
        ("list = \"\"", "", "[lookup] matches names the field"),
        ("key = \"/id\"\n", "", "[verify] sessions needs key"),
        ("key = \"/id\"\n", "key = \"/id\"\nvalid_from = \"/at\"\n", "and not both"),
        ("about =", "ends_by_s = 60\nabout =", ""),
        ("[end]", "[end]\nbatch = 1001", "batch is 1 to 1000"),
        ("[end]", "[end]\ncalls_per_minute = 0", "at least 1"),
        ("[end]", "[end]\njson = { a = \"{subject}\" }\nform = { a = \"x\" }", "not both"),
        ("[end]", "[end]\njson = { a = { b = [\"{nobody}\"] } }", "unknown placeholder {nobody}"),
        ("/users/{id}/sessions\"\n[verify]", "/sessions/{session}\"\nbatch = 5\n[verify]", "[end]"),
    ];
    for (old, new, words) in changes {
        assert!(GOOD.contains(old), "{old}");
        match Recipe::parse(&GOOD.replacen(old, new, 1)) {
            Ok(_) => assert_eq!(words, "", "{new}"),
            Err(why) => assert!(!words.is_empty() && why.contains(words), "{new}: {why}"),
        }
    }
}

#[test]
fn what_needs_verification_is_refused_without_it() {
    let without = GOOD.split("[verify]").next().expect("there is a part before it");
    for (old, new) in [("about =", "ends_by_s = 60\nabout ="), ("[end]", "[end]\nenqueued = true")] {
        let why = Recipe::parse(&without.replacen(old, new, 1)).expect_err("nothing verifies it");
        assert!(why.contains("need [verify]"), "{why}");
    }
}

#[test]
fn a_recipe_is_named_or_a_file() {
    let why = Recipe::load("octa").expect_err("no such recipe");
    assert!(why.contains("did you mean okta?"), "{why}");
    let why = Recipe::load("/nowhere/x.toml").expect_err("no such file");
    assert!(why.contains("cannot read /nowhere/x.toml"), "{why}");
}
