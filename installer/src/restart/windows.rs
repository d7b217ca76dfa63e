//! Processes as Windows lists them.

use camino::{Utf8Path, Utf8PathBuf};
use windows_sys::Win32::Foundation::{CloseHandle, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
};
use windows_sys::Win32::System::Threading::{
    OpenProcess, PROCESS_NAME_WIN32, PROCESS_QUERY_LIMITED_INFORMATION, QueryFullProcessImageNameW,
};

use super::Process;

/// Every process that this user may ask, with its program.
pub(super) fn programs(versions: &Utf8Path) -> Option<Vec<(u32, Utf8PathBuf)>> {
    let ids = ids()?;
    // Resolved paths begin with `\\?\`, and those of programs do not.
    let is_long = versions.as_str().starts_with(r"\\?\");
    let shown = |path: String| if is_long { format!(r"\\?\{path}") } else { path };
    Some(ids.into_iter().filter_map(|id| Some((id, shown(program(id)?).into()))).collect())
}

/// Nothing tells that in few words.
pub(super) fn listener(_: u16, _: &[Process]) -> Option<&'static Process> {
    None
}

fn ids() -> Option<Vec<u32>> {
    let mut ids = Vec::new();
    let size = u32::try_from(size_of::<PROCESSENTRY32W>()).expect("it has some hundred bytes");
    let mut entry = PROCESSENTRY32W { dwSize: size, ..PROCESSENTRY32W::default() };
    // SAFETY: the entry says its size, and the list is closed once, after its last use.
    #[expect(unsafe_code, reason = "lists of processes have no safe wrapper")]
    unsafe {
        let list = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
        if list == INVALID_HANDLE_VALUE {
            return None;
        }
        let mut is_one = Process32FirstW(list, &raw mut entry);
        while is_one != 0 {
            ids.push(entry.th32ProcessID);
            is_one = Process32NextW(list, &raw mut entry);
        }
        CloseHandle(list);
    }
    Some(ids)
}

fn program(id: u32) -> Option<String> {
    let mut units = vec![0_u16; 32_768];
    let mut length = u32::try_from(units.len()).expect("it is short");
    // SAFETY: the buffer has the length that is said, and the process is closed once, after its last use.
    #[expect(unsafe_code, reason = "processes have no safe wrapper")]
    let is_told = unsafe {
        let process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, id);
        if process.is_null() {
            return None;
        }
        let name = (units.as_mut_ptr(), &raw mut length);
        let told = QueryFullProcessImageNameW(process, PROCESS_NAME_WIN32, name.0, name.1);
        CloseHandle(process);
        told != 0
    };
    is_told.then(|| String::from_utf16(units.get(..length as usize)?).ok())?
}
