//! The service that keeps the shared cache, spoken to with bounded patience.
//!
//! What is read waits little for the service: it is asked because that is faster than making things, and if it is not, it must
//! not hold up the build. What is sent is sent in the background and may take longer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
use futures_util::StreamExt as _;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{ClientOptions, HttpClient, HttpConnector};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    BackoffConfig, Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
    RetryConfig, UpdateVersion,
};

use super::SharedCacheError;
use super::settings::{Place, Signature};
use crate::context::Context;
use crate::http;

/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(4);
/// How long nothing may come of what was asked for.
const READ_SILENCE: Duration = Duration::from_secs(8);
/// How long one thing may take to come, however steadily it does.
const READING: Duration = Duration::from_secs(60);
/// How long one thing may take to be sent and acknowledged.
const SENDING: Duration = Duration::from_secs(60);

/// Nothing that is shared is larger, and an endless answer must not fill the memory.
const LARGEST: u64 = 512 << 20;

/// A service, or a folder that stands in for one.
#[derive(Debug)]
pub(super) struct Service {
    reading: Arc<dyn ObjectStore>,
    sending: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// Something the service has.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) bytes: Vec<u8>,
    pub(super) version: UpdateVersion,
    /// When it was put there, in seconds since the beginning of 1970.
    pub(super) put_at: i64,
}

/// Something the service lists.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name, without the cache's prefix.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was put there, in seconds since the beginning of 1970.
    pub put_at: i64,
}

/// What is to be replaced.
#[derive(Debug, Clone)]
pub(super) enum Instead {
    /// Nothing: who was faster has made the same.
    OfNothing,
    /// This, if it is still there.
    Of(UpdateVersion),
}

/// What became of something that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// It is there now.
    Put,
    /// Somebody else put it there.
    Already,
}

/// Why a service is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It may be a single request that failed.
    Passing(String),
    /// No other request will fare better.
    Lasting(String),
}

impl Service {
    pub(super) fn connect(context: &Context, place: &Place) -> Result<Self, SharedCacheError> {
        match place {
            Place::Folder(path) => Self::in_folder(path),
            Place::Bucket { bucket, prefix, service, signature } => {
                let connect = |silence| bucket_at(context, bucket, service, *signature, silence);
                let (reading, sending) = (connect(READ_SILENCE)?, connect(SENDING)?);
                Ok(Self { reading, sending, prefix: Path::from(prefix.as_str()) })
            }
        }
    }

    fn in_folder(path: &Utf8Path) -> Result<Self, SharedCacheError> {
        if !path.is_dir() {
            return Err(SharedCacheError::Folder { path: path.to_owned() });
        }
        let folder = LocalFileSystem::new_with_prefix(path)
            .map_err(|source| SharedCacheError::Service { source })?;
        Ok(Self::of(Arc::new(folder)))
    }

    /// Any other that object_store knows.
    pub(super) fn of(store: Arc<dyn ObjectStore>) -> Self {
        Self { reading: Arc::clone(&store), sending: store, prefix: Path::default() }
    }

    /// The object of this name, if there is one.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Object>, Trouble> {
        let late = |_| Trouble::Passing(format!("nothing came for {} s", READING.as_secs()));
        tokio::time::timeout(READING, self.read(name)).await.map_err(late)?
    }

    async fn read(&self, name: &str) -> Result<Option<Object>, Trouble> {
        let answer = match self.reading.get(&self.path(name)).await {
            Ok(answer) => answer,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(Trouble::of(&error)),
        };
        let meta = answer.meta.clone();
        if meta.size > LARGEST {
            // Whoever put it there, it is not what was asked for.
            return Ok(Some(Object { bytes: Vec::new(), version: version(&meta), put_at: 0 }));
        }
        let room = usize::try_from(meta.size).unwrap_or(0);
        let mut bytes = Vec::with_capacity(room);
        let mut stream = answer.into_stream();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(|error| Trouble::of(&error))?);
            if bytes.len() as u64 > LARGEST {
                return Err(Trouble::Passing("its answer does not end".to_owned()));
            }
        }
        Ok(Some(Object { bytes, put_at: meta.last_modified.timestamp(), version: version(&meta) }))
    }

    /// Sends an object. It is there as a whole or not at all.
    pub(super) async fn put(
        &self,
        name: &str,
        bytes: Vec<u8>,
        instead: Instead,
    ) -> Result<Sent, Trouble> {
        let path = self.path(name);
        let payload = PutPayload::from(bytes);
        let mode = match instead {
            Instead::OfNothing => PutMode::Create,
            Instead::Of(version) if version.e_tag.is_some() => PutMode::Update(version),
            Instead::Of(_) => PutMode::Overwrite,
        };
        let put = |mode: PutMode| {
            let options = PutOptions { mode, ..PutOptions::default() };
            self.sending.put_opts(&path, payload.clone(), options)
        };
        let done = match put(mode).await {
            // Not every service has conditions; without them the same bytes are sent twice at worst.
            Err(error) if is_unknown_condition(&error) => put(PutMode::Overwrite).await,
            done => done,
        };
        match done {
            Ok(_) => Ok(Sent::Put),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Sent::Already),
            Err(error) => Err(Trouble::of(&error)),
        }
    }

    /// Everything there is below the prefix.
    pub(super) async fn list(&self) -> Result<Vec<Listed>, Trouble> {
        let mut listed = Vec::new();
        let mut stream = self.reading.list(Some(&self.prefix));
        while let Some(meta) = stream.next().await {
            let meta = meta.map_err(|error| Trouble::of(&error))?;
            let Some(parts) = meta.location.prefix_match(&self.prefix) else { continue };
            let parts: Vec<_> = parts.collect();
            let name = parts.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("/");
            listed.push(Listed { name, size: meta.size, put_at: meta.last_modified.timestamp() });
        }
        Ok(listed)
    }

    /// Removes an object; that there is none is as good.
    pub(super) async fn remove(&self, name: &str) -> Result<(), Trouble> {
        match self.sending.delete(&self.path(name)).await {
            Err(error) if !is_absence(&error) => Err(Trouble::of(&error)),
            _ => Ok(()),
        }
    }

    fn path(&self, name: &str) -> Path {
        self.prefix.parts().chain(Path::from(name).parts()).collect()
    }
}

