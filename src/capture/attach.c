// Recordings of what runs already: processes that were named, or the whole machine.
#include "capture/recorder.h"

#include "base/file.h"
#include "capture/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int add_targets(struct hone_recorder *recorder, struct hone_error *err)
{
    if (recorder->options.all)
        return hone_outside_add_all(recorder->outside, err);
    for (size_t i = 0; i < recorder->options.pid_count; i++) {
        pid_t pid = recorder->options.pids[i];
        int r = hone_outside_add_process(recorder->outside, pid, err);
        if (r)
            return r;
        int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (fd < 0 || hone_recorder_watch(recorder, fd, HONE_WATCH_TARGET))
            return hone_error_set(err, -ESRCH, "cannot record process %d", pid);
        recorder->targets++;
    }
    return 0;
}

static int run_attached(struct hone_recorder *recorder, struct hone_error *err)
{
    sigset_t signals, mask;
    hone_recorder_end_signals(&signals);
    if (sigprocmask(SIG_BLOCK, &signals, &mask))
        return hone_error_set(err, -errno, "cannot prepare the recording");
    int r = hone_recording_check(&recorder->options, err);
    if (!r)
        r = hone_recorder_prepare(recorder, true, &signals, err);
    if (!r)
        r = add_targets(recorder, err);
    if (r)
        return r;
    hone_recorder_watch_wall(recorder);
    // To find and open all that runs has taken a while, in which nothing was recorded.
    hone_recorder_clock(recorder);
    hone_outside_start(recorder->outside);
    hone_recorder_watch_buffers(recorder);
    (void)hone_recorder_faults_start(recorder);
    err->code = 0;
    r = hone_recorder_record(recorder);
    if (r)
        (void)hone_error_set(err, r, "recording stopped");
    else
        (void)hone_recorder_write(recorder, err);
    (void)sigprocmask(SIG_SETMASK, &mask, NULL);
    return 0;
}

// What the profile calls the command: the first process's, or the machine.
static void name_targets(struct hone_recorder *recorder, char *room, size_t size, char *argv[2])
{
    (void)snprintf(room, size, "machine");
    argv[0] = room;
    argv[1] = NULL;
    recorder->argv = argv;
    if (recorder->options.all)
        return;
    char path[64];
    pid_t pid = recorder->options.pids[0];
    (void)snprintf(room, size, "process_%d", pid);
    (void)snprintf(path, sizeof path, "/proc/%d/comm", pid);
    char *text = NULL;
    size_t len = 0;
    if (hone_file_read(path, 256, &text, &len, NULL) == 0 && len > 1)
        (void)snprintf(room, size, "%.*s_%d", (int)len - 1, text, pid);
    free(text);
    for (char *at = room; *at; at++)
        if (*at == '/' || *at == ' ')
            *at = '_';
}

int hone_recorder_attach(struct hone_recorder *recorder, struct hone_error *err)
{
    char name[64], *argv[2];
    name_targets(recorder, name, sizeof name, argv);
    recorder->attached = true;
    hone_recorder_leave_out_inner(recorder);
    int r = hone_recording_directory_check(&recorder->options, err);
    return r ? r : run_attached(recorder, err);
}
