// What profiles say when a program was ended by a signal for which we may be the cause.
#include "capture/output.h"
#include "profile/profile.h"

#include <signal.h>
#include <sys/wait.h>

// False: the recording did not end so. A shell ends with 128 and the signal of its last program.
static bool ended_by(const struct hone_recording *recording, int signal, bool *ret_below)
{
    if (recording->status == -1)
        return false;
    *ret_below = WIFEXITED(recording->status);
    return *ret_below ? WEXITSTATUS(recording->status) == 128 + signal
                      : WIFSIGNALED(recording->status) && WTERMSIG(recording->status) == signal;
}

// Whether an engine inside sampled the process when it was killed, and not by a signal that it was
// sent or raised itself.
static bool is_suspect(const struct hone_collected_process *process)
{
    return process->facts.state == HONE_PROCESS_RUNNING && !process->facts.own_ends &&
           process->facts.engine != HONE_ENGINE_NONE &&
           process->facts.engine < HONE_ENGINE_PERF_OUTSIDE;
}

static bool uses_trap(const struct hone_collected_process *process)
{
    return process->facts.engine == HONE_ENGINE_PERF_TRAP ||
           process->facts.engine == HONE_ENGINE_PERF_TRAP_USER;
}

// The process, or one below it, that we may have ended by the signal.
static bool may_have_ended(const struct hone_recording *recording, bool below, bool by_trap)
{
    const struct hone_collected *collected = recording->collected;
    for (uint32_t i = 0; i < collected->process_count; i++) {
        const struct hone_collected_process *process = &collected->processes[i];
        bool first = process->pid == collected->processes[0].pid;
        if (first != below && is_suspect(process) && (!by_trap || uses_trap(process)))
            return true;
    }
    return false;
}

void hone_recording_comment_ended(const struct hone_recording *recording,
                                  struct hone_profile *profile)
{
    bool below;
    // A period that ends where our handler is not set any more ends the program.
    if (ended_by(recording, SIGTRAP, &below) && may_have_ended(recording, below, true))
        hone_profile_comment(profile,
                             "%s was ended by SIGTRAP, the signal that samples it: perhaps it took "
                             "the signal for itself by a system call; try --engine thread-timer",
                             below ? "a program that the first one started" : "the program");
    // One that locks itself in by a system call in its own code does so unseen. Of the first
    // program its end tells whether it did; one below may as well have been sent the signal.
    if (!ended_by(recording, SIGSYS, &below) || !may_have_ended(recording, below, false))
        return;
    if (below)
        hone_profile_comment(
            profile, "a program that the first one started was ended by SIGSYS while it was "
                     "sampled: unless it was sent that signal, it came under a filter (seccomp), "
                     "perhaps by a system call in its own code, which is not seen, so that a "
                     "sample's system calls may have ended it; if so, try --engine outside");
    else if (!recording->unfiltered)
        hone_profile_comment(
            profile, "the program was ended by SIGSYS while it was sampled: perhaps it came under "
                     "a filter (seccomp) by a system call in its own code, which is not seen, and "
                     "a sample's system calls ended it; try --engine outside");
}