impl Trouble {
    /// For a person: what the service said, without what object_store says of its own doings.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Passing(reason) | Self::Lasting(reason) => reason,
        }
    }

    fn of(error: &Error) -> Self {
        let text = innermost(error);
        match error {
            Error::PermissionDenied { .. } => Self::Lasting(
                "it refuses the request (403): are the credentials right, and do they allow `s3:GetObject`, `s3:ListBucket` and, to write, `s3:PutObject`?"
                    .to_owned(),
            ),
            Error::Unauthenticated { .. } => {
                Self::Lasting("it wants other credentials (401)".to_owned())
            }
            Error::NotFound { .. } if error.to_string().contains("NoSuchBucket") => {
                Self::Lasting("there is no such bucket".to_owned())
            }
            _ if is_refused_connection(error) => Self::Lasting(text),
            _ => Self::Passing(text),
        }
    }
}

/// Whether it is only the object that is not there: of a bucket S3 says the same, in other words.
fn is_absence(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && !error.to_string().contains("NoSuchBucket")
}

/// Whether the service, or the folder, knows no conditional writes.
fn is_unknown_condition(error: &Error) -> bool {
    match error {
        Error::NotImplemented { .. } | Error::NotSupported { .. } => true,
        Error::Generic { .. } => error.to_string().contains("501 Not Implemented"),
        _ => false,
    }
}

/// Whether nobody listens there, or nobody has the name.
fn is_refused_connection(error: &Error) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<std::io::Error>()
            && error.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// The reason behind the reasons, on one line of bearable length.
fn innermost(error: &Error) -> String {
    const LONGEST: usize = 160;
    let mut reason: &(dyn std::error::Error + 'static) = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    let text = reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn version(meta: &object_store::ObjectMeta) -> UpdateVersion {
    UpdateVersion { e_tag: meta.e_tag.clone(), version: meta.version.clone() }
}

/// Hands out one client, whatever object_store would have it like.
#[derive(Debug)]
struct Connector(http::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.plain()))
    }
}

fn bucket_at(
    context: &Context,
    bucket: &str,
    service: &BTreeMap<String, String>,
    signature: Signature,
    silence: Duration,
) -> Result<Arc<dyn ObjectStore>, SharedCacheError> {
    let failed = |source| SharedCacheError::Service { source };
    let mut builder = AmazonS3Builder::new();
    for (name, value) in service {
        // There are more variables of this kind than those of S3.
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let retry = RetryConfig {
        max_retries: 2,
        retry_timeout: CONNECTING,
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
    };
    let client = client(context, silence)?;
    let built = builder
        .with_bucket_name(bucket)
        // Who writes `http:` into the endpoint means it.
        .with_allow_http(true)
        .with_skip_signature(signature == Signature::Unsigned)
        .with_retry(retry)
        .with_http_connector(Connector(client))
        .build()
        .map_err(failed)?;
    Ok(Arc::new(built))
}

fn client(context: &Context, silence: Duration) -> Result<http::Client, SharedCacheError> {
    let variable = |name: &str| {
        context.variable(name).or_else(|| context.variable(&name.to_uppercase())).map(str::to_owned)
    };
    let mut authorities = Vec::new();
    for variable in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        if let Some(path) = context.variable(variable) {
            let path = context.current_dir.join(path);
            let read = std::fs::read(&path).map_err(|source| SharedCacheError::Authorities {
                variable,
                path,
                source,
            })?;
            authorities.push(read);
        }
    }
    let any_proxy = || variable("all_proxy");
    let settings = http::Settings {
        http_proxy: variable("http_proxy").or_else(any_proxy),
        https_proxy: variable("https_proxy").or_else(any_proxy),
        no_proxy: variable("no_proxy"),
        authorities,
        connecting: CONNECTING,
        silence,
        ..http::Settings::default()
    };
    http::Client::new(&settings).map_err(|source| SharedCacheError::Client { source })
}
