/* Faults between a server and its files, loaded into it with LD_PRELOAD.
 *
 * CHAOS_PAGE names a file of 4096 bytes that the harness and this library share: the harness writes
 * what is to go wrong, also while the server runs; the library writes what it saw. Only files whose
 * path begins with CHAOS_DATA and contains the page's `within` are touched; sockets never are.
 * The layout of the page is that of chaos/src/shim.rs.
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
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum call { NONE, SYNC, WRITE, FILL, OPEN, RENAME, TRUNCATE, READ, MKDIR, UNLINK, CALLS };

struct page {
    uint64_t call;      /* which call goes wrong */
    uint64_t at;        /* the first one that does, counted from 1 since the page was written; 0: none */
    uint64_t times;     /* how many in a row do */
    uint64_t error;     /* errno; 0: it goes well after all */
    uint64_t some;      /* of a write, so many percent are written before: a short write */
    uint64_t hold_ms;   /* how long a call that goes wrong takes */
    uint64_t sync_us;   /* how much longer every flush takes */
    int64_t clock_ns;   /* how far the wall clock is off */
    char within[64];    /* what a path must contain */
    uint64_t seen;      /* calls of that kind so far */
    uint64_t hits;      /* how many went wrong */
    uint64_t hit_ns;    /* CLOCK_MONOTONIC when the first of them returned */
    uint64_t syncs;     /* all flushes of files in CHAOS_DATA */
};

static struct page *page;
static const char *data;

static int (*real_clock)(clockid_t, struct timespec *);
static int (*real_fdatasync)(int), (*real_fsync)(int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static ssize_t (*real_read)(int, void *, size_t);
static int (*real_open)(const char *, int, ...), (*real_openat)(int, const char *, int, ...);
static int (*real_rename)(const char *, const char *), (*real_ftruncate)(int, off_t);
static int (*real_mkdir)(const char *, mode_t), (*real_unlink)(const char *);

__attribute__((constructor)) static void begin(void) {
    *(void **)&real_clock = dlsym(RTLD_NEXT, "clock_gettime");
    *(void **)&real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    *(void **)&real_fsync = dlsym(RTLD_NEXT, "fsync");
    *(void **)&real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    *(void **)&real_write = dlsym(RTLD_NEXT, "write");
    *(void **)&real_pread = dlsym(RTLD_NEXT, "pread64");
    *(void **)&real_read = dlsym(RTLD_NEXT, "read");
    *(void **)&real_open = dlsym(RTLD_NEXT, "open64");
    *(void **)&real_openat = dlsym(RTLD_NEXT, "openat64");
    *(void **)&real_rename = dlsym(RTLD_NEXT, "rename");
    *(void **)&real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    *(void **)&real_mkdir = dlsym(RTLD_NEXT, "mkdir");
    *(void **)&real_unlink = dlsym(RTLD_NEXT, "unlink");
    const char *name = getenv("CHAOS_PAGE");
    data = getenv("CHAOS_DATA");
    int file = name && data ? real_open(name, O_RDWR) : -1;
    if (file < 0) return;
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (at != MAP_FAILED) page = at;
}

static uint64_t now_ns(void) {
    struct timespec now;
    real_clock(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int is_ours(const char *path) {
    return path && strncmp(path, data, strlen(data)) == 0;
}

/* True when this call of a file is to go wrong; errno is then set. */
static int goes_wrong(enum call call, const char *path) {
    if (!page || !is_ours(path)) return 0;
    if (page->call != (uint64_t)call || page->at == 0) return 0;
    if (page->within[0] && !strstr(path, page->within)) return 0;
    uint64_t number = __atomic_add_fetch(&page->seen, 1, __ATOMIC_SEQ_CST);
    if (number < page->at || number >= page->at + page->times) return 0;
    return 1;
}

static void hold(void) {
    if (page->hold_ms) usleep((useconds_t)(page->hold_ms * 1000));
    uint64_t none = 0;
    __atomic_compare_exchange_n(&page->hit_ns, &none, now_ns(), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&page->hits, 1, __ATOMIC_SEQ_CST);
    errno = (int)page->error;
}

/* The path of an open file; empty for a socket. */
static const char *path_of(int file, char *buffer) {
    char link[64];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    errno = saved;
    buffer[length > 0 ? length : 0] = 0;
    return buffer;
}

static int sync_file(int (*real)(int), int file) {
    char path[PATH_MAX];
    if (!page || !is_ours(path_of(file, path))) return real(file);
    __atomic_add_fetch(&page->syncs, 1, __ATOMIC_SEQ_CST);
    if (page->sync_us) usleep((useconds_t)page->sync_us);
    if (goes_wrong(SYNC, path)) { hold(); return -1; }
    return real(file);
}

int fdatasync(int file) { return sync_file(real_fdatasync, file); }
int fsync(int file) { return sync_file(real_fsync, file); }

static int is_zero(const char *bytes, size_t count) {
    for (size_t at = 0; at < count && at < 64; at++) if (bytes[at]) return 0;
    return 1;
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off_t at) {
    char path[PATH_MAX];
    enum call call = is_zero(bytes, count) ? FILL : WRITE;
    if (page && page->call == (uint64_t)call && goes_wrong(call, path_of(file, path))) {
        size_t some = count * page->some / 100;
        ssize_t done = some ? real_pwrite(file, bytes, some, at) : 0;
        hold();
        return page->error ? -1 : done;
    }
    return real_pwrite(file, bytes, count, at);
}

ssize_t write(int file, const void *bytes, size_t count) {
    char path[PATH_MAX];
    if (page && page->call == WRITE && goes_wrong(WRITE, path_of(file, path))) {
        size_t some = count * page->some / 100;
        ssize_t done = some ? real_write(file, bytes, some) : 0;
        hold();
        return page->error ? -1 : done;
    }
    return real_write(file, bytes, count);
}

ssize_t pread64(int file, void *bytes, size_t count, off_t at) {
    char path[PATH_MAX];
    if (page && page->call == READ && goes_wrong(READ, path_of(file, path))) { hold(); return -1; }
    return real_pread(file, bytes, count, at);
}

ssize_t read(int file, void *bytes, size_t count) {
    char path[PATH_MAX];
    if (page && page->call == READ && goes_wrong(READ, path_of(file, path))) { hold(); return -1; }
    return real_read(file, bytes, count);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    if (goes_wrong(OPEN, path)) { hold(); return -1; }
    return real_open(path, flags, mode);
}

int rename(const char *from, const char *to) {
    if (goes_wrong(RENAME, to)) { hold(); return -1; }
    return real_rename(from, to);
}

int ftruncate64(int file, off_t size) {
    char path[PATH_MAX];
    if (page && page->call == TRUNCATE && goes_wrong(TRUNCATE, path_of(file, path))) { hold(); return -1; }
    return real_ftruncate(file, size);
}

int mkdir(const char *path, mode_t mode) {
    if (goes_wrong(MKDIR, path)) { hold(); return -1; }
    return real_mkdir(path, mode);
}

int unlink(const char *path) {
    if (goes_wrong(UNLINK, path)) { hold(); return -1; }
    return real_unlink(path);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!real_clock) *(void **)&real_clock = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real_clock(clock, now);
    if (page && page->clock_ns && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t ns = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + page->clock_ns;
        now->tv_sec = ns / 1000000000;
        now->tv_nsec = ns % 1000000000;
    }
    return done;
}
