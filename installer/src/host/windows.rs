//! What Windows knows.

use camino::Utf8Path;
use gangway_artifact::{Cpu, Fact, Os, Version};
use windows_sys::Wdk::System::SystemServices::RtlGetVersion;
use windows_sys::Win32::Foundation::{FreeLibrary, MAX_PATH};
use windows_sys::Win32::Storage::FileSystem::GetDiskFreeSpaceExW;
use windows_sys::Win32::System::LibraryLoader::{LOAD_LIBRARY_SEARCH_SYSTEM32, LoadLibraryExW};
use windows_sys::Win32::System::SystemInformation::{
    GetNativeSystemInfo, GetSystemDirectoryW, GlobalMemoryStatusEx, IMAGE_FILE_MACHINE_AMD64,
    IMAGE_FILE_MACHINE_ARM64, MEMORYSTATUSEX, OSVERSIONINFOW, SYSTEM_INFO,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, IsWow64Process2};

use super::{Kernel, processor};

/// The first build that runs programs for x86-64 on arm64.
const TRANSLATES: u32 = 22000;

/// Asks the kernel.
#[expect(unsafe_code, reason = "Windows is asked through functions in C")]
pub(super) fn kernel(folder: &Utf8Path) -> Kernel {
    let mut version = OSVERSIONINFOW {
        dwOSVersionInfoSize: size_of_u32::<OSVERSIONINFOW>(),
        ..Default::default()
    };
    // SAFETY: the structure knows its size, and outlives the call.
    let is_known = unsafe { RtlGetVersion(&raw mut version) } == 0;
    let mut system = SYSTEM_INFO::default();
    // SAFETY: the structure outlives the call.
    unsafe { GetNativeSystemInfo(&raw mut system) };
    let mut memory =
        MEMORYSTATUSEX { dwLength: size_of_u32::<MEMORYSTATUSEX>(), ..Default::default() };
    // SAFETY: the structure knows its size, and outlives the call.
    let has_memory = unsafe { GlobalMemoryStatusEx(&raw mut memory) } != 0;
    let own = if cfg!(target_arch = "aarch64") { Cpu::Arm64 } else { Cpu::X64 };
    let cpu = native().unwrap_or(own);
    let is_new = is_known && version.dwBuildNumber >= TRANSLATES;
    let numbers =
        format!("{}.{}.{}", version.dwMajorVersion, version.dwMinorVersion, version.dwBuildNumber);
    let numbers: Option<Version> = numbers.parse().ok().filter(|_| is_known);
    Kernel {
        os: Some(Os::Win32),
        cpu: Some(cpu),
        version: numbers.map_or(Fact::Unknown, Fact::Is),
        page_size: Fact::Is(system.dwPageSize.into()),
        x86_64_level: match cpu {
            Cpu::X64 => processor::x86_64_level().map_or(Fact::Unknown, Fact::Is),
            Cpu::Arm64 => Fact::Absent,
        },
        memory: if has_memory { Fact::Is(memory.ullTotalPhys) } else { Fact::Unknown },
        free: free(folder),
        is_translated: cpu != own,
        translates: (cpu == Cpu::Arm64 && is_new).then_some(Cpu::X64).into_iter().collect(),
    }
}

/// The machine's own processor, whatever this program is made for.
#[expect(unsafe_code, reason = "Windows is asked through functions in C")]
fn native() -> Option<Cpu> {
    let (mut process, mut machine) = (0, 0);
    // SAFETY: the handle is this process's own, and both numbers outlive the call.
    let is_told =
        unsafe { IsWow64Process2(GetCurrentProcess(), &raw mut process, &raw mut machine) } != 0;
    match machine {
        IMAGE_FILE_MACHINE_AMD64 if is_told => Some(Cpu::X64),
        IMAGE_FILE_MACHINE_ARM64 if is_told => Some(Cpu::Arm64),
        _ => None,
    }
}

#[expect(unsafe_code, reason = "Windows is asked through functions in C")]
fn free(folder: &Utf8Path) -> Fact<u64> {
    let folder = wide(folder.as_str());
    let mut bytes = 0u64;
    // SAFETY: the path ends with a zero, and the number outlives the call; the others are not asked for.
    let is_told = unsafe {
        GetDiskFreeSpaceExW(
            folder.as_ptr(),
            &raw mut bytes,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    } != 0;
    if is_told { Fact::Is(bytes) } else { Fact::Unknown }
}

/// Whether Windows has a library of this name: as a file, or as one of the names that stand for several.
pub(super) fn has_library(name: &str) -> Option<bool> {
    let is_plain = !name.is_empty() && !name.contains(['/', '\\', ':', '\0']);
    if !is_plain {
        return Some(false);
    }
    if std::path::Path::new(&system_folder()?).join(name).is_file() {
        return Some(true);
    }
    let stands_for_others = name.starts_with("api-ms-") || name.starts_with("ext-ms-");
    Some(stands_for_others && loads(name))
}

#[expect(unsafe_code, reason = "Windows is asked through functions in C")]
fn system_folder() -> Option<String> {
    let mut folder = [0u16; MAX_PATH as usize];
    // SAFETY: at most as many characters are written as there is room for.
    let length = unsafe { GetSystemDirectoryW(folder.as_mut_ptr(), MAX_PATH) };
    let folder = folder.get(..usize::try_from(length).ok()?)?;
    (length > 0).then(|| String::from_utf16_lossy(folder))
}

#[expect(unsafe_code, reason = "Windows is asked through functions in C")]
fn loads(name: &str) -> bool {
    let name = wide(name);
    // SAFETY: the name ends with a zero. Only what Windows itself has is loaded, which is what every program starts with.
    unsafe {
        let library =
            LoadLibraryExW(name.as_ptr(), std::ptr::null_mut(), LOAD_LIBRARY_SEARCH_SYSTEM32);
        if library.is_null() {
            return false;
        }
        FreeLibrary(library);
    }
    true
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

fn size_of_u32<T>() -> u32 {
    u32::try_from(size_of::<T>()).expect("a small structure")
}
