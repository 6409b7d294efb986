/* A disk that can be watched and broken: loaded before the C library (LD_PRELOAD), it stands between a process and the
 * files below one folder, DISK_FOLDER.
 *
 * It writes each change and each sync, with the data, to the file DISK_RECORD, if there is one: `power_cuts` replays
 * them up to some moment. And it makes one of them fail, or all from then on, as `disk_breaks` says: `failing_writes`
 * does this at each of them in turn. A sync is recorded and not done: what would survive is computed, and not tried.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum { CHANGES = 1, SYNCS = 2 };

static const char *folder;
static int record = -1;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("DISK_RECORD");
    folder = getenv("DISK_FOLDER");
    if (path) record = REAL(open64)(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
}

static int is_watched(const char *path) {
    size_t length = folder ? strlen(folder) : 0;
    return length && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static int watches(int file, char *path) { /* finds the path of an open file */
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    int before = errno;
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return is_watched(path);
}

/* ---- the record */

static void note(char kind, const char *path, uint64_t offset, const void *data, uint32_t length) {
    if (record < 0 || strstr(path, "-shm")) return; /* locks and an index of the WAL, which a restart makes anew */
    struct __attribute__((packed)) { char kind; uint16_t path; uint64_t offset; uint32_t length; } head =
        {kind, (uint16_t)strlen(path), offset, length};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)path, head.path}, {(void *)data, length}};
    int before = errno;
    if (writev(record, parts, 3) < 0) abort();
    errno = before;
}

/* ---- the breaking */

static long count, failures, breaks_at;
static int breaks_with, breaks_kind, stays_broken;

/* The change or sync with this number fails with this error, and with `stays` all that follow; 0 mends it. */
void disk_breaks(long at, int error, int kind, int stays) {
    count = failures = 0;
    breaks_at = at;
    breaks_with = error;
    breaks_kind = kind;
    stays_broken = stays;
}

long disk_failures(void) { return failures; }

static int fails(int kind) {
    if (kind != breaks_kind) return 0;
    long number = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (!breaks_at || number < breaks_at || (number > breaks_at && !stays_broken)) return 0;
    __atomic_add_fetch(&failures, 1, __ATOMIC_SEQ_CST);
    errno = breaks_with;
    return 1;
}

/* ---- what processes call */

ssize_t pwrite64(int file, const void *data, size_t length, off64_t offset) {
    char path[PATH_MAX];
    if (!watches(file, path)) return REAL(pwrite64)(file, data, length, offset);
    if (fails(CHANGES)) { /* a full disk takes a part of it */
        if (length > 1) REAL(pwrite64)(file, data, length / 2, offset);
        errno = breaks_with;
        return -1;
    }
    ssize_t written = REAL(pwrite64)(file, data, length, offset);
    if (written > 0) note('W', path, (uint64_t)offset, data, (uint32_t)written);
    return written;
}

ssize_t pwrite(int file, const void *data, size_t length, off_t offset) { return pwrite64(file, data, length, offset); }

ssize_t write(int file, const void *data, size_t length) {
    char path[PATH_MAX];
    if (file == record || !watches(file, path)) return REAL(write)(file, data, length);
    if (fails(CHANGES)) return -1;
    ssize_t written = REAL(write)(file, data, length);
    if (written > 0) note('W', path, (uint64_t)(lseek64(file, 0, SEEK_CUR) - written), data, (uint32_t)written);
    return written;
}

int ftruncate64(int file, off64_t size) {
    char path[PATH_MAX];
    if (!watches(file, path)) return REAL(ftruncate64)(file, size);
    if (fails(CHANGES)) return -1;
    int result = REAL(ftruncate64)(file, size);
    if (!result) note('T', path, (uint64_t)size, NULL, 0);
    return result;
}

int ftruncate(int file, off_t size) { return ftruncate64(file, size); }

static int synced(int file, int (*real)(int)) {
    char path[PATH_MAX];
    if (!watches(file, path)) return real(file);
    if (fails(SYNCS)) return -1;
    note('S', path, 0, NULL, 0);
    return 0;
}

int fsync(int file) { return synced(file, REAL(fsync)); }
int fdatasync(int file) { return synced(file, REAL(fdatasync)); }

static int opened(int at, const char *path, int flags, mode_t mode) {
    int makes = (flags & O_CREAT) && is_watched(path) && access(path, F_OK);
    if (makes && fails(CHANGES)) return -1;
    int file = REAL(openat64)(at, path, flags, mode);
    if (file >= 0 && makes) note('C', path, 0, NULL, 0);
    return file;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }

int mkdir(const char *path, mode_t mode) {
    if (!is_watched(path)) return REAL(mkdir)(path, mode);
    if (fails(CHANGES)) return -1;
    int result = REAL(mkdir)(path, mode);
    if (!result) note('D', path, 0, NULL, 0);
    return result;
}

int unlink(const char *path) {
    int result = REAL(unlink)(path);
    if (!result && is_watched(path)) note('U', path, 0, NULL, 0);
    return result;
}

int rename(const char *from, const char *to) {
    if (is_watched(to) && fails(CHANGES)) return -1;
    return REAL(rename)(from, to);
}

int link(const char *from, const char *to) {
    if (is_watched(to) && fails(CHANGES)) return -1;
    return REAL(link)(from, to);
}
