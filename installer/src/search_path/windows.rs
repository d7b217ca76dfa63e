//! `Path` in Windows' registry: of the user, or of the machine.
//!
//! Its kind (with variables in it or without) and whatever else is in it stay as they are. Programs that run are told that it
//! changed; those that were started before still have the old one.

use std::io;
use std::ptr;

use camino::Utf8Path;
use windows_sys::Win32::Foundation::{ERROR_FILE_NOT_FOUND, ERROR_MORE_DATA, LPARAM};
use windows_sys::Win32::System::Registry::{
    HKEY, HKEY_CURRENT_USER, HKEY_LOCAL_MACHINE, KEY_QUERY_VALUE, KEY_SET_VALUE, REG_EXPAND_SZ,
    REG_SZ, REG_VALUE_TYPE, RegCloseKey, RegDeleteValueW, RegOpenKeyExW, RegQueryValueExW,
    RegSetValueExW,
};
use windows_sys::Win32::UI::WindowsAndMessaging::{
    HWND_BROADCAST, SMTO_ABORTIFHUNG, SendMessageTimeoutW, WM_SETTINGCHANGE,
};

use super::{Done, Edit, Outcome, Plan, Programs, Record, value};
use crate::context::Context;

/// The longest value that an environment takes.
const LONGEST: usize = 32_766;

/// How long each window may take to hear of a change, in milliseconds.
const PATIENCE: u32 = 1000;

pub(super) fn is_same(entry: &Utf8Path, folder: &Utf8Path) -> bool {
    let plain =
        |path: &Utf8Path| path.as_str().replace('/', "\\").trim_end_matches('\\').to_lowercase();
    plain(entry) == plain(folder)
}

pub(super) fn plan(_: &Context, programs: Programs<'_>, before: Option<&Record>) -> Plan {
    let Programs { folder, for_everyone, .. } = programs;
    let entry = folder.as_str().replace('/', "\\");
    if entry.contains([';', '"']) {
        return Plan::ByHand(format!("`{entry}` can not be on the Path"));
    }
    let is_empty =
        || Key::open(for_everyone).and_then(|key| key.read()).is_ok_and(|found| found.is_none());
    let was_empty = |edit: &Edit| matches!(edit, Edit::Registry { made: true, .. });
    let made = before.is_some_and(|record| record.edits.iter().any(was_empty)) || is_empty();
    let edit = Edit::Registry { everyone: for_everyone, entry, made };
    Plan::Edit(Record { folder: folder.to_owned(), edits: vec![edit] })
}

pub(super) fn find(_: &Context, programs: Programs<'_>) -> Vec<Edit> {
    let entry = programs.folder.as_str().replace('/', "\\");
    let units: Vec<u16> = entry.encode_utf16().collect();
    let edit = |everyone: bool| {
        let (_, found) = Key::open(everyone).and_then(|key| key.read()).ok()??;
        let rest = value::remove(&found, &units)?;
        Some(Edit::Registry { everyone, entry: entry.clone(), made: rest.is_empty() })
    };
    [false, true].into_iter().filter_map(edit).collect()
}

pub(super) fn all(edits: &[Edit], each: impl Fn(&Edit) -> Outcome) -> Vec<Outcome> {
    let outcomes: Vec<Outcome> = edits.iter().map(each).collect();
    if outcomes.iter().any(|outcome| matches!(outcome.done, Done::Changed | Done::Removed)) {
        tell();
    }
    outcomes
}

pub(super) fn apply(edit: &Edit) -> Outcome {
    on_value(edit, "add", |key, entry, _| {
        let found = key.read()?;
        let (kind, before) = found.unwrap_or((REG_EXPAND_SZ, Vec::new()));
        match value::add(&before, entry) {
            None => Ok(Done::Unchanged),
            Some(after) => key.write(kind, &after).map(|()| Done::Changed),
        }
    })
}

pub(super) fn undo(edit: &Edit) -> Outcome {
    on_value(edit, "take out", |key, entry, made| {
        let Some((kind, before)) = key.read()? else { return Ok(Done::Unchanged) };
        match value::remove(&before, entry) {
            None => Ok(Done::Unchanged),
            Some(after) if after.is_empty() && made => key.delete().map(|()| Done::Removed),
            Some(after) => key.write(kind, &after).map(|()| Done::Changed),
        }
    })
}

fn on_value(
    edit: &Edit,
    verb: &str,
    change: impl FnOnce(&Key, &[u16], bool) -> io::Result<Done>,
) -> Outcome {
    let (everyone, entry, made) = match edit {
        Edit::Registry { everyone, entry, made } => (*everyone, entry, *made),
        Edit::Profile { file, .. } => {
            let reason = "this is Windows".to_owned();
            let done = Done::Refused { reason, help: String::new() };
            return Outcome { place: file.to_string(), done };
        }
    };
    let units: Vec<u16> = entry.encode_utf16().collect();
    let done = Key::open(everyone).and_then(|key| change(&key, &units, made));
    let done = done.unwrap_or_else(|error| Done::Refused {
        reason: error.to_string(),
        help: format!("{verb} `{entry}` in the list `Path` of the environment variables"),
    });
    Outcome { place: place(everyone).1.replace('\0', ""), done }
}

