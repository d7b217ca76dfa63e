//! What a program that is tried finds in its environment.
//!
//! What decides whether programs start at all is the user's: where programs and libraries are found, the language, the
//! system's own variables. Whatever else the user has set stays out. Secrets are nothing to a trial, and variables that say where an app's data is would
//! lead it to the user's.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

/// What is handed on. A name that ends in `*` stands for all that start so. On Windows the case of names does not count.
const KEPT: &[&str] = &[
    // programs, libraries, certificates
    "PATH",
    "LD_LIBRARY_PATH",
    "DYLD_*",
    "NIX_LD*",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    // the GPU and its libraries
    "CUDA_*",
    "NVIDIA_*",
    // language and time
    "LANG",
    "LANGUAGE",
    "LC_*",
    "LOCALE_ARCHIVE",
    "TZ",
    "TZDIR",
    // who it is
    "USER",
    "LOGNAME",
    "SHELL",
    "USERNAME",
    "COMPUTERNAME",
    // Windows itself, without which nothing starts
    "SYSTEMROOT",
    "SYSTEMDRIVE",
    "WINDIR",
    "COMSPEC",
    "PATHEXT",
    "OS",
    "NUMBER_OF_PROCESSORS",
    "PROCESSOR_*",
    "PROGRAMFILES*",
    "PROGRAMW6432",
    "COMMONPROGRAMFILES*",
    "COMMONPROGRAMW6432",
    "PROGRAMDATA",
    "ALLUSERSPROFILE",
    // a trial of Windows' programs on another system
    "WINEPREFIX",
    "WINEDEBUG",
];

/// What leads to the program's own folders, and where that is in its home.
const OWN: &[(&str, &str)] = &[
    ("HOME", ""),
    ("XDG_CONFIG_HOME", ".config"),
    ("XDG_DATA_HOME", ".local/share"),
    ("XDG_STATE_HOME", ".local/state"),
    ("XDG_CACHE_HOME", ".cache"),
    ("XDG_RUNTIME_DIR", ".run"),
    ("TMPDIR", ".tmp"),
];

/// The same on Windows.
const OWN_ON_WINDOWS: &[(&str, &str)] = &[
    ("HOME", ""),
    ("USERPROFILE", ""),
    ("APPDATA", "AppData\\Roaming"),
    ("LOCALAPPDATA", "AppData\\Local"),
    ("TEMP", "AppData\\Local\\Temp"),
    ("TMP", "AppData\\Local\\Temp"),
];

/// A program's environment, and the folders to make for it.
pub(super) struct Surroundings {
    /// Its variables.
    pub(super) variables: BTreeMap<String, String>,
    /// Its folders.
    pub(super) folders: Vec<Utf8PathBuf>,
}

/// What a program finds whose home is `home`. `given` are the manifest's own variables, which count most.
pub(super) fn of(
    environment: &BTreeMap<String, String>,
    given: &BTreeMap<String, String>,
    home: &Utf8Path,
    is_windows: bool,
) -> Surroundings {
    let is_kept = |name: &str| {
        let name = if is_windows { name.to_ascii_uppercase() } else { name.to_owned() };
        KEPT.iter().any(|kept| match kept.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *kept,
        })
    };
    let users = environment.iter().filter(|(name, _)| is_kept(name));
    let own = if is_windows { OWN_ON_WINDOWS } else { OWN };
    let folder = |below: &str| if below.is_empty() { home.to_owned() } else { home.join(below) };
    let own_variables =
        own.iter().map(|(name, below)| ((*name).to_owned(), folder(below).into_string()));
    let variables = (users.map(|(name, value)| (name.clone(), value.clone())))
        .chain(own_variables)
        .chain(given.iter().map(|(name, value)| (name.clone(), value.clone())));
    let folders = own.iter().map(|(_, below)| folder(below));
    Surroundings { variables: variables.collect(), folders: folders.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_users_data_and_secrets_stay_out() {
        let user = map(&[
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("HOME", "/home/a"),
            ("XDG_DATA_HOME", "/data"),
            ("CLAW_STATE_DIR", "/home/a/.claw"),
            ("API_KEY", "secret"),
            ("SSH_AUTH_SOCK", "/run/x"),
            ("NODE_OPTIONS", "--inspect"),
            ("GANGWAY_BASE_URL", "https://me:word@host/releases"),
        ]);
        let given = map(&[("CLAW_HOME", "/t/claw"), ("LC_ALL", "en")]);
        let found = of(&user, &given, Utf8Path::new("/t"), false);
        let shown: Vec<String> =
            found.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        CLAW_HOME=/t/claw
        HOME=/t
        LC_ALL=en
        PATH=/bin
        TMPDIR=/t/.tmp
        XDG_CACHE_HOME=/t/.cache
        XDG_CONFIG_HOME=/t/.config
        XDG_DATA_HOME=/t/.local/share
        XDG_RUNTIME_DIR=/t/.run
        XDG_STATE_HOME=/t/.local/state
        ");
        assert!(found.folders.contains(&"/t/.run".into()));
    }

    #[test]
    fn windows_writes_names_as_it_likes() {
        let user =
            map(&[("Path", "C:\\x"), ("SystemRoot", "C:\\Windows"), ("AppData", "C:\\secret")]);
        let found = of(&user, &map(&[]), Utf8Path::new("T:\\t"), true);
        assert_eq!(found.variables.get("SystemRoot").map(String::as_str), Some("C:\\Windows"));
        assert!(found.variables.contains_key("Path"));
        assert!(!found.variables.values().any(|value| value.contains("secret")));
    }
}
