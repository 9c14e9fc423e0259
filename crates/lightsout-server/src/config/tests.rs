use super::*;

/// The reference with the `#` taken from every line that holds a key or a table.
fn uncommented() -> String {
    let keys = REFERENCE.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with('[') || (!rest.starts_with(' ') && rest.contains(" = ")) => rest,
        _ => line,
    });
    keys.collect::<Vec<_>>().join("\n")
}

#[test]
fn reference_shows_the_defaults() {
    // The files of [server.tls] are not there.
    let without_tls = uncommented()
        .replace("[server.tls]", "")
        .replace("certificate = ", "#")
        .replace("\nkey = ", "\n#")
        // The variables are not set.
        .replace("{ env = \"WIKI_PROBE_TOKEN\" }", "\"secret\"")
        .replace("{ env = \"CORP_CLIENT_SECRET\" }", "\"secret\"");
    let shown = Config::parse(&without_tls, Purpose::Serve).expect("the reference parses");
    let default = Config::default();
    let shown_server = ServerConfig { tls: None, public_url: String::new(), ..shown.server };
    assert_eq!(shown_server, default.server);
    assert_eq!(shown.limits, default.limits);
    assert_eq!(shown.lives, default.lives);
    assert_eq!(shown.sign_in.session_h, default.sign_in.session_h);
    assert_eq!(shown.sign_in.command_line, default.sign_in.command_line);
    assert_eq!(shown.log, default.log);
    assert_eq!(shown.database.connections_max, default.database.connections_max);
    assert_eq!(shown.database.stale_after_s, default.database.stale_after_s);
    assert_eq!(shown.database.index_sessions_max, default.database.index_sessions_max);
    assert_eq!(shown.database.url.0.expose_secret(), default.database.url.0.expose_secret());
}

#[test]
fn reference_names_every_key() {
    for probe in [
        "[server]",
        "[server.tls]",
        "[database]",
        "[limits]",
        "[sign_in]",
        "[[sign_in.providers]]",
        "[lives]",
        "[log]",
        "[[systems]]\nkind = \"redis\"\nname = \"x\"",
        "[[systems]]\nkind = \"sql\"\nname = \"x\"",
        "[[systems]]\nkind = \"oidc_backchannel\"\nname = \"x\"",
        "[[systems]]\nkind = \"http\"\nname = \"x\"",
        "[[systems]]\nkind = \"box\"\nname = \"x\"",
    ] {
        let message = explain(
            &Config::parse(&format!("{probe}\nno_such_key = 1"), Purpose::Serve).expect_err("unknown key").0,
        );
        let known = message.split("known: ").nth(1).unwrap_or_else(|| panic!("{probe}: {message}"));
        for key in known.trim_end_matches(')').split(", ") {
            let named =
                [format!("{key} = "), format!(".{key}]")].iter().any(|text| uncommented().contains(text));
            assert!(named, "{probe}: {key} is not in the reference");
        }
    }
}

#[test]
fn unknown_key_is_named_with_its_nearest() {
    let error = Config::parse("[server]\nlisen = \"127.0.0.1:1\"", Purpose::Serve).expect_err("unknown key");
    assert!(error.0.starts_with("unknown key lisen; did you mean listen?"), "{error}");
}

#[test]
fn open_address_needs_tls_or_a_proxy() {
    let error = Config::parse("[server]\nlisten = \"0.0.0.0:80\"", Purpose::Serve).expect_err("open address");
    assert!(error.0.contains("behind_proxy"), "{error}");
    Config::parse("[server]\nlisten = \"0.0.0.0:80\"\nbehind_proxy = true", Purpose::Serve)
        .expect("a proxy speaks TLS");
}

#[test]
fn settings_are_what_the_file_says() {
    assert!(Config::parse_alone("").expect("valid").settings().command_line);
    let text = "[sign_in]\nsession_h = 3\ncommand_line = false";
    let settings = Config::parse_alone(text).expect("valid").settings();
    assert_eq!((settings.sign_in_life_ms, settings.command_line), (3 * 3_600_000, false));
}

#[test]
fn a_command_needs_no_system_no_provider_and_no_certificate() {
    let text = r#"
        [server.tls]
        certificate = "no-such.pem"
        key = "no-such.pem"
        [[sign_in.providers]]
        name = "corp"
        client_secret = { env = "LIGHTSOUT_TEST_UNSET" }
        [[systems]]
        name = "shop"
        kind = "redis"
        url = { env = "LIGHTSOUT_TEST_UNSET" }
        user_path = "user"
    "#;
    let config = Config::parse(text, Purpose::Command).expect("good enough for a command");
    assert_eq!(config.system_names(), ["shop"]);
    Config::parse(text, Purpose::Serve).expect_err("not good enough to serve");
    let system = text.split_once("[[systems]]").expect("a system").1;
    let error = Config::parse_alone(&format!("[[systems]]{system}")).expect_err("no secret").to_string();
    assert_eq!(error, "system shop: the environment has no LIGHTSOUT_TEST_UNSET");
    let database = "[database]\nurl = { env = \"LIGHTSOUT_TEST_UNSET\" }";
    Config::parse(database, Purpose::Command).expect_err("every command needs the database");
}

#[test]
fn secrets_are_not_shown() {
    let config =
        Config::parse("[database]\nurl = \"postgres://u:hunter2@h/d\"", Purpose::Serve).expect("valid");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn every_key_that_a_document_names_is_in_the_reference() {
    let sections = ["server", "database", "limits", "sign_in", "lives", "log"];
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut named = 0;
    for entry in std::fs::read_dir(docs).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|ending| ending != "md") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a text");
        for quoted in text.split('`').skip(1).step_by(2) {
            let Some((section, key)) = quoted.split_once('.') else { continue };
            let key: String = key.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            // A module's file is named like a section.
            if !sections.contains(&section) || key == "rs" {
                continue;
            }
            named += 1;
            let known = [format!("\n{key} = "), format!("[{section}.{key}]"), format!("[[{section}.{key}]]")];
            let is_known = known.iter().any(|text| uncommented().contains(text));
            assert!(is_known, "{}: {quoted} is not in the reference", path.display());
        }
    }
    assert!(named > 30, "only {named} keys were found: does the search still work?");
}
