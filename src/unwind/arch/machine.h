// The machine whose rules are read: the one we are built for. (A check that reads the files of
// another machine is built with HONE_UNWIND_MACHINE naming that one's header.)
#ifndef HONE_UNWIND_ARCH_MACHINE_H
#define HONE_UNWIND_ARCH_MACHINE_H

#if defined(HONE_UNWIND_MACHINE)
#include HONE_UNWIND_MACHINE
#elif defined(__x86_64__)
#include "unwind/arch/x86_64.h"
#elif defined(__aarch64__)
#include "unwind/arch/aarch64.h"
#else
#error "no unwinder for this machine"
#endif

#endif
