#include "capture/doctor_parts.h"

#include "base/base.h"
#include "capture/launch.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#define FIRST_PID_NAMESPACE 0xeffffffcu // its inode: PROC_PID_INIT_INO of the kernel

#define MACHINE "This machine"
#define OTHERS "Other processes"
#define NAMES "Names"

enum {
    SESSION_ROOM = 16 << 20, // bytes that a busy recording has been seen to hold
    RATE_MAX_HZ = 10000,
};

// --- the recorder itself -------------------------------------------------------------------------

static void add_kernel(struct hone_findings *findings)
{
    struct utsname name;
    if (uname(&name) == 0)
        hone_finding_add(findings, (struct hone_finding){.mark = HONE_MARK_FACT,
                                                         .topic = MACHINE,
                                                         .name = "kernel",
                                                         .what = hone_finding_text(
                                                             findings, "%s %s on %s", name.sysname,
                                                             name.release, name.machine)});
}

// Preloads the library into a program that does nothing: the loader complains when it cannot.
static bool loads(const char *library)
{
    int ends[2];
    if (pipe(ends) != 0)
        return false;
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)setenv("LD_PRELOAD", library, 1);
        (void)unsetenv("HONE_SESSION");
        (void)execlp("true", "true", (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    char said;
    bool silent = child > 0 && read(ends[0], &said, 1) == 0;
    (void)close(ends[0]);
    int status = -1;
    if (child > 0)
        (void)waitpid(child, &status, 0);
    return silent && status == 0;
}

static void add_library(struct hone_findings *findings)
{
    char path[PATH_MAX];
    struct hone_error why = {0};
    struct hone_finding finding = {.mark = HONE_MARK_BAD, .topic = MACHINE, .name = "libhone.so"};
    if (hone_launch_library(path, sizeof path, &why)) {
        finding.what = hone_finding_text(findings, "%s", why.message);
        finding.why = "nothing can be recorded without it";
        finding.next = "make install";
    } else if (!loads(path)) {
        finding.what = hone_finding_text(findings, "%s cannot be preloaded", path);
        finding.why = "the loader says so of a program that does nothing";
        finding.next = hone_finding_text(findings, "LD_PRELOAD=%s true", path);
    } else {
        findings->loads = true;
        finding.mark = HONE_MARK_GOOD;
        finding.what = hone_finding_text(findings, "%s", path);
    }
    hone_finding_add(findings, finding);
}

static void add_paranoid(struct hone_findings *findings, const struct hone_rights *rights)
{
    static const char *const means[] = {"users may sample all, and other processes' kernel time",
                                        "users may sample their processes, in the kernel too",
                                        "users may sample their processes, in user code only",
                                        "users may not sample by perf events"};
    struct hone_finding finding = {
        .mark = HONE_MARK_FACT, .topic = MACHINE, .name = "perf_event_paranoid"};
    int level = rights->paranoid;
    if (level == INT_MIN) {
        finding.mark = HONE_MARK_BAD;
        finding.what = "not there: this kernel has no perf events";
    } else {
        int meaning = level < 0 ? 0 : level > 3 ? 3 : level;
        finding.what = hone_finding_text(findings, "%d: %s%s", level, means[meaning],
                                         rights->perfmon ? "; you may anyway" : "");
    }
    hone_finding_add(findings, finding);
}

static void add_limits(struct hone_findings *findings)
{
    int64_t rate;
    if (hone_doctor_number("/proc/sys/kernel/perf_event_max_sample_rate", &rate) &&
        rate < RATE_MAX_HZ)
        hone_finding_add(findings,
                         (struct hone_finding){
                             .mark = HONE_MARK_LESS,
                             .topic = MACHINE,
                             .name = "max_sample_rate",
                             .what = hone_finding_text(
                                 findings, "%" PRId64 " Hz: faster sampling is throttled", rate),
                             .next = "sudo sysctl kernel.perf_event_max_sample_rate=100000"});
    struct rlimit pending;
    if (getrlimit(RLIMIT_SIGPENDING, &pending) == 0 && pending.rlim_cur < 4096)
        hone_finding_add(
            findings,
            (struct hone_finding){.mark = HONE_MARK_LESS,
                                  .topic = MACHINE,
                                  .name = "pending signals",
                                  .what = hone_finding_text(findings, "at most %llu",
                                                            (unsigned long long)pending.rlim_cur),
                                  .why = "thread-timer needs one for each thread",
                                  .next = "ulimit -i unlimited"});
}

static void add_sandbox(struct hone_findings *findings, const struct hone_rights *rights)
{
    if (!rights->filtered && !rights->refused) {
        hone_finding_add(findings, (struct hone_finding){.mark = HONE_MARK_GOOD,
                                                         .topic = MACHINE,
                                                         .name = "seccomp",
                                                         .what = "no system call is filtered"});
        return;
    }
    uint64_t filters = 0;
    (void)hone_doctor_status("Seccomp_filters", 10, &filters);
    hone_finding_add(
        findings,
        (struct hone_finding){
            .mark = rights->refused ? HONE_MARK_LESS : HONE_MARK_GOOD,
            .topic = MACHINE,
            .name = "seccomp",
            .what = hone_finding_text(
                findings, "system calls are filtered (%" PRIu64 " filter%s)%s", filters,
                filters == 1 ? "" : "s",
                rights->refused ? ", perf_event_open among them" : ", but not perf_event_open"),
            .next = rights->refused ? "docker run --security-opt seccomp=unconfined …" : NULL});
}

static bool is_file(const char *path)
{
    return access(path, F_OK) == 0;
}

static void add_container(struct hone_findings *findings, const struct hone_rights *rights)
{
    struct stat space;
    bool own_pids = stat("/proc/self/ns/pid", &space) == 0 && space.st_ino != FIRST_PID_NAMESPACE;
    const char *kind = is_file("/.dockerenv")              ? "Docker"
                       : is_file("/run/.containerenv")     ? "Podman"
                       : is_file("/run/systemd/container") ? "systemd-nspawn or the like"
                                                           : NULL;
    if (!kind && !own_pids && !rights->contained)
        return;
    hone_finding_add(
        findings,
        (struct hone_finding){
            .mark = HONE_MARK_FACT,
            .topic = MACHINE,
            .name = "container",
            .what = hone_finding_text(findings, "%s%s%s", kind ? kind : "namespaces",
                                      own_pids ? "; processes outside are not seen" : "",
                                      rights->contained ? "; root in here is no root outside" : ""),
        });
}

static void add_room(struct hone_findings *findings)
{
    struct statvfs room;
    struct hone_finding finding = {.mark = HONE_MARK_GOOD, .topic = MACHINE, .name = "/dev/shm"};
    if (statvfs("/dev/shm", &room) != 0) {
        finding.mark = HONE_MARK_LESS;
        finding.what = hone_finding_text(findings, "cannot be used: %s", strerror(errno));
    } else if (access("/dev/shm", W_OK) != 0) {
        finding.mark = HONE_MARK_LESS;
        finding.what = "cannot be written to";
    } else {
        uint64_t free_bytes = (uint64_t)room.f_bavail * room.f_frsize;
        finding.what = hone_finding_text(findings, "%" PRIu64 " MiB free%s", free_bytes >> 20,
                                         room.f_flag & ST_NOEXEC ? ", noexec" : "");
        if (free_bytes < SESSION_ROOM) {
            finding.mark = HONE_MARK_LESS;
            finding.why = "samples wait there until they are read; it goes to $TMPDIR when full";
            finding.next = "docker run --shm-size 64m …, or free some";
        }
    }
    if (finding.mark == HONE_MARK_LESS && !finding.why)
        finding.why = "sessions go to $TMPDIR, which may be a disk";
    hone_finding_add(findings, finding);
}

// --- other processes -----------------------------------------------------------------------------

// A process of ours that is nobody's child here, as those are that one attaches to.
static pid_t start_stranger(int *ret_life)
{
    int ids[2];
    int life[2];
    if (pipe(ids) != 0)
        return -1;
    if (pipe(life) != 0) {
        (void)close(ids[0]);
        (void)close(ids[1]);
        return -1;
    }
    pid_t child = fork();
    if (child == 0) {
        pid_t stranger = fork();
        if (stranger == 0) {
            char nothing;
            (void)close(life[1]);
            ssize_t r = read(life[0], &nothing, 1); // until we close the other end, or end
            _exit(r == 0 ? 0 : 1);
        }
        ssize_t wrote = write(ids[1], &stranger, sizeof stranger);
        _exit(wrote == sizeof stranger ? 0 : 1);
    }
    (void)close(ids[1]);
    (void)close(life[0]);
    pid_t stranger = -1;
    if (child > 0)
        (void)waitpid(child, NULL, 0);
    if (child < 0 || read(ids[0], &stranger, sizeof stranger) != sizeof stranger)
        stranger = -1;
    (void)close(ids[0]);
    *ret_life = life[1];
    return stranger;
}

static const int something = 42;

static void add_attach(struct hone_findings *findings, const struct hone_rights *rights)
{
    HONE_CLEANUP(hone_fd_closep) int life = -1;
    pid_t stranger = start_stranger(&life);
    struct hone_finding finding = {.mark = HONE_MARK_GOOD, .topic = OTHERS, .name = "memory"};
    int seen = 0;
    struct iovec here = {&seen, sizeof seen};
    struct iovec there = {(void *)(uintptr_t)&something, sizeof something};
    int64_t scope = -1;
    (void)hone_doctor_number("/proc/sys/kernel/yama/ptrace_scope", &scope);
    if (stranger <= 0) {
        finding.mark = HONE_MARK_UNKNOWN;
        finding.what = "could not be tried: no process can be started";
    } else if (process_vm_readv(stranger, &here, 1, &there, 1, 0) == sizeof seen &&
               seen == something) {
        finding.what = rights->ptrace && !rights->contained
                           ? "of every process can be read (CAP_SYS_PTRACE)"
                           : "of your own processes can be read";
    } else {
        finding.mark = HONE_MARK_LESS;
        finding.what = hone_finding_text(findings, "of your running processes cannot be read: %s",
                                         strerror(errno));
        finding.why = scope > 0 ? "ptrace_scope keeps processes apart; those that hone starts are "
                                  "recorded all the same"
                                : "those that hone starts are recorded all the same";
        finding.next = scope > 0 ? "sudo sysctl kernel.yama.ptrace_scope=0" : NULL;
    }
    hone_finding_add(findings, finding);
}

static void add_locked_memory(struct hone_findings *findings, const struct hone_rights *rights)
{
    int64_t shared_kb;
    struct rlimit locked;
    if (!hone_doctor_number("/proc/sys/kernel/perf_event_mlock_kb", &shared_kb) ||
        getrlimit(RLIMIT_MEMLOCK, &locked) != 0)
        return;
    bool endless = locked.rlim_cur == RLIM_INFINITY || rights->perfmon;
    hone_finding_add(
        findings,
        (struct hone_finding){
            .mark = HONE_MARK_FACT,
            .topic = OTHERS,
            .name = "buffers",
            .what = endless ? "no limit for what perf events write to"
                            : hone_finding_text(
                                  findings, "%" PRId64 " KiB for each core and %llu KiB in all",
                                  shared_kb, (unsigned long long)locked.rlim_cur >> 10)});
}

// --- names ---------------------------------------------------------------------------------------

// Symbols of the kernel have addresses only for those who may know them.
static void add_kernel_names(struct hone_findings *findings)
{
    HONE_CLEANUP(hone_fclosep) FILE *symbols = fopen("/proc/kallsyms", "re");
    char line[256];
    bool any = false;
    bool known = false;
    for (int i = 0; symbols && i < 100 && !known && fgets(line, sizeof line, symbols); i++) {
        any = true;
        known = strtoull(line, NULL, 16) != 0;
    }
    hone_finding_add(
        findings,
        (struct hone_finding){
            .mark = known ? HONE_MARK_GOOD : HONE_MARK_LESS,
            .topic = NAMES,
            .name = "kernel",
            .what = known ? "the kernel's functions have names"
                    : any ? "the kernel's functions have no names: kptr_restrict hides where they "
                            "are"
                          : "the kernel's functions have no names: no /proc/kallsyms",
            .next = any && !known ? "sudo sysctl kernel.kptr_restrict=0" : NULL});
}

static uint32_t count_entries(const char *path)
{
    DIR *directory = opendir(path);
    uint32_t count = 0;
    for (const struct dirent *entry; directory && (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    if (directory)
        (void)closedir(directory);
    return count;
}

static void add_debug_files(struct hone_findings *findings)
{
    uint32_t count = count_entries("/usr/lib/debug/.build-id");
    const char *servers = getenv("DEBUGINFOD_URLS");
    hone_finding_add(
        findings,
        (struct hone_finding){
            .mark = count ? HONE_MARK_GOOD : HONE_MARK_FACT,
            .topic = NAMES,
            .name = "debug files",
            .what = count ? "/usr/lib/debug has some"
                          : "none under /usr/lib/debug: stripped programs have few names",
            .next = count ? NULL : "hone doctor PROGRAM tells which one a program lacks"});
    if (servers && *servers)
        hone_finding_add(findings,
                         (struct hone_finding){
                             .mark = HONE_MARK_FACT,
                             .topic = NAMES,
                             .name = "debuginfod",
                             .what = hone_finding_text(findings, "configured: %.200s", servers)});
}

int hone_doctor_machine(struct hone_findings *findings, struct hone_error *err)
{
    struct hone_rights rights;
    hone_doctor_rights(&rights);
    hone_doctor_engines(findings, &rights);
    add_kernel(findings);
    add_library(findings);
    add_paranoid(findings, &rights);
    add_sandbox(findings, &rights);
    add_container(findings, &rights);
    add_room(findings);
    add_limits(findings);
    add_attach(findings, &rights);
    add_locked_memory(findings, &rights);
    add_kernel_names(findings);
    add_debug_files(findings);
    return findings->failed ? hone_error_set(err, -ENOMEM, "cannot look around") : 0;
}
