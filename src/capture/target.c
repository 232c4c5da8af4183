#include "capture/target.h"

#include "base/cleanup.h"
#include "elf/elf.h"

#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { SCRIPT_LINE = 256, SCRIPTS_DEEP = 5 }; // as the kernel reads and follows them

#if defined(__x86_64__)
enum { THIS_MACHINE = EM_X86_64 };
#else
enum { THIS_MACHINE = EM_AARCH64 };
#endif

static int missing(const char *program, struct hone_error *err)
{
    (void)hone_error_set(err, -ENOENT, "cannot run '%s'", program);
    hone_error_hint(err, "give a path, or the name of a program in $PATH");
    return HONE_TARGET_MISSING;
}

// The first executable file of that name in $PATH; a file that is not executable is remembered.
static int search_path(const char *program, char *ret, size_t size, struct hone_error *err)
{
    const char *path = getenv("PATH");
    if (!path)
        path = "/bin:/usr/bin";
    bool denied = false;
    for (const char *at = path;;) {
        size_t len = strcspn(at, ":");
        int n = len ? snprintf(ret, size, "%.*s/%s", (int)len, at, program)
                    : snprintf(ret, size, "./%s", program);
        struct stat st;
        if (n > 0 && (size_t)n < size && stat(ret, &st) == 0 && S_ISREG(st.st_mode)) {
            if (access(ret, X_OK) == 0)
                return 0;
            denied = true;
        }
        if (!at[len])
            break;
        at += len + 1;
    }
    if (!denied)
        return missing(program, err);
    (void)hone_error_set(err, -EACCES, "cannot run '%s'", program);
    return HONE_TARGET_UNRUNNABLE;
}

static int unpreloadable(struct hone_error *err, const char *path, const char *why,
                         const char *hint)
{
    (void)hone_error_set(err, 0, "cannot record '%s': %s", path, why);
    hone_error_hint(err, "%s", hint);
    return HONE_TARGET_UNPRELOADABLE;
}

static int from_outside(struct hone_error *err, int outcome, const char *path, const char *why)
{
    (void)hone_error_set(err, 0, "'%s' %s", path, why);
    return outcome;
}

