#include "capture/doctor_parts.h"

#include "base/base.h"
#include "capture/deadly.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#endif

#define FIRST_USER_NAMESPACE 0xeffffffdu // its inode: PROC_USER_INIT_INO of the kernel

void hone_findings_done(struct hone_findings *findings)
{
    free(findings->at);
    hone_arena_done(&findings->arena);
}

const char *hone_finding_text(struct hone_findings *findings, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const char *copy = hone_arena_copy(&findings->arena, text, strlen(text) + 1);
    findings->failed |= !copy;
    return copy;
}

void hone_finding_add(struct hone_findings *findings, struct hone_finding finding)
{
    struct hone_finding *grown =
        reallocarray(findings->at, findings->count + 1, sizeof *findings->at);
    if (!grown || !finding.what) {
        findings->failed = true;
        findings->at = grown ? grown : findings->at;
        return;
    }
    findings->at = grown;
    findings->at[findings->count++] = finding;
}

bool hone_doctor_number(const char *path, int64_t *ret)
{
    HONE_CLEANUP(hone_freep) char *text = NULL;
    size_t len;
    if (hone_file_read(path, 4096, &text, &len, NULL))
        return false;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || errno)
        return false;
    *ret = value;
    return true;
}

bool hone_doctor_status(const char *word, int base, uint64_t *ret)
{
    HONE_CLEANUP(hone_freep) char *text = NULL;
    size_t len;
    if (hone_file_read("/proc/self/status", 1 << 16, &text, &len, NULL))
        return false;
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t word_len = strlen(word);
        if (strncmp(line, word, word_len) != 0 || line[word_len] != ':')
            continue;
        *ret = strtoull(line + word_len + 1, NULL, base);
        return true;
    }
    return false;
}

// Whether a filter lets perf_event_open through. The kernel itself answers EINVAL to flags that do
// not exist, before it asks for rights, so any other answer is a filter's.
static bool is_perf_refused(void)
{
    int answer = hone_call_answer(SYS_perf_event_open);
    return answer != EINVAL && answer != HONE_CALL_UNTRIED;
}

void hone_doctor_rights(struct hone_rights *ret)
{
    *ret = (struct hone_rights){.paranoid = INT_MIN};
    uint64_t effective = 0;
    (void)hone_doctor_status("CapEff", 16, &effective);
    struct stat space;
    ret->contained =
        stat("/proc/self/ns/user", &space) == 0 && space.st_ino != FIRST_USER_NAMESPACE;
    ret->perfmon = !ret->contained &&
                   (effective & (UINT64_C(1) << CAP_PERFMON | UINT64_C(1) << CAP_SYS_ADMIN));
    ret->ptrace = effective & UINT64_C(1) << CAP_SYS_PTRACE;
    uint64_t mode = 0;
    ret->filtered = hone_doctor_status("Seccomp", 10, &mode) && mode;
    ret->refused = is_perf_refused();
    int64_t paranoid;
    if (hone_doctor_number("/proc/sys/kernel/perf_event_paranoid", &paranoid))
        ret->paranoid = (int)paranoid;
}
