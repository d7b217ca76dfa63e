//! The fence itself: what happens between the builder and the program.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::process::{Child, ExitCode, ExitStatus, Stdio};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, Scope,
};
use rustix::io::retry_on_intr;
use rustix::process::{Resource, Rlimit, Signal, WaitOptions};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};

use super::{ARGUMENT, Access, Order, Refusal, mounts};

/// The second argument of the process that makes the root.
const INNER: &str = "inner";

/// What the inner process still needs to make the root and then to give up for good. An overlay goes on using what it was
/// mounted with: its own working folder has mode 0, and would be closed to anybody but root.
const NEEDED: [CapabilitySet; 3] =
    [CapabilitySet::SYS_ADMIN, CapabilitySet::SETPCAP, CapabilitySet::DAC_OVERRIDE];

/// A step the kernel did not allow.
pub(super) type Step<T> = Result<T, Refusal>;

/// Names the step an error belongs to.
pub(super) fn step<T, E: std::fmt::Display>(
    step: impl FnOnce() -> String,
    result: Result<T, E>,
) -> Step<T> {
    result.map_err(|error| Refusal::Fence { step: step(), reason: error.to_string() })
}

/// Follows an order. Exit status: the program's; 128 and its number for a signal; 1 for a refusal.
pub(super) fn enter(mut args: Vec<OsString>) -> ExitCode {
    let is_inner = args.first().is_some_and(|arg| arg == INNER);
    if is_inner {
        args.remove(0);
    }
    let Some((order, report)) = args.first().and_then(read_order) else {
        return ExitCode::FAILURE;
    };
    let done = if is_inner { inner(&order) } else { outer(&order, &args[0]) };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(refusal) => {
            let text = serde_json::to_vec(&refusal).expect("it is made of texts");
            // Nothing to be done about a failure: the exit status says enough.
            let _ = (&report).write_all(&text);
            ExitCode::FAILURE
        }
    }
}

/// The order, and the open report: the inner process cannot reach it by name any more once its root is another.
fn read_order(path: &OsString) -> Option<(Order, File)> {
    let order: Order = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let report = OpenOptions::new().append(true).open(&order.report).ok()?;
    Some((order, report))
}

/// Makes the namespaces and waits for the inner process, which is the first of the new process namespace.
fn outer(order: &Order, order_file: &OsString) -> Step<u8> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    step(
        || "unshare(CLONE_NEWUSER | NEWNS | NEWNET | NEWPID | NEWIPC | NEWUTS)".to_owned(),
        leave(
            UnshareFlags::NEWUSER
                | UnshareFlags::NEWNS
                | UnshareFlags::NEWNET
                | UnshareFlags::NEWPID
                | UnshareFlags::NEWIPC
                | UnshareFlags::NEWUTS,
        ),
    )?;
    die_with_parent()?;
    if std::os::unix::process::parent_id() != order.parent {
        return Err(gone());
    }
    // The caller keeps its own number inside, so that what the program writes belongs to the caller.
    for (file, text) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("{uid} {uid} 1")),
        ("/proc/self/gid_map", format!("{gid} {gid} 1")),
    ] {
        step(|| format!("writing `{text}` to {file}"), std::fs::write(file, &text))?;
    }
    keep_over_exec()?;
    let mut child = step(
        || "starting the inner process".to_owned(),
        std::process::Command::new("/proc/self/exe")
            .arg(ARGUMENT)
            .arg(INNER)
            .arg(order_file)
            .stdin(Stdio::piped())
            .spawn(),
    )?;
    // Held open as long as this process lives: the inner one takes its closing as the sign that it is alone.
    let lifeline = child.stdin.take();
    let status = step(|| "waiting for the inner process".to_owned(), child.wait());
    drop(lifeline);
    status.map(exit_code)
}

#[expect(
    deprecated,
    reason = "the replacement is `unsafe` for the sake of CLONE_FILES alone, which is never asked for here"
)]
fn leave(namespaces: UnshareFlags) -> rustix::io::Result<()> {
    rustix::thread::unshare(namespaces)
}

/// Rights in a namespace are lost over `exec` for anybody but root, unless they are ambient.
fn keep_over_exec() -> Step<()> {
    let name = || "keeping rights inside the new user namespace".to_owned();
    let mut sets = step(name, rustix::thread::capabilities(None))?;
    for capability in NEEDED {
        sets.inheritable |= capability;
    }
    step(name, rustix::thread::set_capabilities(None, sets))?;
    for capability in NEEDED {
        step(name, rustix::thread::configure_capability_in_ambient_set(capability, true))?;
    }
    Ok(())
}

