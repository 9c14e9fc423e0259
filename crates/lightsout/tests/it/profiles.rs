//! `lightsout login`, `whoami` and `logout`: profiles, made, used and forgotten.

use std::os::unix::fs::PermissionsExt;

use lightsout_testkit::Service;

use crate::shell::Shell;

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_tried_kept_used_and_forgotten() {
    let service = Service::start().await;
    let mut shell = Shell::knowing(&service);
    let url = &service.url;
    shell.run_reading(&format!("{}\n", service.token), &format!("login --profile mine --url {url}"));
    let file = shell.path("config/profiles/mine.json");
    let mode = std::fs::metadata(&file).expect("it was kept").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    shell.run("whoami --profile mine");
    shell.run("whoami --profile mine --json");
    shell.run("users list --profile mine --filter ann");
    shell.run("logout --profile mine");
    assert!(!file.exists());
    shell.run("logout --profile mine");
    shell.run("whoami --profile mine");
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_has_a_profile_by_secret_or_key() {
    let service = Service::start().await;
    let mut shell = Shell::knowing(&service);
    let (url, id, enterprise) = (&service.url, &service.client_id, &service.enterprise_id);
    shell.name(&service.jwt_config.display().to_string(), "/home/ada/jwt.json");
    let app = format!("login --profile app --url {url} --client-id {id}");
    let secret = format!("{}\n", service.client_secret);
    shell.run_reading(&secret, &format!("{app} --enterprise {enterprise}"));
    shell.run("whoami --profile app");
    shell.run_reading(&secret, &format!("{app} --user {}", service.admin_id));
    shell.run(&format!("login --profile key --url {url} --jwt {} --json", service.jwt_config.display()));
    shell.run("whoami --profile other");
    shell.run_reading(&secret, &app);
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_does_not_work_is_not_kept() {
    let service = Service::start().await;
    let mut shell = Shell::knowing(&service);
    let url = &service.url;
    shell.run_reading("wrong-token\n", &format!("login --url {url}"));
    shell.run_reading(
        "wrong-secret\n",
        &format!("login --url {url} --client-id {} --user 12", service.client_id),
    );
    shell.run_reading("\n", &format!("login --url {url}"));
    shell.run(&format!("login --url {url} --jwt nowhere.json"));
    shell.write("jwt.json", "{\"boxAppSettings\": 1}");
    shell.run(&format!("login --url {url} --jwt jwt.json"));
    shell.run(&format!("login --profile ../mine --url {url} --token wrong"));
    shell.run("login --url no-address --token wrong");
    assert!(!shell.path("config").exists());
    insta::assert_snapshot!(shell.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_a_profile_and_neither() {
    let service = Service::start().await;
    let mut shell = Shell::knowing(&service);
    shell.run("whoami");
    let url = &service.url;
    shell.run_reading(&service.token, &format!("login --url {url}"));
    shell.run("whoami");
    shell.set("LIGHTSOUT_URL", url);
    shell.note("with LIGHTSOUT_URL");
    shell.run("whoami");
    shell.set("LIGHTSOUT_TOKEN", &service.token);
    shell.note("with LIGHTSOUT_URL and LIGHTSOUT_TOKEN");
    shell.run("whoami");
    shell.run("whoami --profile default");
    shell.run(&format!("whoami --as-user {}", service.user_id));
    insta::assert_snapshot!(shell.transcript());
}

#[test]
fn no_credentials_win_in_silence_over_others() {
    let mut shell = Shell::new();
    shell.set("LIGHTSOUT_TOKEN", "never-printed");
    shell.run("login --profile box --url https://api.box.com --jwt box-config.json");
    shell.run("whoami --client-id app --client-secret hush --enterprise 12");
    shell.run("whoami --user 12");
    shell.run("whoami --profile box --user 12");
    shell.set("LIGHTSOUT_TOKEN", "");
    shell.note("with an empty LIGHTSOUT_TOKEN");
    shell.run("whoami");
    insta::assert_snapshot!(shell.transcript());
}

#[test]
fn a_profile_that_others_may_read_is_refused() {
    let mut shell = Shell::new();
    std::fs::create_dir_all(shell.path("config/profiles")).expect("made");
    let file = shell.path("config/profiles/open.json");
    let text = r#"{"url":"http://127.0.0.1:1","auth":"developer_token","token":"never-printed"}"#;
    std::fs::write(&file, text).expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
    shell.run("whoami --profile open");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    std::fs::write(&file, "{").expect("written");
    shell.run("whoami --profile open");
    insta::assert_snapshot!(shell.transcript());
}
