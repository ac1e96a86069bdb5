/* Makes file operations of one process fail: loaded before the C library (LD_PRELOAD), built by tests/campaign/disk.rs.
 *
 * WATCHPOST_FAULT_IN    only files whose path contains this
 * WATCHPOST_FAULT_KIND  full (ENOSPC), io (EIO), short (half is written, then ENOSPC), sync (a sync fails with EIO)
 * WATCHPOST_FAULT_AT    at which matching call, from 1
 * WATCHPOST_FAULT_FOR   at how many calls from there on
 * WATCHPOST_FAULT_MARK  a file that gets a byte for each call that was made to fail
 *
 * Covers what goes through the C library: all of Rust's std::fs and of sled. Not covered: calls that rustix makes itself
 * (syncfs, statvfs, fallocate). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NONE, FULL, IO, SHORT, SYNC };
static int kind;
static long from, count;
static const char *in, *mark;
static atomic_long calls;

__attribute__((constructor)) static void begin(void) {
    const char *k = getenv("WATCHPOST_FAULT_KIND");
    if (!k) return;
    in = getenv("WATCHPOST_FAULT_IN");
    mark = getenv("WATCHPOST_FAULT_MARK");
    from = atol(getenv("WATCHPOST_FAULT_AT"));
    count = atol(getenv("WATCHPOST_FAULT_FOR"));
    kind = !strcmp(k, "full") ? FULL : !strcmp(k, "io") ? IO : !strcmp(k, "short") ? SHORT : SYNC;
}

static int path_fits(const char *path) { return kind && in && path && strstr(path, in); }

static int fd_fits(int fd) {
    char link[64], path[4096];
    if (!kind) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return path_fits(path);
}

static int strike(void) {
    long n = atomic_fetch_add(&calls, 1) + 1;
    if (n < from || n - from >= count) return 0;
    int fd = syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (fd >= 0) {
        syscall(SYS_write, fd, "x", 1);
        syscall(SYS_close, fd);
    }
    return 1;
}

/* Of calls that write: 0 no fault, 1 fail with errno set, 2 write half. */
static int of_write(int fits) {
    static atomic_int owed;
    if (!fits || kind == SYNC) return 0;
    if (kind == SHORT && atomic_exchange(&owed, 0)) {
        errno = ENOSPC;
        return 1;
    }
    if (!strike()) return 0;
    if (kind == SHORT) {
        atomic_store(&owed, 1);
        return 2;
    }
    errno = kind == FULL ? ENOSPC : EIO;
    return 1;
}

/* Of calls that change names: what is short has no meaning there. */
static int of_name(int fits) {
    if (!fits || kind == SYNC || kind == SHORT || !strike()) return 0;
    errno = kind == FULL ? ENOSPC : EIO;
    return 1;
}

static int of_sync(int fits) {
    if (!fits || (kind != SYNC && kind != IO) || !strike()) return 0;
    errno = EIO;
    return 1;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *bytes, size_t len) {
    REAL(write);
    int fault = of_write(fd_fits(fd));
    return fault == 1 ? -1 : real(fd, bytes, fault == 2 && len > 1 ? len / 2 : len);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) {
    REAL(pwrite64);
    int fault = of_write(fd_fits(fd));
    return fault == 1 ? -1 : real(fd, bytes, fault == 2 && len > 1 ? len / 2 : len, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) { return pwrite64(fd, bytes, len, at); }

ssize_t writev(int fd, const struct iovec *parts, int n) {
    REAL(writev);
    return of_write(fd_fits(fd)) == 1 ? -1 : real(fd, parts, n);
}

int fsync(int fd) {
    REAL(fsync);
    return of_sync(fd_fits(fd)) ? -1 : real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    return of_sync(fd_fits(fd)) ? -1 : real(fd);
}

int sync_file_range(int fd, off64_t at, off64_t len, unsigned int flags) {
    REAL(sync_file_range);
    return of_sync(fd_fits(fd)) ? -1 : real(fd, at, len, flags);
}

int ftruncate64(int fd, off64_t len) {
    REAL(ftruncate64);
    return of_name(fd_fits(fd)) ? -1 : real(fd, len);
}

int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }

int open64(const char *path, int flags, ...) {
    REAL(open64);
    va_list more;
    va_start(more, flags);
    int mode = va_arg(more, int);
    va_end(more);
    if ((flags & O_CREAT) && of_name(path_fits(path))) return -1;
    return real(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int mode = va_arg(more, int);
    va_end(more);
    return open64(path, flags, mode);
}

int rename(const char *old, const char *new) {
    REAL(rename);
    return of_name(path_fits(new)) ? -1 : real(old, new);
}

int unlink(const char *path) {
    REAL(unlink);
    return kind == IO && of_name(path_fits(path)) ? -1 : real(path);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return of_name(path_fits(path)) ? -1 : real(path, mode);
}
