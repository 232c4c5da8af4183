#include "unwind/program.h"

#include "core/syscall.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/auxv.h>
#include <sys/stat.h>

enum { PATH_BYTES_MAX = 4096 };

static size_t length_of(const char *text)
{
    size_t length = 0;
    while (text[length])
        length++;
    return length;
}

static bool begins(const char *text, const char *with)
{
    while (*with && *text == *with)
        text++, with++;
    return !*with;
}

static bool same_text(const char *a, const char *b)
{
    return begins(a, b) && length_of(a) == length_of(b);
}

static const char *last_part(const char *path)
{
    const char *last = path;
    for (; *path; path++)
        if (*path == '/')
            last = path + 1;
    return last;
}

// What execve() was given, as the kernel keeps it on the stack; glibc's loader, when it was started
// by hand, has put there what it loads.
static const char *executed(void)
{
    const char *path = (const char *)getauxval(AT_EXECFN);
    return path ? path : "";
}

// Names of open files, which say nothing of the program.
static bool is_handle(const char *path)
{
    return begins(path, "/proc/") || begins(path, "/dev/fd/");
}

static bool same_file(const char *path, const char *other)
{
    struct statx a, b;
    return hone_syscall5(SYS_statx, AT_FDCWD, path, 0, STATX_INO, &a) == 0 &&
           hone_syscall5(SYS_statx, AT_FDCWD, other, 0, STATX_INO, &b) == 0 &&
           a.stx_ino == b.stx_ino && a.stx_dev_major == b.stx_dev_major &&
           a.stx_dev_minor == b.stx_dev_minor;
}

// Both parts as one path. Returns its length; 0: no room.
static size_t join(char *ret, size_t size, const char *first, const char *second)
{
    size_t first_length = length_of(first), second_length = length_of(second);
    if (first_length + second_length + 2 > size)
        return 0;
    __builtin_memcpy(ret, first, first_length);
    if (first_length && first[first_length - 1] != '/')
        ret[first_length++] = '/';
    __builtin_memcpy(ret + first_length, second, second_length + 1);
    return first_length + second_length;
}

// A path as it is from the root.
static size_t make_absolute(char *ret, size_t size, const char *path)
{
    char folder[PATH_BYTES_MAX];
    if (path[0] == '/')
        return join(ret, size, "", path);
    if (hone_syscall2(SYS_getcwd, folder, sizeof folder) <= 0 || folder[0] != '/')
        return 0;
    while (begins(path, "./"))
        path += 2;
    return join(ret, size, folder, path);
}

size_t hone_program_path(char *ret, size_t size)
{
    static const char own[] = "/proc/self/exe";
    char absolute[PATH_BYTES_MAX];
    const char *path = executed();
    long length = hone_syscall4(SYS_readlinkat, AT_FDCWD, own, ret, size - 1);
    ret[length > 0 ? length : 0] = '\0';
    const char *file = last_part(ret);
    // The loader started by hand: what runs is the file of that name, whatever the kernel executed.
    bool by_loader = begins(file, "ld-") && !getauxval(AT_BASE);
    size_t other = make_absolute(absolute, sizeof absolute, path);
    if (other && other < size && !is_handle(path) && !same_text(last_part(path), file) &&
        same_file(path, by_loader ? path : own)) {
        __builtin_memcpy(ret, absolute, other + 1);
        return other;
    }
    return length > 0 ? (size_t)length : 0;
}

// The first argument, which is how whoever started the program calls it.
static void first_argument(char *ret, size_t size)
{
    long fd = hone_syscall4(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0);
    long got = fd < 0 ? 0 : hone_syscall3(SYS_read, fd, ret, size - 1);
    ret[got > 0 ? got : 0] = '\0';
    if (fd >= 0)
        (void)hone_syscall1(SYS_close, fd);
}

void hone_program_name(char *ret, size_t size)
{
    char argument[PATH_BYTES_MAX];
    const char *name = last_part(executed());
    if (is_handle(executed())) {
        first_argument(argument, sizeof argument);
        name = last_part(argument[0] == '-' ? argument + 1 : argument); // '-': a login shell
    }
    size_t length = length_of(name);
    if (length >= size)
        length = size - 1;
    __builtin_memcpy(ret, name, length);
    ret[length] = '\0';
}
