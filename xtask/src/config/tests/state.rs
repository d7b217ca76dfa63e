//! `[[state]]`.

use gangway_artifact::Os;

use super::*;

const STATE: &str = r#"
[[state]]
path = "~/.echo"
"#;

#[test]
fn each_platform_has_its_folder() {
    let more = r#"macos = "~/Library/Application Support/echo"
windows = "%APPDATA%/echo"
variable = "ECHO_HOME"
exclude = ["logs", "cache/models"]
limit-mb = 10
"#;
    let config = Folder::with(&[(FILE_NAME, &format!("{MINIMAL}{STATE}{more}"))]).load();
    let config = config.expect("valid");
    let on = |os| serde_json::to_string(&config.state[0].on(os).expect("it has one"));
    insta::assert_snapshot!(on(Os::Linux).expect("plain"), @r#"{"path":"~/.echo","variable":"ECHO_HOME","exclude":["logs","cache/models"],"limit_mb":10}"#);
    insta::assert_snapshot!(on(Os::Darwin).expect("plain"), @r#"{"path":"~/Library/Application Support/echo","variable":"ECHO_HOME","exclude":["logs","cache/models"],"limit_mb":10}"#);
    insta::assert_snapshot!(on(Os::Win32).expect("plain"), @r#"{"path":"%APPDATA%/echo","variable":"ECHO_HOME","exclude":["logs","cache/models"],"limit_mb":10}"#);
    let system = format!("{MINIMAL}{}", STATE.replace("~/.", "/var/lib/"));
    let config = Folder::with(&[(FILE_NAME, &system)]).load().expect("valid");
    assert!(config.state[0].on(Os::Linux).is_some() && config.state[0].on(Os::Win32).is_none());
}

#[test]
fn what_to_write_instead() {
    for (from, to, told) in [
        ("~/.echo", "~", "`~` holds the data of every program"),
        ("~/.echo", "/usr/lib/echo", "does not begin with a place for data"),
        ("~/.echo", "$HOME/echo", "begin with `~`,"),
        ("~/.echo", "%APPDATA%/echo", "write it as `windows`"),
        ("~/.echo", "~/../x", "it leads out"),
        ("path =", "windows = \"/var/lib/x\"\npath =", "is a place of another system"),
        ("path =", "variable = \"A=B\"\npath =", "cannot name an environment variable"),
        ("path =", "exclude = [\"/x\"]\npath =", "it is absolute"),
        ("path =", "limit-mb = 0\npath =", "not a number from 1"),
        ("path =", "where = \"x\"\npath =", "unknown key `where`"),
    ] {
        let text = format!("{MINIMAL}{STATE}");
        assert!(text.contains(from), "{from}");
        let said = Folder::with(&[(FILE_NAME, &text.replacen(from, to, 1))]).refusal();
        assert!(said.contains(told), "`{told}` is not in:\n{said}");
    }
    assert!(refusal(&format!("{MINIMAL}{STATE}{STATE}")).contains("appears twice"));
}
