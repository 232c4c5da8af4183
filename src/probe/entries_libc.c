#include "probe/entries_libc.h"

#include "core/core.h"
#include "probe/entries.h"
#include "probe/image.h"
#include "probe/probe.h"
#include "probe/real.h"

#include <unistd.h>

// Both C libraries have it, and no other library.
static bool is_libc(const struct hone_image *image)
{
    return hone_image_find(image, "__libc_start_main") != 0;
}

static int find_libc(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    struct hone_image *image = context;
    return hone_image_read(info, image) && is_libc(image);
}

// What our own hooks call goes past the jump. Where another library's function stands between, it
// would come to our hook anew: that of exec knows itself then, that of sigaction() does not.
static void lead(const struct hone_image *libc)
{
    struct hone_real *real = hone_real_to_change();
    const struct {
        const char *name;
        void *hook;
        void **real;
        bool always;
    } functions[] = {
        {"execve", (void *)(uintptr_t)hone_exec_inside, (void **)&real->execve, true},
        {"fexecve", (void *)(uintptr_t)fexecve, (void **)&real->fexecve, false},
        {"execveat", (void *)(uintptr_t)execveat, (void **)&real->execveat, true},
        {"sigaction", (void *)(uintptr_t)sigaction, (void **)&real->sigaction, false},
    };
    struct hone_entry_lead leads[HONE_ARRAY_LENGTH(functions)];
    size_t count = 0;
    for (size_t i = 0; i < HONE_ARRAY_LENGTH(functions); i++) {
        uint64_t size, address = hone_image_find_sized(libc, functions[i].name, &size);
        bool called = address && *functions[i].real == (void *)(uintptr_t)address;
        if (!address || !(called || functions[i].always))
            continue;
        leads[count] = (struct hone_entry_lead){
            .address = address, .size = size, .hook = (uintptr_t)functions[i].hook};
        leads[count].copies[0] = called ? functions[i].real : NULL;
        leads[count].copies[1] = i == 0 ? (void **)&hone_exec_of_libc : NULL;
        count++;
    }
    hone_entries_lead(libc, leads, count);
}

void hone_libc_entries_patch(void)
{
    struct hone_image libc;
    if (hone_is_alone() && dl_iterate_phdr(find_libc, &libc))
        lead(&libc);
}
