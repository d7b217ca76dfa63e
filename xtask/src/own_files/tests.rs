use super::*;
use crate::testing::{Sandbox, rendered};

const APP: &str = r#"format = 1

[app]
name = "sample"
version = "1.2.3"
"#;

const REST: &str = r#"
[runtime]
engine = "node"
version = "^24.16.0"

[[entrypoint]]
name = "sample"
script = "app.js"
"#;

const BUILD: &str = r#"
[build]
command = ["node", "build.js"]
outputs = ["dist", "out/main.js"]
"#;

/// A gateway in `project/`, so that there is something outside it.
struct Project {
    sandbox: Sandbox,
    folder: Utf8PathBuf,
    manifest: String,
}

impl Project {
    /// `app` are more lines of `[app]`.
    fn new(app: &str) -> Self {
        let sandbox = Sandbox::new();
        let folder = sandbox.root.join("project");
        let project = Self { sandbox, folder, manifest: format!("{APP}{app}\n{REST}") };
        project.write("app.js");
        project
    }

    fn with_build(mut self) -> Self {
        self.manifest.push_str(BUILD);
        self
    }

    /// A file that holds its own name.
    fn write(&self, path: &str) -> Utf8PathBuf {
        self.sandbox.write(&format!("project/{path}"), path)
    }

    #[cfg(unix)]
    fn link(&self, path: &str, target: &str) {
        std::os::unix::fs::symlink(target, self.folder.join(path)).expect("writable");
    }

    fn config(&self) -> Config {
        let path = self.sandbox.write("project/gangway.toml", &self.manifest);
        config::load(&path).expect("a valid manifest")
    }

    fn take(&self, selection: Selection) -> Result<Tree, OwnFilesError> {
        collect(&self.config(), selection, &[])
    }

    /// The paths that are shipped.
    fn shipped(&self) -> Vec<String> {
        paths(&self.take(Selection::Shipped).unwrap_or_else(|error| panic!("{}", rendered(&error))))
    }

