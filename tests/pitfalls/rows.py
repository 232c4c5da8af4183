"""The pitfalls of profilers that live inside a process, one row each: what tests it here, and how
the product is damaged to see that test fail. tests/mutations.py does that; rows_test.py keeps the
list true.

A test is `FILE:CLASS.METHOD` below tests/, or `unit:NAME`, an executable of unit tests. A mutation is
a list of edits `(file, text that is there once, what takes its place)`. Where a row has no test, `why`
says why not.
"""

from collections import namedtuple

Row = namedtuple('Row', 'name test edits why', defaults=('', (), ''))

HANDLER, STACKS = 'pitfalls/handler_test.py:Handler.', 'pitfalls/handler_test.py:Stacks.'
CHILDREN, THREADS = 'pitfalls/processes_test.py:Children.', 'pitfalls/threads_test.py:'
SIGNALS = 'pitfalls/signals_test.py:OwnSignals.'
MASKS = 'pitfalls/signal_masks_test.py:Masks.'
SIGNAL_STACKS = 'pitfalls/signal_stacks_test.py:Stacks.'
LIBRARIES, LIMITS = 'pitfalls/libraries_test.py:', 'pitfalls/limits_test.py:'

SIGNALLING = ('src/probe/engine.c', '    &hone_engine_perf_trap,\n    &hone_engine_perf_trap_user,\n'
              '    &hone_engine_thread_timer,', '    &hone_engine_perf_signal,')
# The reader makes what samples of a thread weigh agree with the thread's own clock: a second net.
UNCHECKED = ('src/capture/collect_end.c', '        if (end_ns && sums[sample->thread])\n',
             '        if (!end_ns && sums[sample->thread])\n')
IN_SAMPLE = '    const struct interruption *at = argument;\n'
LOCKS = 'locks_test.py:'
SAFETY = 'heap_safety_test.py:'

