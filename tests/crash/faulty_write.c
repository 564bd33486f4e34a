/* Preloaded, makes every FAULT_EVERY-th write(2) to a file whose path contains FAULT_PATH go wrong as FAULT_MODE says:
   short      write the first half, as a nearly full disk does
   interrupt  write nothing: EINTR
   error      write nothing: EIO
   full       write the first half, then nothing but ENOSPC for three writes */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ssize_t (*real_write)(int, const void *, size_t);
static int count, refusing;

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

static ssize_t fail(int why)
{
    errno = why;
    return -1;
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    if (!real_write)
        real_write = dlsym(RTLD_NEXT, "write");
    if (!is_meant(fd))
        return real_write(fd, bytes, size);
    const char *mode = getenv("FAULT_MODE");
    if (refusing > 0) {
        refusing--;
        return fail(ENOSPC);
    }
    if (++count % atoi(getenv("FAULT_EVERY")))
        return real_write(fd, bytes, size);
    if (!strcmp(mode, "interrupt"))
        return fail(EINTR);
    if (!strcmp(mode, "error"))
        return fail(EIO);
    if (!strcmp(mode, "full"))
        refusing = 3;
    return real_write(fd, bytes, size / 2);
}
