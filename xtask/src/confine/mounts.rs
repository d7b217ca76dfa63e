//! The root folder a fenced program sees.

use std::ffi::CString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use super::linux::{Step, step};
use super::{Access, Order, Refusal, Shown};
use crate::layers::Layers;

/// Where the system's programs and their libraries lie, and what the loader and the C compiler look up. Not the rest
/// of `/etc`: it is about this machine, and has secrets.
const SYSTEM: [&str; 14] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
    "/run/current-system",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
];

/// The devices there are, below `/dev`.
pub(super) const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// Memory with names.
pub(super) const SHARED_MEMORY: &str = "/dev/shm";

/// Mounts the new root over `order.root` and makes it the root.
pub(super) fn make_root(order: &Order) -> Step<()> {
    step(
        || "making mounts private".to_owned(),
        rustix::mount::mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        ),
    )?;
    // The table of mounts has no symbolic links in its paths.
    let root = step(|| format!("resolving `{}`", order.root), order.root.canonicalize_utf8())?;
    let root = Root(&root);
    root.memory("", c"mode=0755")?;
    for path in SYSTEM {
        root.system(path)?;
    }
    root.identity()?;
    root.devices()?;
    root.processes()?;
    for mount in &order.mounts {
        match &mount.source {
            Shown::Host(source) => root.bind(source, &mount.target)?,
            Shown::Layers(layers) => root.overlay(layers, &mount.target)?,
            Shown::Again => root.bind(&root.place(mount.target.as_str()), &mount.target)?,
        }
    }
    let mut writable = vec![root.place(SHARED_MEMORY)];
    for mount in &order.mounts {
        writable.retain(|path| *path != root.place(mount.target.as_str()));
        if mount.access == Access::Write {
            writable.push(root.place(mount.target.as_str()));
        }
    }
    root.close(&writable)?;
    root.enter()
}

/// The new root while it is made, by its path in the old one.
struct Root<'order>(&'order Utf8Path);