    fn refused(&self) -> String {
        let error = self.take(Selection::Shipped).expect_err("it must be refused");
        let text = rendered(&error).replace(self.sandbox.root.as_str(), "FOLDER");
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}

fn paths(tree: &Tree) -> Vec<String> {
    tree.iter().map(|(path, _)| path.to_string()).collect()
}

#[test]
fn everything_but_what_is_gangways_or_npms() {
    let project = Project::new("");
    for path in [
        "gangway.lock",
        ".git/config",
        "node_modules/a/index.js",
        "packages/b/node_modules/c/index.js",
        "packages/b/.git",
        "packages/b/gangway.lock",
        ".hidden/file",
        ".env",
        "tsconfig.json",
    ] {
        project.write(path);
    }
    assert_eq!(
        project.shipped(),
        [".env", ".hidden/file", "app.js", "packages/b/gangway.lock", "tsconfig.json"]
    );
}

#[test]
fn what_git_ignores_is_not_shipped() {
    let project = Project::new("");
    project.sandbox.write("project/.gitignore", "*.log\n/tmp/\n");
    project.sandbox.write("project/docs/.gitignore", "!keep.log\n");
    for path in ["a.log", "docs/b.log", "docs/keep.log", "tmp/x", "docs/tmp/x"] {
        project.write(path);
    }
    assert_eq!(
        project.shipped(),
        [".gitignore", "app.js", "docs/.gitignore", "docs/keep.log", "docs/tmp/x"]
    );
}

#[test]
fn the_machines_own_ignore_rules_do_not_count() {
    let project = Project::new("");
    project.sandbox.write(".gitignore", "app.js\n");
    project.sandbox.write("project/.ignore", "app.js\n");
    project.sandbox.write("project/.git/info/exclude", "app.js\n");
    assert_eq!(project.shipped(), [".ignore", "app.js"]);
}

#[test]
fn include_takes_what_git_ignores() {
    let project = Project::new(r#"include = ["app.js", "data/*.db"]"#);
    project.sandbox.write("project/.gitignore", "data/\n");
    for path in ["data/a.db", "data/deep/b.db", "other.js"] {
        project.write(path);
    }
    assert_eq!(project.shipped(), ["app.js", "data/a.db"]);
}

#[test]
fn exclude_wins() {
    let project = Project::new("include = [\"**/*.js\"]\nexclude = [\"**/*.test.js\"]");
    for path in ["a.test.js", "src/b.js", "src/b.test.js"] {
        project.write(path);
    }
    assert_eq!(project.shipped(), ["app.js", "src/b.js"]);
}

#[test]
fn exclude_works_without_include() {
    let project = Project::new(r#"exclude = ["secret/**"]"#);
    project.write("secret/key");
    assert_eq!(project.shipped(), ["app.js"]);
}

#[test]
fn nothing_brings_back_the_manifest() {
    let project = Project::new(r#"include = ["**"]"#);
    project.write("gangway.lock");
    project.write("node_modules/a/index.js");
    assert_eq!(project.shipped(), ["app.js"]);
}

#[test]
fn an_include_that_matches_nothing() {
    let project = Project::new(r#"include = ["app.js", "dits/**"]"#);
    insta::assert_snapshot!(project.refused(), @"
    × `include` in [app] of `FOLDER/project/gangway.toml` names `dits/**`, and no file matches it
    help: patterns are relative to the manifest's folder and match whole paths: `dist/**`, `*.json`
    ");
}

#[test]
fn yesterdays_outputs_are_not_taken() {
    let project = Project::new("").with_build();
    for path in ["dist/app.js", "out/main.js", "out/other.js", "src/dist/x.js"] {
        project.write(path);
    }
    let expected = ["app.js", "out/other.js", "src/dist/x.js"];
    assert_eq!(project.shipped(), expected);
    assert_eq!(paths(&project.take(Selection::Sources).expect("readable")), expected);
}

#[test]
fn the_build_sees_what_is_not_shipped() {
    let project = Project::new("include = [\"app.js\"]\nexclude = [\"src/**\"]").with_build();
    project.sandbox.write("project/.gitignore", "cache/\n");
    project.write("src/app.ts");
    project.write("cache/x");
    assert_eq!(project.shipped(), ["app.js"]);
    let sources = project.take(Selection::Sources).expect("readable");
    assert_eq!(paths(&sources), [".gitignore", "app.js", "src/app.ts"]);
}

#[test]
fn an_include_may_be_meant_for_outputs_only() {
    for pattern in ["dist/**", "dist", "d*/*.js", "**/*.mjs", "out/main.js", "{dist,out}/*"] {
        let project = Project::new(&format!("include = [\"app.js\", \"{pattern}\"]")).with_build();
        assert_eq!(project.shipped(), ["app.js"], "{pattern}");
    }
    for pattern in ["dist2/**", "*.mjs", "dis", "out", "out/*.mjs", "src/**"] {
        let project = Project::new(&format!("include = [\"app.js\", \"{pattern}\"]")).with_build();
        let told = project.refused();
        assert!(told.contains(&format!("`{pattern}`, and no file matches it")), "{told}");
    }
}

#[test]
fn folders_that_hold_bundles_are_skipped() {
    let project = Project::new("");
    project.write("bundles/sample.tar.zst");
    project.write("src/bundles/x.js");
    let config = project.config();
    let elsewhere = project.sandbox.root.join("elsewhere");
    for skip in ["bundles", "../project/bundles", "src/../bundles/"] {
        let skip = [project.folder.join(skip), elsewhere.clone()];
        let tree = collect(&config, Selection::Shipped, &skip).expect("readable");
        assert_eq!(paths(&tree), ["app.js", "src/bundles/x.js"], "{skip:?}");
    }
}

#[test]
fn digests_and_sizes_are_those_of_the_bytes() {
    let project = Project::new("");
    let tree = project.take(Selection::Shipped).expect("readable");
    let expected = Source::new(project.folder.join("app.js"), 6, false, Digest::of("app.js"));
    assert_eq!(tree.get("app.js"), Some(&Node::File(expected)));
}

#[test]
fn folders_of_the_closure_are_taken_whole() {
    let project = Project::new("");
    project.sandbox.write("project/packages/a/.gitignore", "lib/\n");
    for path in
        ["packages/a/lib/index.js", "packages/a/node_modules/x.js", "packages/a/gangway.lock"]
    {
        project.write(path);
    }
    let tree = folder(&project.folder.join("packages/a")).expect("readable");
    assert_eq!(paths(&tree), [".gitignore", "gangway.lock", "lib/index.js"]);
}

#[test]
fn a_folder_that_is_not_there() {
    let project = Project::new("");
    let error = folder(&project.folder.join("packages/a")).expect_err("it is not there");
    let told = rendered(&error);
    assert!(told.contains("cannot list the gateway's files in"), "{told}");
    assert!(told.contains("packages/a"), "{told}");
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn links_that_stay_inside_are_kept() {
        let project = Project::new("");
        project.write("src/a.js");
        project.link("src/b.js", "../app.js");
        project.link("main", "src");
        let tree = project.take(Selection::Shipped).expect("readable");
        assert_eq!(paths(&tree), ["app.js", "main", "src/a.js", "src/b.js"]);
        assert_eq!(tree.get("src/b.js"), Some(&Node::Link("../app.js".to_owned())));
        assert_eq!(tree.get("main"), Some(&Node::Link("src".to_owned())));
    }

    #[test]
    fn a_link_that_leads_out() {
        let project = Project::new("");
        project.sandbox.write("secret", "x");
        project.link("stolen", "../secret");
        insta::assert_snapshot!(project.refused(), @"
        × the link `FOLDER/project/stolen` points to `../secret`, outside the gateway's folder
        help: copy what it points to, or leave the link out with `exclude` in [app]
        ");
    }

    #[test]
    fn a_link_that_leads_out_by_its_text_or_by_another_link() {
        let inside = Project::new("");
        inside.link("round", "../project/app.js");
        assert!(inside.refused().contains("points to `../project/app.js`"));

        let absolute = Project::new("");
        absolute.link("absolute", absolute.folder.join("app.js").as_str());
        assert!(absolute.refused().contains("outside the gateway's folder"));

        let hidden = Project::new("");
        hidden.sandbox.write("outside/secret", "x");
        hidden.write(".git/x");
        // Skipped itself, and still a way out.
        hidden.link("node_modules", "../outside");
        hidden.link("stolen", "node_modules/secret");
        assert!(hidden.refused().contains("points to `node_modules/secret`"));
    }

    #[test]
    fn a_link_to_nothing() {
        let project = Project::new("");
        project.link("dangling", "nowhere");
        let told = project.refused();
        assert!(told.contains("cannot read `FOLDER/project/dangling`"), "{told}");
        assert!(told.contains("No such file"), "{told}");
    }

    #[test]
    fn a_link_that_is_excluded_may_lead_anywhere() {
        let project = Project::new(r#"exclude = ["stolen"]"#);
        project.link("stolen", "/");
        assert_eq!(project.shipped(), ["app.js"]);
    }

    #[test]
    fn what_the_owner_may_execute_is_executable() {
        let project = Project::new("");
        for (path, mode) in [("a", 0o755), ("b", 0o700), ("c", 0o655), ("d", 0o444)] {
            let file = project.write(path);
            fs_err::set_permissions(file, std::fs::Permissions::from_mode(mode)).expect("ours");
        }
        let tree = project.take(Selection::Shipped).expect("readable");
        let executable: Vec<_> = tree
            .files()
            .filter(|(_, source)| source.executable)
            .map(|(path, _)| path.as_str())
            .collect();
        assert_eq!(executable, ["a", "b"]);
    }

    #[test]
    fn names_that_no_bundle_holds() {
        let project = Project::new("");
        project.write("a:b");
        let told = project.refused();
        assert!(told.contains("`a:b` cannot be in a bundle"), "{told}");
        assert!(told.contains("it contains a colon"), "{told}");
    }

    #[test]
    fn names_that_are_not_utf8() {
        use std::os::unix::ffi::OsStrExt as _;
        let project = Project::new("");
        let name = std::ffi::OsStr::from_bytes(b"a\xff");
        std::fs::write(project.folder.as_std_path().join(name), "x").expect("writable");
        let told = project.refused();
        assert!(told.contains("cannot be in a bundle"), "{told}");
        assert!(told.contains("rename it"), "{told}");
    }
}

#[test]
fn the_gitignore_of_a_workspace_counts_for_its_packages() {
    let project = Project::new("");
    for path in [".env", "logs/today.log", "logs/keep.log", "lib/a.js", "dist/a.js"] {
        project.write(path);
    }
    let write = |path: &str, text: &str| project.sandbox.write(path, text);
    // The last line is about the gateway's own folder, and whoever bundles it wants it.
    write(".gitignore", ".env\n*.log\n!keep.log\n/project/dist\n/project\n");
    write("project/package.json", r#"{"dependencies": {"a": "1"}}"#);
    write("package-lock.json", "{}");
    write("package.json", r#"{"workspaces": ["project"]}"#);
    assert_eq!(project.shipped(), ["app.js", "lib/a.js", "logs/keep.log", "package.json"]);
}