fn die_with_parent() -> Step<()> {
    step(
        || "prctl(PR_SET_PDEATHSIG)".to_owned(),
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)),
    )
}

fn gone() -> Refusal {
    Refusal::Fence { step: "starting".to_owned(), reason: "the builder is gone".to_owned() }
}

/// Makes the root, gives up every right, starts the program and waits for it; as the first process of its namespace
/// it takes everything else in there with it when it ends.
fn inner(order: &Order) -> Step<u8> {
    die_with_parent()?;
    if is_alone()? {
        return Err(gone());
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    mounts::make_root(order)?;
    // Without a controlling terminal there is no terminal to push keystrokes into.
    step(|| "setsid".to_owned(), rustix::process::setsid())?;
    step(
        || format!("entering `{}`", order.current_dir),
        rustix::process::chdir(order.current_dir.as_std_path()),
    )?;
    // A core file would lie among the files the program is allowed to make.
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    step(|| "setrlimit".to_owned(), rustix::process::setrlimit(Resource::Core, no_core))?;
    give_up_rights()?;
    step(|| "Landlock".to_owned(), second_fence(order))?;
    match order.words.split_first() {
        None => Ok(0),
        Some((program, args)) => start(program, args),
    }
}

/// Whether the outer process died before it could be noticed.
fn is_alone() -> Step<bool> {
    let name = || "looking for the outer process".to_owned();
    let stdin = io::stdin();
    step(name, rustix::io::ioctl_fionbio(&stdin, true))?;
    match stdin.lock().read(&mut [0]) {
        Ok(count) => Ok(count == 0),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => step(name, Err(error)),
    }
}

/// No capability, none to be gained by running anything, not even as root.
fn give_up_rights() -> Step<()> {
    let name = || "dropping capabilities".to_owned();
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The kernel knows no more than these.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return step(name, Err(error)),
        }
    }
    step(name, rustix::thread::clear_ambient_capability_set())?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    step(name, rustix::thread::set_capabilities(None, none))?;
    step(|| "prctl(PR_SET_NO_NEW_PRIVS)".to_owned(), rustix::thread::set_no_new_privs(true))
}

/// Landlock with all the kernel has of it, which may be nothing: the namespaces stand already.
fn second_fence(order: &Order) -> Result<(), RulesetError> {
    let abi = ABI::V6;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::AbstractUnixSocket)?
        .scope(Scope::Signal)?
        .create()?;
    let mut allow = |path: &str, access| -> Result<(), RulesetError> {
        // A path that is not there needs no rule.
        if let Ok(opened) = PathFd::new(path) {
            (&mut rules).add_rule(PathBeneath::new(opened, access))?;
        }
        Ok(())
    };
    allow("/", AccessFs::from_read(abi))?;
    for device in mounts::DEVICES {
        let path = format!("/dev/{device}");
        allow(&path, AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev)?;
    }
    allow(mounts::SHARED_MEMORY, AccessFs::from_all(abi))?;
    for mount in &order.mounts {
        if mount.access == Access::Write {
            allow(mount.target.as_str(), AccessFs::from_all(abi))?;
        }
    }
    rules.restrict_self()?;
    Ok(())
}

fn start(program: &str, args: &[String]) -> Step<u8> {
    let child = std::process::Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| Refusal::Program(error.raw_os_error().unwrap_or_default()))?;
    step(|| format!("waiting for `{program}`"), reap(&child))
}

/// Waits for everything that ends in this process namespace, until it is the program.
fn reap(program: &Child) -> io::Result<u8> {
    loop {
        let Some((process, status)) =
            retry_on_intr(|| rustix::process::wait(WaitOptions::empty()))?
        else {
            continue;
        };
        if process.as_raw_nonzero().get().cast_unsigned() == program.id() {
            use std::os::unix::process::ExitStatusExt as _;
            return Ok(exit_code(ExitStatus::from_raw(status.as_raw())));
        }
    }
}

/// As shells have it: 128 and the number of the signal.
fn exit_code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// What a user can do, from the switches that distributions turn user namespaces off with.
pub(super) fn help() -> String {
    let switches = [
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("user.max_user_namespaces", "0", "10000"),
    ];
    let found = switches.iter().find(|(name, off, _)| {
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        std::fs::read_to_string(file).is_ok_and(|value| value.trim() == *off)
    });
    let remedy = match found {
        Some((name, off, on)) => {
            format!("user namespaces are off (`{name}` is {off}): `sudo sysctl {name}={on}`")
        }
        None => "run the builder where user and mount namespaces are allowed (a container needs a seccomp profile \
                 that lets `unshare` and `mount` through)"
            .to_owned(),
    };
    format!("{remedy}; or pass `--unconfined-scripts` when you trust the scripts")
}