fn place(everyone: bool) -> (HKEY, &'static str) {
    if everyone {
        (HKEY_LOCAL_MACHINE, "SYSTEM\\CurrentControlSet\\Control\\Session Manager\\Environment\0")
    } else {
        (HKEY_CURRENT_USER, "Environment\0")
    }
}

/// The key that holds `Path`, open.
struct Key(HKEY);

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: it was opened by `open`, and nobody else closes it.
        #[expect(unsafe_code, reason = "the registry has no safe wrapper")]
        unsafe {
            RegCloseKey(self.0);
        }
    }
}

impl Key {
    fn open(everyone: bool) -> io::Result<Self> {
        let (root, path) = place(everyone);
        let path: Vec<u16> = path.encode_utf16().collect();
        let mut key: HKEY = ptr::null_mut();
        // SAFETY: the path ends with a NUL, and the result has a place.
        #[expect(unsafe_code, reason = "the registry has no safe wrapper")]
        let status = unsafe {
            RegOpenKeyExW(root, path.as_ptr(), 0, KEY_QUERY_VALUE | KEY_SET_VALUE, &raw mut key)
        };
        checked(status).map(|()| Self(key))
    }

    /// The value and its kind, if there is one.
    fn read(&self) -> io::Result<Option<(REG_VALUE_TYPE, Vec<u16>)>> {
        let name = name();
        let mut units: Vec<u16> = vec![0; 2048];
        loop {
            let mut kind = 0;
            let mut size = u32::try_from(units.len() * 2).map_err(io::Error::other)?;
            // SAFETY: the name ends with a NUL, and `size` is that of the buffer, in bytes.
            #[expect(unsafe_code, reason = "the registry has no safe wrapper")]
            let status = unsafe {
                let bytes = units.as_mut_ptr().cast();
                let (kind, size) = (&raw mut kind, &raw mut size);
                RegQueryValueExW(self.0, name.as_ptr(), ptr::null(), kind, bytes, size)
            };
            match status {
                ERROR_FILE_NOT_FOUND => return Ok(None),
                // Somebody may write a longer one meanwhile, so it is asked for again.
                ERROR_MORE_DATA => units.resize(size as usize / 2 + 1024, 0),
                status => {
                    checked(status)?;
                    units.truncate(size as usize / 2);
                    while units.last() == Some(&0) {
                        units.pop();
                    }
                    if !matches!(kind, REG_SZ | REG_EXPAND_SZ) {
                        return Err(io::Error::other("its value is no text"));
                    }
                    return Ok(Some((kind, units)));
                }
            }
        }
    }

    fn write(&self, kind: REG_VALUE_TYPE, units: &[u16]) -> io::Result<()> {
        if units.len() > LONGEST {
            return Err(io::Error::other("it would be longer than Windows takes"));
        }
        let units: Vec<u16> = units.iter().copied().chain([0]).collect();
        let size = u32::try_from(units.len() * 2).map_err(io::Error::other)?;
        let name = name();
        // SAFETY: both texts end with a NUL, and `size` is that of the second, in bytes.
        #[expect(unsafe_code, reason = "the registry has no safe wrapper")]
        let status =
            unsafe { RegSetValueExW(self.0, name.as_ptr(), 0, kind, units.as_ptr().cast(), size) };
        checked(status)
    }

    fn delete(&self) -> io::Result<()> {
        let name = name();
        // SAFETY: the name ends with a NUL.
        #[expect(unsafe_code, reason = "the registry has no safe wrapper")]
        checked(unsafe { RegDeleteValueW(self.0, name.as_ptr()) })
    }
}

fn name() -> Vec<u16> {
    "Path\0".encode_utf16().collect()
}

fn checked(status: u32) -> io::Result<()> {
    match status {
        0 => Ok(()),
        status => Err(io::Error::from_raw_os_error(status.cast_signed())),
    }
}

/// Tells programs that the environment changed, so that what the desktop starts from now on has it.
fn tell() {
    let subject: Vec<u16> = "Environment\0".encode_utf16().collect();
    // SAFETY: the text ends with a NUL and lives until the call returns. Who does not listen is passed over.
    #[expect(unsafe_code, reason = "messages have no safe wrapper")]
    unsafe {
        let text = subject.as_ptr() as LPARAM;
        let (broadcast, flags) = (HWND_BROADCAST, SMTO_ABORTIFHUNG);
        SendMessageTimeoutW(broadcast, WM_SETTINGCHANGE, 0, text, flags, PATIENCE, ptr::null_mut());
    }
}
