//! What would have to be done to the whole machine, done to one program.

use std::fs;
use std::process::Command;

use super::well;

/// A library that is loaded before the program's own: by it the clock is off by `TEST_CLOCK` seconds, and after `TEST_QUOTA` bytes files take no more. Both
/// would have to be done to the whole machine otherwise.
pub(super) struct Shim(tempfile::TempDir);

impl Shim {
    const SOURCE: &str = r#"
        #define _GNU_SOURCE
        #include <errno.h>
        #include <fcntl.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <sys/stat.h>
        #include <sys/syscall.h>
        #include <sys/uio.h>
        #include <time.h>
        #include <unistd.h>

        int clock_gettime(clockid_t clock, struct timespec *now) {
            const char *off = getenv("TEST_CLOCK");
            int result = (int)syscall(SYS_clock_gettime, clock, now);
            if (off && result == 0 && clock == CLOCK_REALTIME) now->tv_sec += atol(off);
            return result;
        }

        static long used;

        __attribute__((destructor)) static void tell(void) {
            const char *place = getenv("TEST_USED");
            int file = place ? open(place, O_WRONLY | O_CREAT, 0600) : -1;
            if (file >= 0) dprintf(file, "%ld", used);
        }

        static int is_full(int file, size_t count) {
            const char *quota = getenv("TEST_QUOTA");
            struct stat found;
            if (!quota || syscall(SYS_fstat, file, &found) || !S_ISREG(found.st_mode)) return 0;
            if (__atomic_add_fetch(&used, (long)count, __ATOMIC_SEQ_CST) <= atol(quota)) return 0;
            errno = EDQUOT;
            return 1;
        }

        ssize_t write(int file, const void *bytes, size_t count) {
            return is_full(file, count) ? -1 : syscall(SYS_write, file, bytes, count);
        }

        ssize_t pwrite64(int file, const void *bytes, size_t count, off_t at) {
            return is_full(file, count) ? -1 : syscall(SYS_pwrite64, file, bytes, count, at);
        }

        ssize_t writev(int file, const struct iovec *parts, int number) {
            size_t count = 0;
            for (int index = 0; index < number; index++) count += parts[index].iov_len;
            return is_full(file, count) ? -1 : syscall(SYS_writev, file, parts, number);
        }

        ssize_t copy_file_range(int from, off_t *at, int to, off_t *where, size_t count, unsigned flags) {
            if (is_full(to, 0)) return -1;
            ssize_t copied = syscall(SYS_copy_file_range, from, at, to, where, count, flags);
            if (copied > 0) is_full(to, (size_t)copied);
            return copied;
        }
    "#;

    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let source = folder.path().join("shim.c");
        fs::write(&source, Self::SOURCE).expect("writable");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]);
        well(compiler.arg(folder.path().join("shim.so")).arg(source));
        Self(folder)
    }

    pub(super) fn on<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("LD_PRELOAD", self.0.path().join("shim.so"))
    }
}