impl Root<'_> {
    fn place(&self, path: &str) -> Utf8PathBuf {
        match path.trim_start_matches('/') {
            "" => self.0.to_owned(),
            inside => self.0.join(inside),
        }
    }

    fn memory(&self, path: &str, data: &std::ffi::CStr) -> Step<()> {
        let place = self.folder(path)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        step(
            || format!("mount(tmpfs, {place})"),
            rustix::mount::mount("tmpfs", place.as_std_path(), "tmpfs", flags, data),
        )
    }

    fn folder(&self, path: &str) -> Step<Utf8PathBuf> {
        let place = self.place(path);
        step(|| format!("making `{place}`"), std::fs::create_dir_all(&place))?;
        Ok(place)
    }

    fn file(&self, path: &str, text: &str) -> Step<Utf8PathBuf> {
        let path = Utf8Path::new(path);
        if let Some(parent) = path.parent() {
            self.folder(parent.as_str())?;
        }
        let place = self.place(path.as_str());
        step(|| format!("making `{place}`"), std::fs::write(&place, text))?;
        Ok(place)
    }

    /// Shows what is at `path`: as the same link, or the same file or folder. What is not there is left out.
    fn system(&self, path: &str) -> Step<()> {
        if let Ok(target) = std::fs::read_link(path) {
            let place = self.place(path);
            if let Some(parent) = place.parent() {
                step(|| format!("making `{parent}`"), std::fs::create_dir_all(parent))?;
            }
            return step(|| format!("linking `{place}`"), symlink(target, &place));
        }
        if Path::new(path).exists() {
            self.bind(Utf8Path::new(path), Utf8Path::new(path))?;
        }
        Ok(())
    }

    fn bind(&self, source: &Utf8Path, target: &Utf8Path) -> Step<()> {
        let place = self.place(target.as_str());
        if !place.exists() {
            if source.is_dir() {
                self.folder(target.as_str())?;
            } else {
                self.file(target.as_str(), "")?;
            }
        }
        // Recursive, because the kernel refuses to uncover what lies below a mount of another user namespace.
        step(
            || format!("mount({source}, {place}, MS_BIND | MS_REC)"),
            rustix::mount::mount_bind_recursive(source.as_std_path(), place.as_std_path()),
        )
    }

    fn overlay(&self, layers: &Layers, target: &Utf8Path) -> Step<()> {
        let place = self.folder(target.as_str())?;
        let name = || format!("mount(overlay, {place})");
        let options = step(name, CString::new(layers.options()))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        let kind = "overlay";
        step(name, rustix::mount::mount(kind, place.as_std_path(), kind, flags, &*options))
    }

    /// Who the program is, as `getpwuid` and `localhost` want to know it.
    fn identity(&self) -> Step<()> {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        self.file("/etc/passwd", &format!("builder:x:{uid}:{gid}::/:/bin/sh\n"))?;
        self.file("/etc/group", &format!("builder:x:{gid}:\n"))?;
        self.file("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")?;
        step(|| "sethostname".to_owned(), rustix::system::sethostname(b"gangway"))
    }

    fn devices(&self) -> Step<()> {
        for device in DEVICES {
            let path = format!("/dev/{device}");
            self.bind(Utf8Path::new(&path), Utf8Path::new(&path))?;
        }
        for (name, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            let place = self.place(&format!("/dev/{name}"));
            step(|| format!("linking `{place}`"), symlink(target, &place))?;
        }
        self.memory(SHARED_MEMORY, c"mode=1777")
    }

    fn processes(&self) -> Step<()> {
        let place = self.folder("/proc")?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        match rustix::mount::mount("proc", place.as_std_path(), "proc", flags, None) {
            // Where parts of the host's are covered (as in most containers) a fresh one is refused. The host's own
            // then shows names of other processes, but lets nobody into them: they are in another user namespace.
            Err(Errno::PERM) => self.bind(Utf8Path::new("/proc"), Utf8Path::new("/proc")),
            done => step(|| format!("mount(proc, {place})"), done),
        }
    }

    /// Makes every mount below the root read-only but the `writable` ones.
    fn close(&self, writable: &[Utf8PathBuf]) -> Step<()> {
        let table = "/proc/self/mountinfo";
        let text = step(|| format!("reading {table}"), std::fs::read(table))?;
        let mounts = String::from_utf8_lossy(&text);
        let devices = self.place("/dev");
        let mounts: Vec<_> = mounts.lines().filter_map(parse_mount).collect();
        if !mounts.iter().any(|(path, _)| path == self.0) {
            let reason = format!("`{}` is not listed in {table}", self.0);
            return Err(Refusal::Fence { step: "making mounts read-only".to_owned(), reason });
        }
        for (path, options) in mounts {
            if !path.starts_with(self.0) || writable.iter().any(|writable| path == *writable) {
                continue;
            }
            let mut flags = options | MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID;
            if !path.starts_with(&devices) {
                flags |= MountFlags::NODEV;
            }
            step(
                || format!("mount({}, MS_REMOUNT | MS_BIND | MS_RDONLY)", path.display()),
                rustix::mount::mount_remount(&path, flags, c""),
            )?;
        }
        Ok(())
    }

    /// Makes it the root, and takes the old one away.
    fn enter(&self) -> Step<()> {
        step(|| "chdir to the new root".to_owned(), rustix::process::chdir(self.0.as_std_path()))?;
        step(|| "pivot_root".to_owned(), rustix::process::pivot_root(".", "."))?;
        step(
            || "umount of the old root".to_owned(),
            rustix::mount::unmount(".", UnmountFlags::DETACH),
        )?;
        step(|| "chdir(/)".to_owned(), rustix::process::chdir("/"))
    }
}

/// The mount point and its flags from a line of `mountinfo` (proc_pid_mountinfo(5)).
fn parse_mount(line: &str) -> Option<(PathBuf, MountFlags)> {
    let mut fields = line.split(' ').skip(4);
    let (path, options) = (fields.next()?, fields.next()?);
    let mut flags = MountFlags::empty();
    for option in options.split(',') {
        // A flag that the mount had before it came into our user namespace must be repeated: it cannot be taken off.
        flags |= match option {
            "ro" => MountFlags::RDONLY,
            "nosuid" => MountFlags::NOSUID,
            "nodev" => MountFlags::NODEV,
            "noexec" => MountFlags::NOEXEC,
            "noatime" => MountFlags::NOATIME,
            "nodiratime" => MountFlags::NODIRATIME,
            "relatime" => MountFlags::RELATIME,
            "nosymfollow" => MountFlags::NOSYMFOLLOW,
            _ => MountFlags::empty(),
        };
    }
    Some((unescape(path), flags))
}

/// Blanks, tabs, line ends and backslashes are written as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut path = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        path.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) if code.is_ascii() => {
                path.push(char::from(code));
                rest = &after[3..];
            }
            _ => {
                path.push('\\');
                rest = after;
            }
        }
    }
    path.push_str(rest);
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_mountinfo() {
        let line = r"36 35 98:0 /mnt1 /mnt/a\040b\134c rw,nosuid,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let (path, flags) = parse_mount(line).expect("it is the manual's example");
        assert_eq!(path, Path::new(r"/mnt/a b\c"));
        assert_eq!(flags, MountFlags::NOSUID | MountFlags::NOATIME);
        assert!(parse_mount("36 35").is_none());
    }

    #[test]
    fn unescapes_only_what_was_escaped() {
        assert_eq!(unescape(r"a\1"), Path::new(r"a\1"));
        assert_eq!(unescape(r"\011x\"), Path::new("\tx\\"));
    }
}