// The interpreter of a script ("#!/usr/bin/python3 -s"); outcome 0 with an empty ret: no script.
static int script_interpreter(const char *path, char *ret, size_t size, struct hone_error *err)
{
    HONE_CLEANUP(hone_fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char line[SCRIPT_LINE + 1] = {0};
    ssize_t got = fd < 0 ? -1 : read(fd, line, SCRIPT_LINE);
    ret[0] = '\0';
    if (got < 0) {
        // Executable without being readable: nothing can be said about it, and nothing preloaded.
        (void)hone_error_set(err, -errno, "cannot look at '%s'", path);
        return HONE_TARGET_UNPRELOADABLE;
    }
    if (got < 2 || line[0] != '#' || line[1] != '!')
        return 0;
    char *at = line + 2;
    at += strspn(at, " \t");
    at[strcspn(at, " \t\r\n")] = '\0';
    if ((size_t)snprintf(ret, size, "%s", at) >= size || !ret[0]) {
        (void)hone_error_set(err, 0, "cannot run '%s': its first line names no interpreter", path);
        return HONE_TARGET_UNRUNNABLE;
    }
    return 0;
}

// The loader ignores preloads that the user asked for when it gains rights by running the program.
static bool gains_rights(const char *path)
{
    struct stat st;
    if (stat(path, &st))
        return false;
    if ((st.st_mode & S_ISUID) && st.st_uid != geteuid())
        return true;
    if ((st.st_mode & S_ISGID) && st.st_gid != getegid())
        return true;
    return geteuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0;
}

// Its runtime takes what a handler does in libc for accesses of the program, reports races in it, and
// hangs where the handler came between two locks of the runtime.
static bool has_thread_sanitizer(struct hone_elf *elf)
{
    static const char name[] = "\0__tsan_func_entry"; // what instrumented code calls
    struct hone_elf_bytes names = hone_elf_section(elf, ".dynstr");
    return names.at && memmem(names.at, names.len, name, sizeof name);
}

static bool links_libhone(struct hone_elf *elf)
{
    return hone_elf_section(elf, ".note.hone").at != NULL;
}

enum { NOT_ELF = 100 };

static int check_elf(const char *path, struct hone_error *err)
{
    HONE_CLEANUP(hone_elf_closep) struct hone_elf *elf = NULL;
    struct hone_error why = {0};
    int r = hone_elf_open(path, &elf, &why);
    if (r == -ENOMEM)
        return hone_error_set(err, r, "cannot look at '%s'", path);
    if (r == -ENOTSUP)
        return unpreloadable(err, path, "it is built for another kind of machine",
                             "record a 64-bit program of this machine");
    if (r)
        return NOT_ELF;
    const struct hone_elf_facts *facts = hone_elf_facts(elf);
    if (facts->machine != THIS_MACHINE)
        return unpreloadable(err, path, "it is built for another kind of machine",
                             "record a program of this machine");
    if (gains_rights(path))
        return geteuid() == 0
                   ? from_outside(err, HONE_TARGET_OUTSIDE_RIGHTS, path,
                                  "runs with rights of its own (setuid, setgid)")
                   : unpreloadable(err, path,
                                   "it runs with the rights of another user (setuid, setgid or "
                                   "file capabilities), so the loader preloads nothing",
                                   "run hone as root, or record a copy without those rights");
    if (facts->go)
        return from_outside(err, HONE_TARGET_OUTSIDE, path,
                            "is a Go program, whose runtime keeps signals to itself");
    if (has_thread_sanitizer(elf))
        return from_outside(err, HONE_TARGET_OUTSIDE, path,
                            "is built with ThreadSanitizer, which does not bear signals of ours");
    if (!facts->interpreter && !links_libhone(elf))
        return from_outside(err, HONE_TARGET_OUTSIDE, path, "is linked statically");
    hone_elf_close(hone_take(elf));
    return 0;
}

int hone_target_check(const char *program, char *ret_path, size_t size, struct hone_error *err)
{
    char path[PATH_MAX];
    int r = 0;
    if (!program[0])
        return missing(program, err);
    if (!strchr(program, '/')) {
        r = search_path(program, path, sizeof path, err);
        if (r)
            return r;
    } else if ((size_t)snprintf(path, sizeof path, "%s", program) >= sizeof path) {
        (void)hone_error_set(err, -ENAMETOOLONG, "cannot run '%.80s…'", program);
        return HONE_TARGET_UNRUNNABLE;
    }
    if ((size_t)snprintf(ret_path, size, "%s", path) >= size)
        return hone_error_set(err, -ENAMETOOLONG, "cannot run '%.80s…'", program);

    for (int deep = 0; deep < SCRIPTS_DEEP; deep++) {
        struct stat st;
        if (stat(path, &st)) {
            int code = -errno;
            if (code == -ENOENT || code == -ENOTDIR) {
                if (deep == 0)
                    return missing(program, err);
                (void)hone_error_set(err, code, "cannot run '%s', the interpreter of '%s'", path,
                                     program);
                return HONE_TARGET_MISSING;
            }
            (void)hone_error_set(err, code, "cannot run '%s'", path);
            return HONE_TARGET_UNRUNNABLE;
        }
        if (S_ISDIR(st.st_mode)) {
            (void)hone_error_set(err, -EISDIR, "cannot run '%s'", path);
            return HONE_TARGET_UNRUNNABLE;
        }
        if (!S_ISREG(st.st_mode) || access(path, X_OK)) {
            (void)hone_error_set(err, -EACCES, "cannot run '%s'", path);
            hone_error_hint(err, "make it executable with chmod +x");
            return HONE_TARGET_UNRUNNABLE;
        }
        char interpreter[PATH_MAX];
        r = script_interpreter(path, interpreter, sizeof interpreter, err);
        if (r)
            return r;
        if (!interpreter[0]) {
            r = check_elf(path, err);
            if (r != NOT_ELF)
                return r;
            // What the kernel does not know, execvp() takes for a script of the shell.
            (void)snprintf(interpreter, sizeof interpreter, "/bin/sh");
        }
        (void)memcpy(path, interpreter, sizeof path);
    }
    (void)hone_error_set(err, -ELOOP, "cannot run '%s'", program);
    return HONE_TARGET_UNRUNNABLE;
}