ROWS = [
    Row('dl_iterate_phdr in a signal handler',
        HANDLER + 'test_dl_iterate_phdr_in_a_signal_handler',
        [('src/unwind/modules.c', '#include <link.h>\n', '#include <link.h>\n\nstatic int stop_here(struct '
          'dl_phdr_info *info, size_t size, void *context)\n{\n    return info && size && context;\n}\n'),
         ('src/unwind/modules.c', '    uint32_t low = 0, high = load(&modules->sorted_count);',
          '    (void)dl_iterate_phdr(stop_here, (void *)modules);\n'
          '    uint32_t low = 0, high = load(&modules->sorted_count);')]),
    Row('lock order between allocator and loader',
        'pitfalls/heap_test.py:Heap.test_lock_order_between_allocator_and_loader',
        [('src/probe/heap.c', '#include <errno.h>\n', '#include <dlfcn.h>\n#include <errno.h>\n'
          '#include <pthread.h>\n\nstatic pthread_mutex_t both = PTHREAD_MUTEX_INITIALIZER;\n'),
         ('src/probe/heap.c', '    int saved = errno;\n    uint64_t rate = hone_heap_rate();\n',
          '    int saved = errno;\n    uint64_t rate = hone_heap_rate();\n'
          '    Dl_info where;\n    (void)pthread_mutex_lock(&both);\n'
          '    (void)dladdr(&hone_heap_self, &where);\n'
          '    (void)pthread_mutex_unlock(&both);\n')]),
    Row('libgcc or libunwind initialise lazily',
        HANDLER + 'test_an_unwinder_that_initialises_lazily',
        [('src/probe/sample.c', '#include "core/clock.h"\n',
          '#include "core/clock.h"\n#include <execinfo.h>\n'),
         ('src/probe/sample.c', IN_SAMPLE, IN_SAMPLE + '    void *few[4];\n'
          '    (void)backtrace(few, 4);\n')]),
    Row('a library appears or vanishes while we read it',
        LIBRARIES + 'Loading.test_a_library_appears_or_vanishes_while_we_read_it',
        [('src/probe/hooks_module.c', '        hone_modules_end_close(&hone_probe_modules);\n', ''),
         ('src/probe/hooks_module.c', '    hone_modules_begin_close(&hone_probe_modules);\n', ''),
         ('src/probe/hooks_module.c', '    hone_modules_refresh_if_gone(&hone_probe_modules); // this '
          'one may come to lie there\n', '')]),
    Row('unreadable or corrupt stack', STACKS + 'test_unreadable_stack',
        [('src/core/load.c', '    return hone_syscall4(SYS_rt_sigprocmask, NO_SUCH_HOW, address, 0, '
          'KERNEL_MASK_BYTES) == -EINVAL;', '    return NO_SUCH_HOW != -EINVAL;')]),
    Row('malloc in the handler', HANDLER + 'test_malloc_in_the_handler',
        [('src/probe/sample.c', '#include "core/clock.h"\n',
          '#include "core/clock.h"\n#include <stdlib.h>\n'),
         ('src/probe/sample.c', IN_SAMPLE, IN_SAMPLE + '    void *volatile some = malloc(100);\n    '
          'free(some);\n')]),
    Row('handler re-entry', HANDLER + 'test_handler_reentry',
        [('src/probe/hooks_signal.c', '    (void)sigfillset(&ours.sa_mask);',
          '    (void)sigemptyset(&ours.sa_mask);')]),
    Row('sampling bursts', HANDLER + 'test_sampling_bursts',
        [('src/cli/record.c', '     .maximum = 20000,', '     .maximum = 20000000,')]),
    Row('errno in the handler', HANDLER + 'test_errno_is_kept',
        [('src/probe/engine_perf.c', '        hone_signal_pass_on(signal, info, ucontext);\n    }\n'
          '    errno = saved;', '        hone_signal_pass_on(signal, info, ucontext);\n    }\n'
          '    errno = saved + 1;')]),
    Row('SIGPROF and EINTR', HANDLER + 'test_eintr_is_never_seen', [SIGNALLING]),
    Row('two signals end one sigsuspend', HANDLER + 'test_eintr_is_never_seen',
        [('src/probe/hooks_wait.c', '        r = hone_real()->sigsuspend(mask);\n'
          '    while (is_owed(mask));', '        r = hone_real()->sigsuspend(mask);\n'
          '    while (r == 0 && is_owed(mask));')]),
    Row('fork and clone restart for ever',
        'pitfalls/processes_test.py:Fork.test_fork_of_a_process_with_much_memory_comes_to_its_end',
        why='kernels of today do not begin a copy anew when a signal comes: also with signals of the '
        'kind that made them, the test passes'),
    Row('fork child inherits locks', CHILDREN + 'test_fork_child_inherits_locks_and_no_timers',
        [('src/probe/start.c', '    hone_areas_after_fork();\n', '')]),
    Row('fork child has no timers', CHILDREN + 'test_fork_child_inherits_locks_and_no_timers',
        [('src/probe/start.c', '        begin_process(parent_pid, true);',
          '        hone_probe.pid = parent_pid;')]),
    Row('vfork and CLONE_VM share memory', CHILDREN + 'test_vfork_shares_memory',
        [('src/probe/start.c', 'hone_probe.pid == (uint32_t)hone_syscall0(SYS_getpid);\n}',
          'hone_probe.pid != 0;\n}')]),
    Row('exec leaves a pending signal that kills',
        'pitfalls/processes_test.py:Exec.test_a_chain_of_execs_is_not_killed_by_a_late_signal',
        [('src/probe/hooks_exec.c', '        engine->pause(true);\n', '        (void)0;\n')]),
    Row('exec past the hooks',
        'pitfalls/processes_test.py:Exec.test_calls_of_libc_s_own_functions_come_to_us',
        [('src/probe/start.c', '            hone_libc_entries_patch();\n', '            (void)0;\n')]),
    Row('signal after timer_delete', CHILDREN + 'test_a_signal_after_the_timer_is_deleted',
        [('src/probe/engine_perf.c', '        engine->stop();\n', '        (void)hone_syscall4('
          'SYS_rt_sigaction, SIGTRAP, ((const long[4]){0}), NULL, 8);\n')]),
    Row('threads move while one is added',
        'unit:capture',
        [('src/capture/wall_account.c', 'hone_wall_add(wall, event->pid, event->tid, event->time_ns, '
          'name);', 'hone_wall_add(wall, event->pid, event->tid, event->time_ns, creator ? '
          'creator->name : "");')]),
    Row('files may not grow to the whole memory',
        LIMITS + 'Limits.test_files_of_the_recorder_may_not_grow',
        [('src/capture/launch.c', '(r == -ENOMEM || r == -EFBIG) && less', 'r == -ENOMEM && less')]),
    Row('memory given back to a program that goes on',
        'unit:session',
        [('src/session/reader.c', '    if (!reader->all_dead)\n        give_back_all',
          '    if (reader->all_dead || true)\n        give_back_all')]),
    Row('the program resets or owns the signal',
        SIGNALS + 'test_they_work_as_without_us',
        [('src/probe/hooks_signal.c', '    if (HONE_UNLIKELY(ours && signal == ours))\n'
          '        return hone_signal_swap(action, before);\n', '')]),
    Row('the program resets the signal by a system call',
        SIGNALS + 'test_they_work_as_without_us',
        [('src/probe/sandbox.c', '    if (!hone_signal_by_syscall(number, words, &r))\n',
          '')]),
    Row('setitimer bias', THREADS + 'Timers.test_setitimer_bias',
        [UNCHECKED, ('src/probe/sample.c', '    uint64_t cpu_ns = hone_thread_cpu_ns();',
          '    uint64_t cpu_ns = hone_cpu_clock_ns(CLOCK_PROCESS_CPUTIME_ID);')]),
    Row('one process-wide CPU timer on new kernels', THREADS + 'Timers.test_one_process_wide_timer',
        [UNCHECKED, ('src/probe/sample.c', '    return since;\n', '    return hone_probe.period_ns;\n')]),
    Row('timer_create limits', THREADS + 'Timers.test_timer_create_limits',
        [('src/probe/hooks_thread.c',
          '    if (engine && engine->thread_start && engine->thread_start(engine))\n'
          '        hone_count(&hone_counters()->threads_uncovered, 1);',
          '    if (engine && engine->thread_start)\n        (void)engine->thread_start(engine);')]),
    Row('perf_event limits', LIMITS + 'Sandbox.test_perf_event_limits',
        [('src/probe/engine.c', '    &hone_engine_thread_timer,\n    &hone_engine_process_timer,\n};\n'
          '\nstatic const struct hone_engine_kind *const all', '};\n\n'
          'static const struct hone_engine_kind *const all')]),
    Row('small stacks', THREADS + 'Stacks.test_small_stacks',
        [('src/probe/hooks_signal.c', 'SA_SIGINFO | SA_RESTART | SA_ONSTACK',
          'SA_SIGINFO | SA_RESTART')]),
    Row('small alternate stacks', THREADS + 'Stacks.test_small_alternate_stacks',
        [('src/probe/sample.c', '    hone_call_on_stack(take_sample, &at, at.area->stack + '
          'sizeof at.area->stack);', '    volatile char work[HONE_AREA_STACK_BYTES / 4];\n'
          '    work[0] = 0;\n    take_sample(&at + work[0]);')]),
    Row('alternate stacks without room for two signals',
        SIGNAL_STACKS + 'test_alternate_stacks_without_room_for_ours',
        [('src/probe/hooks_altstack.c', 'stack->ss_size < size_needed()', 'stack->ss_size == 0')]),
    Row('blocked signals and exec', MASKS + 'test_what_is_blocked_stays_so_in_other_programs',
        [('src/probe/hooks_mask.c', 'going && blocks_still() ? SIG_BLOCK', 'going && !going ? SIG_BLOCK')]),
    Row('handlers on small alternate stacks', SIGNAL_STACKS + 'test_what_such_handlers_see_and_leave',
        [('src/probe/hooks_mask.c', '        (void)sigdelset(before, ours); // kept out', '        (void)ours; //')]),
    Row('descriptors of a vfork child',
        'pitfalls/corners_test.py:Corners.test_a_vfork_child_that_takes_our_numbers',
        [('src/probe/hooks_close.c', 'if (HONE_UNLIKELY(hone_descriptor_is_ours(fd)) && hone_is_our_process())',
          'if (HONE_UNLIKELY(hone_descriptor_is_ours(fd)))')]),
    Row('descriptors of other threads',
        'pitfalls/corners_test.py:Corners.test_a_number_that_another_threads_event_had_is_not_closed',
        [('src/probe/engine_perf.c', '    if (*fd >= 0 && !hone_descriptor_is_ours(*fd)) {',
          '    if (*fd < -9) {')]),
    Row('descriptors that run out late',
        LIMITS + 'Limits.test_a_recorder_outside_that_runs_out_of_descriptors_late',
        [('src/capture/outside_record.c', '        outside->peeked[i] = false; // a ring', '        // a ring')]),
    Row('two signals that wait are one', MASKS + 'test_who_sends_it_to_itself_gets_each',
        [('src/probe/hooks_raise.c', '    if (hone_real_is_glibc() || hone_probe.locked_in)', '    if (number)')]),
    Row('descriptors of short threads',
        THREADS + 'ShortThreads.test_their_events_are_closed_whoever_else_closes_all',
        [('src/probe/descriptors.c', '        (void)hone_descriptor_close_once((int)moved);',
          '        (void)moved;')]),
    Row('descriptors that a program needs',
        THREADS + 'ShortThreads.test_their_events_leave_room_for_the_programs_descriptors',
        [('src/probe/descriptors.c', '    rlim_t part = (limit.rlim_cur - HIGH) / PART;',
          '    rlim_t part = limit.rlim_cur / 1;')]),
    Row('too few descriptors outside',
        LIMITS + 'Limits.test_few_descriptors_of_a_recorder_outside_are_for_samples',
        [('src/capture/perf_events.c', 'if (r == -EMFILE && tid != -1 && !perf->without_counts) {',
          'if (r == -EMFILE && tid == 0) {')]),
    Row('forks past libc', 'pitfalls/children_test.py:Children.test_clone3_as_fork_is_followed',
        [('src/probe/sandbox.c', '        *ret = (struct child){asked[0], asked[5]};\n'
          '        return true;\n', '        return false;\n')]),
    Row('threads that libc starts', 'pitfalls/timers_test.py:Notified.test_a_timers_threads_are_sampled',
        [('src/probe/hooks_timer.c', '    hone_thread_of_libc_begins(',
          '    if (of_timer)\n        return start;\n    hone_thread_of_libc_begins(')]),
    Row('threads that keep the signal out',
        THREADS + 'Timers.test_a_thread_that_never_lets_the_signal_in_is_told_as_such',
        [('src/capture/collect_end.c', '        seen[i] |= facts->engine < HONE_ENGINE_PERF_OUTSIDE &&',
          '        seen[i] |= facts->engine < HONE_ENGINE_PERF_TRAP &&')]),
    Row('sigaltstack while unwinding', THREADS + 'Stacks.test_alternate_stacks_while_unwinding',
        [('src/unwind/walk.c', '    } else if (!hone_safe_probe(address)) {',
          '    } else if (!hone_safe_probe(address) || !stack) {')]),
    Row('fibers, coroutines, custom stacks', THREADS + 'Stacks.test_fibers',
        [('src/unwind/walk.c', '    } else if (!hone_safe_probe(address)) {',
          '    } else if (!hone_safe_probe(address) || !stack) {')]),
    Row('musl', 'unit:walk at every instruction',
        [('src/unwind/walk_code.c', 'hone_row_kind(kept) != HONE_ROW_NO_RULES)',
          'hone_row_kind(kept) != HONE_ROW_NO_RULES || told != UINT64_MAX)')]),
    Row('callers whose stack is not aligned',
        'pitfalls/corners_test.py:Corners.test_callers_whose_stack_is_not_aligned',
        [('meson.build', ",\n  '-mgeneral-regs-only']", ']')]),
    Row('ThreadSanitizer',
        'sanitized_test.py:Sanitized.test_programs_with_thread_sanitizer_are_recorded_from_outside',
        [('src/probe/surroundings.c', '    if (__tsan_init)\n', '    if (!hone_probe.writer.header)\n')]),
    Row('what a signal is called by who waits for it',
        SIGNALS + 'test_who_waits_is_told_of_signals_as_libc_tells_of_them',
        [('src/probe/hooks_mask.c', '        info->si_code = SI_USER;\n', '        info->si_code = SI_TKILL;\n')]),
    Row('static binaries', 'library_test.py:Linked.test_static_program_with_libhone_a',
        [('src/probe/engine_perf.c', '    if (kind->id == HONE_ENGINE_PERF_TRAP && !hone_has_hooks)\n'
          '        return -ENODEV;\n    uint64_t period_ns', '    uint64_t period_ns')]),
    Row('setuid, file capabilities', CHILDREN + 'test_setuid_with_the_library_linked_in',
        [('src/probe/start.c', 'secure_getenv("HONE_SESSION")', 'getenv("HONE_SESSION")')]),
    Row('seccomp', LIMITS + 'Sandbox.test_seccomp',
        [('src/probe/sandbox.c', '        hone_sandbox_after(&door, r == 0);',
          '        hone_sandbox_after(&door, false);')]),
    Row('malloc before init, dlsym calls calloc',
        LIBRARIES + 'Interposing.test_calls_before_we_start_and_an_auditor',
        [('src/probe/real.c', 'static void resolve(void)\n',
          '__attribute__((constructor)) static void resolve(void)\n'),
         ('src/probe/real.c', '    if (!atomic_load_explicit(&resolved, memory_order_acquire))\n'
          '        resolve();\n', '')]),
    Row('TLS recursion and static TLS space', LIBRARIES + 'Interposing.test_static_tls_space',
        [('src/probe/state.c', '    return &this_thread;',
          '    static __thread volatile char filler[1 << 16];\n    filler[0] = 1;\n'
          '    return &this_thread;')]),
    Row('wrong original function', LIBRARIES + 'Interposing.test_the_wrong_original_function',
        [('src/probe/real.c', 'dlsym(RTLD_NEXT,', 'dlsym(RTLD_DEFAULT,')]),
    Row('two allocators in one process',
        'heap_hooks_test.py:Imports.test_the_same_beside_another_allocator',
        [('src/probe/imports.c', '    return !hook || change(image, slot, bound, hook);',
          '    return !hook || slot || change(image, slot, bound, hook);')]),
    Row('tcmalloc or jemalloc with their own profiler on',
        'pitfalls/heap_test.py:Heap.test_an_allocator_with_its_own_profiler_on',
        [('src/probe/hooks_heap.c', '    void *block = hone_allocator.malloc(size);\n'
          '    return hone_heap_counts(block, size) ? block : told(block, size);',
          '    return hone_allocator.malloc(size);')]),
    Row('C++ exceptions', 'unit:walk at every instruction',
        [('src/unwind/walk.c', '    return result->end != HONE_WALK_COMPLETE && result->count >= 2 &&',
          '    return false && result->end != HONE_WALK_COMPLETE && result->count >= 2 &&')]),
    Row('two unwinders in one process', 'guest_test.py:Guest.test_exports_nothing_that_is_not_ours_'
        'or_a_hook',
        [('src/probe/libhone.map.in', '        hone_version;\n',
          '        hone_version;\n        _Unwind_Backtrace;\n'),
         ('src/probe/hooks_exit.c', '#include <unistd.h>\n', '#include <unistd.h>\n\nHONE_EXPORT int '
          '_Unwind_Backtrace(void);\n\nHONE_EXPORT int _Unwind_Backtrace(void)\n{\n    return 5;\n}'
          '\n')]),
    Row('longjmp', STACKS + 'test_longjmp',
        [('src/unwind/walk_step.c', '    case HONE_ROW_GENERAL:\n        return step_general(walker, at, '
          'index);', '    case HONE_ROW_GENERAL:\n        (void)step_general;\n'
          '        return HONE_STEP_BAD_RULE;')]),
    Row('tail calls', STACKS + 'test_tail_calls',
        [('src/unwind/walker.h', '    return (struct hone_position){registers->r[HONE_REGISTER_IP], ',
          '    return (struct hone_position){registers->r[HONE_REGISTER_IP] - 64, ')]),
    Row('lock hooks', LOCKS + 'Harmless.test_odd_uses',
        [('src/probe/lock.c', '    if (HONE_UNLIKELY(self->waiting))\n',
          '    if (HONE_UNLIKELY(self->waiting == UINT32_MAX))\n')]),
    Row('hook misses calls inside a shared object',
        THREADS + 'Timers.test_threads_that_no_hook_sees',
        [('src/probe/engine_perf.c', '        attr.inherit = 1;\n', '')]),
    Row('a thread gets its name late', THREADS + 'Timers.test_threads_that_get_their_names_late',
        [('src/probe/thread.c',
          '        (void)hone_syscall2(SYS_prctl, PR_GET_NAME, record->name);\n', '')]),
    Row('mutex bookkeeping cost', why='bench/locks measures it: no test judges by time'),
    Row('skid', why='a period of the CPU clock is no event that an instruction causes; there are no '
        'hardware counters yet'),
    Row('prologue, epilogue, PLT, leaf functions', 'unit:walk at every instruction',
        [('src/unwind/walk_body.h', 'hone_walker_find_row(walker, at.address);',
          'hone_walker_find_row(walker, at.address - at.exact);')]),
    Row('-fomit-frame-pointer mixed code', STACKS + 'test_code_without_frame_pointers',
        [('src/unwind/walk_step.c', '        row = hone_row_pack(&module->cfi, &rules, '
          'fde.signal_frame);', '        row = HONE_ROW_NO_RULES;')]),
    Row('aarch64 slow or wrong paths', why='another machine: machines_test.py runs under qemu'),
    Row('vDSO', STACKS + 'test_vdso',
        [('src/unwind/modules.c', '    struct hone_module *module = known(refresh->modules, &like);\n',
          '    if (refresh->vdso && like.start == refresh->vdso)\n        return 0;\n'
          '    struct hone_module *module = known(refresh->modules, &like);\n')]),
    Row('JIT and unknown code', STACKS + 'test_jit_and_unknown_code',
        [('src/unwind/walk_step.c', '    if (!followed)\n        return nothing;',
          '    if (followed || !linked)\n        return nothing;')]),
    Row('backtrace that stops early silently',
        STACKS + 'test_a_backtrace_that_stops_early_silently',
        [('src/capture/profile.c', '            locations[count++] = builder->truncated;',
          '            (void)builder->truncated;')]),
    Row('stripped binaries, split debug info',
        LIBRARIES + 'Layout.test_stripped_binaries_and_split_debug_information',
        [('src/elf/debugfile.c', '    return len && elf->facts.build_id_len == len && '
          'memcmp(elf->facts.build_id, build_id, len) == 0;',
          '    return len && elf->facts.build_id_len == len && build_id;')]),
    Row('ASLR, PIE, odd segment layout', LIBRARIES + 'Layout.test_aslr_pie_and_odd_segment_layouts',
        [('src/capture/profile_places.c', '                     .offset = module->text_offset,\n',
          '                     .offset = module->text_offset * 0,\n')]),
    Row('fork records clobbering maps in offline tools', why='Hone reads no perf.data yet'),
    Row('CET shadow stacks, IBT',
        'guest_test.py:Guest.test_is_marked_for_branch_tracking_and_shadow_stacks',
        [('meson.build', "  guest_link_args += ['-Wl,-z,ibt', '-Wl,-z,shstk']\n", ''),
         ('meson.build', "'-fcf-protection=full'", "'-fcf-protection=none'")]),
    Row('profile lost when killed', 'signals_test.py:Killed.test_kill_9_after_two_seconds_keeps_the_'
        'data',
        [('src/probe/start.c', '0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)',
          '0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0)')]),
    Row('forking from a handler', 'unit:guest code needs only what is on the list',
        [('src/probe/sample.c', '#include "core/clock.h"\n',
          '#include "core/clock.h"\n#include <unistd.h>\n'),
         ('src/probe/sample.c', IN_SAMPLE, IN_SAMPLE + '    if (fork() == 0)\n        return;\n')]),
    Row('profiler cost at link time only', CHILDREN + 'test_only_linked_costs_nothing',
        [('src/probe/start.c', "    if (!path || path[0] != '/') {\n",
          "    if (!path || path[0] != '/') {\n        (void)hone_signal_install(SIGTRAP, "
          'hone_signal_pass_on);\n')]),
    Row('fixed-size stack tables drop silently', STACKS + 'test_fixed_size_stack_tables',
        [('src/probe/stacks.c', '    id = write_stack(addresses, count, end);\n',
          '    if (atomic_load(&set[0].id))\n        return 0;\n'
          '    id = write_stack(addresses, count, end);\n')]),
    Row('HTTP endpoint exposed or blocking', why='Hone has no HTTP endpoint yet'),
    Row('attach by debugger', why='nothing is put into a program that runs already'),
    Row('daemons that close all descriptors',
        'truth_test.py:Whole.test_a_program_that_closes_all_descriptors',
        [('src/probe/hooks_close.c', '    if (HONE_UNLIKELY(hone_descriptor_is_ours(fd)))\n'
          '        return 0;\n', '')]),
    Row('full /dev/shm', LIMITS + 'SharedMemory.test_full_from_the_start',
        [('src/session/owner.c', '        r = posix_fallocate(fd, (off_t)from, (off_t)(to - from));',
          '        r = fd < 0 || to < from;')]),
    Row('threads that never end at exit', 'truth_test.py:Threads.test_one_that_never_ends',
        [('src/probe/start.c', '        hone_process_leave(HONE_PROCESS_EXITED);\n}\n',
          '        hone_process_leave(HONE_PROCESS_EXITED);\n'
          '    while (hone_is_our_process() && hone_other_threads(NULL, 0))\n        continue;\n}\n')]),
    Row('code in several segments', 'unit:modules', why='seen in a profile of Node.js, which '
        'tests/real_table.py records'),
    Row('floating-point flags of the program', SAFETY + 'Flags.test_none_is_raised',
        [('meson.build', ",\n  '-mgeneral-regs-only']", ']'),
         ('src/probe/heap.c', '    if (!self->random)\n', '    volatile double third = 1;\n    '
          'third = third / 3;\n    if (!self->random)\n')]),
    Row('what is left of threads that end', SAFETY + 'Threads.test_many_short_ones_leave_nothing',
        [('src/probe/heap_keeper.h', '    if (HONE_UNLIKELY(hone_keeper_borrows))\n'
          '        hone_keeper_leave();\n', ''),
         ('src/probe/heap_keeper.c', '    if (count < LOOKED_AT_FROM)\n',
          '    if (count < LOOKED_AT_FROM + KEEPERS)\n')]),
    Row('handlers that look for their stack', SAFETY + 'Stacks.test_the_same_when_sampled',
        [('src/probe/areas.c', '    (void)hone_syscall4(SYS_rt_sigprocmask, SIG_BLOCK, &held, &before, '
          'sizeof held);\n', '    (void)hone_syscall4(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &before, '
          'sizeof held);\n    (void)held;\n')]),
    Row('alternate stacks', SAFETY + 'Stacks.test_alternate_stacks_are_left_alone',
        [('src/probe/areas.c', 'hone_syscall2(SYS_sigaltstack, NULL, &alternate) != 0 || ',
          'hone_syscall2(SYS_sigaltstack, NULL, &alternate) == 0 || ')]),
    Row('handlers that jump out of samples', SAFETY + 'Jumps.test_out_of_samples',
        [('src/probe/heap_left.c', '    hone_areas_abandon(self);\n', '')]),
    Row('handlers that jump out of the table of blocks', SAFETY + 'Jumps.test_out_of_samples',
        [('src/probe/heap_left.c', '    hone_heap_live_abandon();\n', '')]),
    Row('room in the session comes too late', 'heap_test.py:Sampled.test_of_many_that_live_each_end_is_known',
        [('src/capture/room.c', '            arm(header, ahead);\n', '            (void)arm;\n')]),
    Row('handlers that jump out of what is written', 'unit:session',
        [('src/session/writer.c', '            finish(claim->chunk, claim->at, claim->len);\n',
          '            (void)finish;\n')]),
    Row('handlers that jump out of counting', SAFETY + 'Jumps.test_out_of_counting',
        [('src/probe/heap.h', '    if (HONE_UNLIKELY(hone_heap_self.inside) && '
          '!hone_heap_was_left(here))', '    if (HONE_UNLIKELY(hone_heap_self.inside))')]),
    Row('a forked child without room in the session',
        SAFETY + 'Children.test_one_without_room_in_the_session_starts_threads',
        [('src/probe/start.c', "        hone_heap_begin(false); // in a forked child its parent's answer stands there\n", '')]),
    Row('the lock of the loader in a forked child',
        SAFETY + 'Children.test_libraries_that_the_child_of_a_threaded_parent_loads',
        [('src/probe/imports.c', '        if (!patch_alone())\n            say_so();\n',
          '        say_so();\n        (void)patch_alone;\n')]),
    Row('code that runs on a page that is changed',
        SAFETY + 'Code.test_pages_that_are_changed_stay_what_they_are',
        [('src/probe/entries.c', '    long wrote = hone_syscall4(SYS_pwrite64, fd, bytes, length, at);'
          '\n', '    long wrote = length;\n    (void)protect(at, at + length, PROT_READ | PROT_WRITE);'
          '\n    memcpy((void *)(uintptr_t)at, bytes, length);\n'
          '    (void)protect(at, at + length, PROT_READ | PROT_EXEC);\n')]),
    Row('new of a library that only its loader sees',
        'heap_hooks_test.py:Imports.test_a_cxx_library_that_only_its_loader_sees',
        [('src/probe/hooks_new.c', '    if (!real && dl_iterate_phdr(look, &wanted))',
          '    if (!real && !function && dl_iterate_phdr(look, &wanted))')]),
    Row('a program that writes to the session', SAFETY + 'Recorder.test_a_header_that_lies_to_who_'
        'looks_for_leaks',
        [('src/capture/scan.h', '    if (number >= chunks->count ||\n        number >= ',
          '    if (number >= '),
         ('src/capture/scan.h', '    return chunks->at + number * HONE_CHUNK_BYTES;',
          '    return (const unsigned char *)chunks->header + chunks->header->chunks_at +\n'
          '           number * HONE_CHUNK_BYTES;')]),
    Row('a program that loads and idles is no leak', 'growth_test.py:Growth.test_load_and_idle_is_steady',
        [('src/analyse/growth_profile.c', '    int64_t end = duration_ns / 1000000 + (duration_ns % '
          '1000000 > 0);', '    int64_t end = duration_ns * 0;')]),
    Row('what ended processes left is no growth',
        'growth_test.py:Growth.test_what_ended_processes_left_is_no_growth',
        [('src/analyse/growth_profile.c', '        (void)number_of(profile, label_set, "pid", '
          '&change->pid);\n', '')]),
    Row('probes for other profilers are described',
        'heap_rates_test.py:Probes.test_they_are_described',
        [('src/probe/usdt.c', '"8@%0 8@%1 8@%2")', '"8@%0 8@%1")')]),
    Row('probes for other profilers fire', 'heap_rates_test.py:Probes.test_they_fire_for_each_sample',
        [('src/probe/heap.c', '    hone_usdt_free(taken->address);\n', '')]),
    Row('mappings are counted where asked for',
        'heap_hooks_test.py:Mappings.test_counted_where_asked_for',
        [('src/probe/hooks_map.c', '    mapping->bytes = bytes < mapping->bytes ? mapping->bytes - '
          'bytes : 0;\n', '    mapping->bytes = 0;\n')]),
    Row('mappings are not counted otherwise', 'heap_hooks_test.py:Mappings.test_not_counted_otherwise',
        [('src/probe/heap.c', '    hone_heap_maps = wanted && hone_probe.writer.header->config.heap_maps;',
          '    hone_heap_maps = wanted && hone_probe.writer.header;')]),
    Row('a lock has two entries where two come first', 'unit:probe',
        [('src/probe/lock_table.c', '        if (!atomic_load_explicit(changing, memory_order_relaxed) '
          '&&\n            !atomic_exchange_explicit(changing, true, memory_order_acquire)) {',
          '        if (changing) {')]),
    Row('who comes while a lock is released is charged to nobody',
        'locks_test.py:Harmless.test_who_comes_in_the_middle_of_a_release',
        [('src/probe/lock.c', '    bool late = released && ', '    bool late = !released && ')]),
    Row('a shared lock is charged to who released it before another process had it',
        'locks_test.py:Truth.test_what_is_released_unseen_is_charged_to_nobody',
        [('src/probe/lock_held.c', '    if (shared ? left->age || left->rest > recent : '
          'left->age > recent)', '    if (left->age > recent)'),
         ('src/probe/lock_table.c', '    if (charged && outcome != HONE_LOCK_INHERITED) {',
          '    if (charged) {')]),
    Row('address of made locks', LOCKS + 'Truth.test_every_kind_of_lock',
        [('src/probe/lock_record.c', '        record->lock = (uintptr_t)lock;\n        record->stack = '
          'stack;\n        hone', '        record->lock = (uintptr_t)lock ^ (kind != HONE_LOCK_MUTEX) << 3;'
          '\n        record->stack = stack;\n        hone')]),
    Row('a lock that is wanted all the time stands for what was left out',
        LOCKS + 'Truth.test_what_is_drawn_less_stands_for_the_rest',
        [('src/probe/lock_draw.c', '        weight *= self->thin_times[HONE_LOCK_RELEASES];\n', '')]),
    Row('waiting for a CPU is no waiting', 'block_test.py:Kinds.test_it_is_the_wall_clock_s_waiting',
        [('src/capture/block.c', '        if (wall->kind == HONE_KIND_NONE || '
          'wall->kind == HONE_KIND_RUNNABLE)', '        if (wall->kind == HONE_KIND_NONE)')]),
    Row('one in ten releases stands for ten',
        'lockview_test.py:Told.test_session_tells_of_each_lock',
        [('src/capture/collect_locks.c', '    hone_lock_sum_add(&lock->releases[mode], 1, weight);',
          '    hone_lock_sum_add(&lock->releases[mode], 1, 1);')]),
    Row('who may be woken by a signal is not stuck',
        'threads_profile_test.py:RunningTest.test_who_waits_for_ever',
        [('src/capture/dump_stuck.c', '    return handled != 0;', '    return handled == UINT64_MAX;')]),
    Row('who waits with a limit is not stuck', 'deadlock_test.py:Clean.test_limit_of_time',
        [('src/capture/standstill.c', '        thread->limited = arguments[3] != 0;\n',
          '        thread->limited = false;\n')]),
    Row("a program's own lock is none of the C library's",
        'deadlock_test.py:Clean.test_mutex_of_the_programs_own',
        [('src/capture/lock_call.c', '            if (found && !own)\n'
          '                call.library = HONE_LOCK_LIBRARY_UNKNOWN;\n', '')]),
    Row('a process that is sampled in its exec',
        'record_test.py:NamesFromOutside.test_one_that_was_sampled_in_its_exec',
        [('src/capture/outside_record.c', '        if (process->told)\n            '
          'hone_outside_tell_program(outside, process);\n', '')]),
    Row('a first period whose signal never comes',
        'pitfalls/tracers_test.py:Children.test_who_is_kept_from_our_signals_is_not_stopped_without_end',
        [('src/probe/engine_perf.c', 'PERF_EVENT_IOC_REFRESH, 1)', 'PERF_EVENT_IOC_ENABLE, 0)')]),
    Row('a size that no block can have',
        'heap_corners_test.py:Corners.test_sizes_that_no_block_can_have_count_for_nothing',
        [('src/probe/heap.h', '    return (left | (int64_t)size) < 0;', '    return left < 0;')]),
    Row("a handlers' stack in a frame of the thread's own",
        SAFETY + 'Stacks.test_one_in_a_frame_of_the_threads_own_stack',
        [('src/probe/hooks_altstack.c', '        hone_heap_self.asks = 1;\n',
          '        hone_heap_self.asks = 0;\n')]),
    Row("a fiber's stack below a small one of the thread's own",
        SAFETY + 'Stacks.test_fibers_below_the_threads_own_stack',
        [('src/probe/areas.c', '    if (!bytes || bytes > looked_at + taken)\n', '    if (looked_at)\n')]),
    Row('a thread that waits is not the only one', LOCKS + 'Truth.test_a_program_of_one_thread',
        [('src/probe/lock.c', '    hone_locks_shared(); // and it is charged to somebody, if only to '
          'ourselves\n', '')]),
    Row('a mutex whose wait the kernel refuses has no owner', 'unit:capture',
        [('src/capture/lock_state.c', '    return !sleep->expected &&\n', '    return sleep->expected &&\n')]),
    Row('what nobody could see is not called clean',
        'deadlock_test.py:Order.test_what_nobody_can_see_is_not_called_clean',
        [('src/cli/deadlocks.c', 'order.ring_count || !order.uncovered_count)',
          'order.ring_count || order.ring_count == 0)')]),
    Row('an interrupt just before the shell waits for a key',
        'pprof_shell_test.py:OnATerminal.test_an_interrupt_is_taken_whenever_it_comes',
        [('src/pprof/shell_input.c', '    if (reading)\n        siglongjmp(interruption, 1);\n', ''),
         ('src/pprof/shell_input.c', '    return interrupted ? -1 : got;', '    return got;')]),
    Row('a library is opened where another one is closed',
        'heap_modules_test.py:Modules.test_two_threads_open_and_close_at_one_place',
        [('src/probe/hooks_module.c', '    hone_modules_begin_close(&hone_probe_modules);\n', '')]),
    Row('the site that was expected is another one',
        'heap_corners_test.py:Corners.test_many_stacks_each_with_its_own_count',
        [('src/probe/heap_sites.c', '    if (!site || hone_site_at(site - 1)->hash != hash) {',
          '    if (!site) {')]),
]
