//! What node-pre-gyp downloads (`node-pre-gyp` 0.x, `@mapbox/node-pre-gyp` 1 and 2), by its `versioning.js` and `napi.js`.

use gangway_artifact::Platform;
use nodejs_semver::Version;
use serde_json::Value;
use url::Url;

use super::super::NodeAbi;
use super::super::script;
use super::{Place, folder, napi_versions, newest_napi, no_napi, unknown_variable};

/// The name of an archive where package.json gives none.
const PACKAGE_NAME: &str = "{module_name}-v{version}-{node_abi}-{platform}-{arch}.tar.gz";

/// A package with node-pre-gyp's `binary` in its package.json.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePreGyp {
    name: String,
    version: String,
    main: Option<String>,
    module_name: String,
    module_path: String,
    host: String,
    remote_path: Option<String>,
    package_name: Option<String>,
    napi_versions: Vec<u32>,
    bucket: Option<String>,
    region: Option<String>,
    has_path_style: bool,
    toolset: String,
    debug: Option<String>,
}

impl NodePreGyp {
    /// Reads a package.json and the arguments in its install script; `None` if it is not made for node-pre-gyp.
    pub(super) fn read(manifest: &Value, arguments: &[String]) -> Option<Self> {
        let binary = &manifest["binary"];
        let set = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let options = script::options(arguments, &[]);
        Some(Self {
            name: set(&manifest["name"])?,
            version: set(&manifest["version"])?,
            main: set(&manifest["main"]),
            module_name: set(&binary["module_name"])?,
            module_path: set(&binary["module_path"])?,
            host: set(&binary["host"])?,
            remote_path: set(&binary["remote_path"]),
            package_name: set(&binary["package_name"]),
            napi_versions: napi_versions(manifest),
            bucket: set(&binary["bucket"]),
            region: set(&binary["region"]),
            has_path_style: binary["s3ForcePathStyle"] == Value::Bool(true),
            toolset: options.get("toolset").cloned().unwrap_or_default(),
            debug: options.get("debug").filter(|value| *value != "false").cloned(),
        })
    }

    /// `node-v137`, `napi-v6`
    pub(super) fn interface(&self, abi: NodeAbi) -> Result<String, String> {
        Ok(match self.napi(abi)? {
            Some(version) => format!("napi-v{version}"),
            None => format!("node-v{}", abi.modules),
        })
    }

    /// The version of Node-API that is asked for, if the package has builds by it. One whose archives can also be named for
    /// the ABI of Node does without.
    fn napi(&self, abi: NodeAbi) -> Result<Option<u32>, String> {
        let found = newest_napi(&self.napi_versions, abi);
        let names_abi =
            self.package_name.as_ref().is_none_or(|name| name.contains("{node_napi_label}"));
        if found.is_none() && !self.napi_versions.is_empty() && !names_abi {
            return Err(no_napi(&self.napi_versions, abi));
        }
        Ok(found)
    }

    pub(super) fn url(
        &self,
        platform: &Platform,
        abi: NodeAbi,
        mirror: Option<&str>,
    ) -> Result<String, String> {
        let mut values = self.values(platform, abi)?;
        let host = with_slash(&expand(mirror.unwrap_or(&self.host), &values));
        values.push(("host", host.clone()));
        let path = self.remote_path.as_ref().map(|path| with_slash(&expand(path, &values)));
        let path = path.unwrap_or_default().replace("//", "/");
        values.push(("remote_path", path.clone()));
        let name = expand(self.package_name.as_deref().unwrap_or(PACKAGE_NAME), &values);
        // Only 2.x puts the bucket into the address; a server that wants it there has nothing elsewhere.
        let path = match &self.bucket {
            Some(bucket) if self.has_path_style => format!("{bucket}/{path}").replace("//", "/"),
            _ => path,
        };
        if let Some(reason) = unknown_variable(&[&host, &path, &name].map(String::as_str).concat())
        {
            return Err(reason);
        }
        let joined =
            Url::parse(&host).and_then(|host| host.join(&path)).and_then(|path| path.join(&name));
        let url = joined.map_err(|_| format!("`{host}` is no address to download from"))?;
        // A server may read the sign as a blank.
        Ok(String::from(url).replacen('+', "%2B", 1))
    }

    pub(super) fn place(&self, platform: &Platform, abi: NodeAbi) -> Result<Place, String> {
        let path = expand(&self.module_path, &self.values(platform, abi)?);
        Ok(Place { folder: folder(&path)?, strip: 1 })
    }

    /// `npm_config_bcrypt_lib_binary_host_mirror`, as npm names its settings.
    pub(super) fn mirror_settings(&self) -> Vec<String> {
        vec![format!("{}_binary_host_mirror", self.module_name)]
    }

    /// What stands in a template, in the order in which it is put there. JavaScript writes `undefined` for what is not
    /// there, and so does this.
    fn values(
        &self,
        platform: &Platform,
        abi: NodeAbi,
    ) -> Result<Vec<(&'static str, String)>, String> {
        let version = Version::parse(&self.version)
            .map_err(|_| format!("its version `{}` is none", self.version))?;
        let joined = |parts: &[nodejs_semver::Identifier]| {
            parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
        };
        let prerelease = joined(version.pre_release());
        let dash = if prerelease.is_empty() { "" } else { "-" };
        let number = format!(
            "{}.{}.{}{dash}{prerelease}",
            version.major(),
            version.minor(),
            version.patch()
        );
        let napi = self.napi(abi)?.map(|version| version.to_string()).unwrap_or_default();
        let (os, cpu) = (platform.os.as_str(), platform.cpu.as_str());
        let node_abi = format!("node-v{}", abi.modules);
        let or_undefined = |text: &Option<String>| text.clone().unwrap_or("undefined".to_owned());
        Ok(vec![
            ("name", self.name.clone()),
            ("configuration", if self.debug.is_some() { "Debug" } else { "Release" }.to_owned()),
            ("debug", or_undefined(&self.debug)),
            ("module_name", self.module_name.clone()),
            ("version", number),
            ("prerelease", prerelease),
            ("build", joined(version.build())),
            ("major", version.major().to_string()),
            ("minor", version.minor().to_string()),
            ("patch", version.patch().to_string()),
            ("runtime", "node".to_owned()),
            ("node_abi", node_abi),
            ("node_abi_napi", "napi".to_owned()),
            ("napi_version", abi.napi.to_string()),
            ("napi_build_version", napi),
            ("node_napi_label", self.interface(abi)?),
            ("target", String::new()),
            ("platform", os.to_owned()),
            ("target_platform", os.to_owned()),
            ("arch", cpu.to_owned()),
            ("target_arch", cpu.to_owned()),
            ("libc", platform.libc.map_or("unknown", gangway_artifact::Libc::as_str).to_owned()),
            ("module_main", or_undefined(&self.main)),
            ("toolset", self.toolset.clone()),
            ("bucket", or_undefined(&self.bucket)),
            ("region", or_undefined(&self.region)),
            ("s3ForcePathStyle", self.has_path_style.to_string()),
        ])
    }
}

/// Puts values for `{key}`, one key after the other: a value may name a later key.
fn expand(template: &str, values: &[(&str, String)]) -> String {
    let mut text = template.to_owned();
    for (key, value) in values {
        text = text.replace(&format!("{{{key}}}"), value);
    }
    text
}

fn with_slash(path: &str) -> String {
    if path.ends_with('/') { path.to_owned() } else { format!("{path}/") }
}
