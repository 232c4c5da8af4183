#include "capture/thread_names.h"

#include "core/core.h"

#include <string.h>

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

// As people read it and as the linker does: demangled names of C++ may begin with a type. What was
// inlined may have neither whole, but its file is known.
static bool is_of_language(const char *name, const char *system, const char *file)
{
    static const char *const files[] = {"/include/c++/", "/library/std/src/", "/library/core/src/"};
    static const char *const names[] = {
        "std::",    "<std::",           "core::",         "<core::",    "alloc::",
        "<alloc::", "__gthread_create", "pthread_create", "thrd_create"};
    static const char *const systems[] = {"_ZSt",           "_ZNSt",   "_ZNKSt",   "_ZN9__gnu_cxx",
                                          "_ZNK9__gnu_cxx", "_ZN3std", "_ZN4core", "_ZN5alloc"};
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(names); i++)
        if (begins(name, names[i]))
            return true;
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(systems); i++)
        if (begins(system, systems[i]))
            return true;
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(files); i++)
        if (strstr(file, files[i]))
            return true;
    return false;
}

bool hone_creator_line(const struct hone_profile *profile, uint32_t stack,
                       struct hone_profile_line *ret)
{
    struct hone_profile_span frames = hone_profile_frames_of(profile, stack);
    bool any = false;
    for (uint32_t i = 0; i < frames.count; i++) {
        struct hone_profile_line_span lines = hone_profile_lines_of(profile, frames.at[i]);
        for (uint32_t l = 0; l < lines.count; l++) {
            uint32_t function = lines.at[l].function;
            const char *name = hone_profile_text(profile, profile->functions.name[function]);
            const char *system =
                hone_profile_text(profile, profile->functions.system_name[function]);
            const char *file = hone_profile_text(profile, profile->functions.file[function]);
            bool of_language = is_of_language(name, system, file);
            if (!any || !of_language)
                *ret = lines.at[l];
            any = true;
            if (!of_language)
                return true;
        }
    }
    return any;
}
