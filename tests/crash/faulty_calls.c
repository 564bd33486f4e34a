/* Preloaded, makes system calls on files whose path contains FAULT_PATH go wrong twelve times, as FAULT_MODE says:
   short      every FAULT_EVERY-th write takes the first half, as on a nearly full disk
   interrupt  every FAULT_EVERY-th write takes nothing: EINTR
   error      every FAULT_EVERY-th write takes nothing: EIO
   full       every FAULT_EVERY-th write takes the first half, and the next three nothing: ENOSPC
   stuck      as full, and what was taken cannot be cut off again: ftruncate fails with EIO
   sync       every FAULT_EVERY-th fdatasync fails with EIO */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int calls, faults, refusing;

static int is_meant(int fd)
{
    char link[64], path[4096];
    const char *part = getenv("FAULT_PATH");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0 || !part)
        return 0;
    path[size] = 0;
    return strstr(path, part) != NULL;
}

static int is_mode(const char *mode)
{
    return !strcmp(getenv("FAULT_MODE"), mode);
}

static int is_turn(void)
{
    return ++calls % atoi(getenv("FAULT_EVERY")) == 0 && ++faults <= 12;
}

static int fail(int why)
{
    errno = why;
    return -1;
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    static ssize_t (*real)(int, const void *, size_t);
    if (!real)
        real = dlsym(RTLD_NEXT, "write");
    if (!is_meant(fd) || is_mode("sync"))
        return real(fd, bytes, size);
    if (refusing > 0) {
        refusing--;
        return fail(ENOSPC);
    }
    if (!is_turn())
        return real(fd, bytes, size);
    if (is_mode("interrupt"))
        return fail(EINTR);
    if (is_mode("error"))
        return fail(EIO);
    if (!is_mode("short"))
        refusing = 3;
    return real(fd, bytes, size / 2);
}

static int cut(const char *name, int fd, off_t size)
{
    if (is_meant(fd) && is_mode("stuck"))
        return fail(EIO);
    return ((int (*)(int, off_t))dlsym(RTLD_NEXT, name))(fd, size);
}

int ftruncate(int fd, off_t size)
{
    return cut("ftruncate", fd, size);
}

int ftruncate64(int fd, off_t size)
{
    return cut("ftruncate64", fd, size);
}

int fdatasync(int fd)
{
    if (is_meant(fd) && is_mode("sync") && is_turn())
        return fail(EIO);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
