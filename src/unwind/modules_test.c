#include "unwind/modules.h"

#include "check.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

static struct hone_modules modules;

// A small library that nothing here is linked with: walk_test_library.c.
static const char library_name[] = HONE_TEST_LIBRARY;

static const struct hone_module *find(uint64_t address)
{
    bool stale = false;
    const struct hone_module *module = hone_modules_find(&modules, address, &stale);
    CHECK(!stale);
    return module;
}

static uint64_t code_of(void *library)
{
    void *address = dlsym(library, "hone_test_call_back");
    CHECK(address != NULL);
    return (uint64_t)address;
}

static bool lies_in(const struct hone_module *module, const void *address)
{
    return (uint64_t)address - module->start < module->end - module->start;
}

TEST(every_module_at_start_is_listed_with_its_rules)
{
    hone_modules_refresh(&modules);
    const struct hone_module *program = find((uint64_t)code_of);
    const struct hone_module *libc = find((uint64_t)gnu_get_libc_version);
    const uint64_t vdso_at = getauxval(AT_SYSINFO_EHDR); // qemu has none
    const struct hone_module *vdso = vdso_at ? find(vdso_at) : NULL;
    CHECK(program && libc && (vdso || !vdso_at) && program != libc);
    char path[4096] = "";
    CHECK(readlink("/proc/self/exe", path, sizeof path - 1) > 0);
    CHECK_STR(program->path, path);
    CHECK(!vdso || strcmp(vdso->path, "[vdso]") == 0);
    CHECK(strstr(libc->path, "libc.so.6") != NULL && libc->path[0] == '/');
    for (size_t i = 0; i < hone_modules_count(&modules); i++) {
        const struct hone_module *module = hone_modules_at(&modules, i);
        CHECK(module != NULL && !hone_module_retired(module) && module->from_start);
        CHECK(module->cfi.eh_frame != 0);
        CHECK(module->text_end > module->text_start && module->text_start >= module->start);
    }
    CHECK_EQ(libc->build_id_size, 20);
    CHECK(lies_in(libc, libc->cfi.frames.at));
}

TEST(address_of_nobody_is_in_no_module)
{
    hone_modules_refresh(&modules);
    int local;
    CHECK(find((uint64_t)&local) == NULL);
    CHECK(find(0) == NULL);
    CHECK(find(UINT64_MAX) == NULL);
}

TEST(module_that_comes_later_is_read_from_a_mapping_of_our_own)
{
    hone_modules_refresh(&modules);
    void *library = dlopen(library_name, RTLD_NOW);
    CHECK(library != NULL);
    hone_modules_refresh(&modules);
    const struct hone_module *module = find(code_of(library));
    CHECK(module != NULL && !module->from_start);
    CHECK(module->cfi.eh_frame != 0);
    CHECK(!lies_in(module, module->cfi.frames.at));
    struct hone_fde fde;
    CHECK_EQ(hone_cfi_find(&module->cfi, code_of(library) - module->bias, &fde), 0);
}

TEST(module_that_goes_is_retired_and_what_was_mapped_for_it_serves_again)
{
    hone_modules_refresh(&modules);
    void *library = dlopen(library_name, RTLD_NOW);
    hone_modules_refresh(&modules);
    const struct hone_module *first = find(code_of(library));
    uint32_t generation = modules.generation;
    size_t count = hone_modules_count(&modules);
    CHECK_EQ(dlclose(library), 0);
    hone_modules_refresh(&modules);
    CHECK(hone_module_retired(first));
    CHECK(modules.generation != generation);
    CHECK(find(first->text_start) == NULL);
    CHECK_EQ(hone_modules_count(&modules), count);

    library = dlopen(library_name, RTLD_NOW);
    hone_modules_refresh(&modules);
    const struct hone_module *second = find(code_of(library));
    CHECK(second && !hone_module_retired(second));
    CHECK(second->cfi.frames.at == first->cfi.frames.at);
    CHECK_STR(second->path, first->path);
}

TEST(module_that_no_refresh_has_seen_is_adopted)
{
    hone_modules_refresh(&modules);
    void *library = dlopen(library_name, RTLD_NOW);
    errno = 77;
    const struct hone_module *module = find(code_of(library));
    CHECK_EQ(errno, 77);
    if (!module && !dlsym(RTLD_DEFAULT, "_dl_find_object"))
        cr_skip_test("the C library cannot tell");
    CHECK(module != NULL && module->cfi.eh_frame != 0);
    CHECK(strstr(module->path, library_name) != NULL);
    CHECK(!lies_in(module, module->cfi.frames.at));
    CHECK_EQ(modules.adopted, 1);
    CHECK(find(code_of(library)) == module);
    hone_modules_refresh(&modules);
    CHECK(find(code_of(library)) == module);
    CHECK(!hone_module_retired(module));
}

TEST(module_in_another_name_space_is_adopted_and_stays)
{
    hone_modules_refresh(&modules);
    void *library = dlmopen(LM_ID_NEWLM, library_name, RTLD_NOW);
    if (!library || !dlsym(RTLD_DEFAULT, "_dl_find_object"))
        cr_skip_test("no name spaces here");
    const struct hone_module *module = find(code_of(library));
    CHECK(module != NULL);
    hone_modules_refresh(&modules);
    CHECK(find(code_of(library)) == module);
    dlclose(library);
    hone_modules_refresh(&modules);
    CHECK(hone_module_retired(module));
}

TEST(module_that_goes_during_a_dlclose_is_found_out_before_it_is_over)
{
    hone_modules_refresh(&modules);
    void *library = dlopen(library_name, RTLD_NOW);
    hone_modules_refresh(&modules);
    const uint64_t code = code_of(library);
    const struct hone_module *module = find(code);
    const uint32_t generation = hone_modules_generation(&modules);
    bool stale = false;
    CHECK_EQ(generation % 2, 0);
    hone_modules_begin_close(&modules);
    CHECK_EQ(hone_modules_generation(&modules), generation + 1);
    CHECK(hone_modules_find_now(&modules, code, &stale) == module);
    dlclose(library);
    CHECK(find(code) == module);
    CHECK(hone_modules_find_now(&modules, code, &stale) == NULL && !stale);
    CHECK(hone_module_retired(module));
    CHECK_EQ(hone_modules_generation(&modules), generation + 3);
    hone_modules_begin_close(&modules); // another thread
    hone_modules_end_close(&modules);
    CHECK_EQ(hone_modules_generation(&modules), generation + 3);
    hone_modules_end_close(&modules);
    CHECK_EQ(hone_modules_generation(&modules), generation + 2);
}

TEST(module_that_went_unseen_is_retired_when_somebody_asks)
{
    hone_modules_refresh(&modules);
    void *library = dlopen(library_name, RTLD_NOW);
    hone_modules_refresh(&modules);
    const struct hone_module *module = find(code_of(library));
    hone_modules_refresh_if_gone(&modules);
    CHECK(!hone_module_retired(module));
    dlclose(library);
    hone_modules_refresh_if_gone(&modules);
    CHECK(hone_module_retired(module));
}

// Of another process, at `start`, told apart from others there by `id`.
static const struct hone_module *add(uint64_t start, uint8_t id)
{
    struct hone_module like = {.start = start,
                               .end = start + 0x5000,
                               .bias = start,
                               .path = "",
                               .build_id = {id},
                               .build_id_size = 1};
    return hone_modules_add(&modules, &like);
}

TEST(place_tells_apart_who_lies_there)
{
    const uint64_t here = 0x7f0000010000,
                   sharing = here + ((uint64_t)HONE_PLACES << HONE_PLACE_BITS),
                   elsewhere = here + 0x100000;
    modules.foreign = true;
    CHECK(!hone_modules_have_gone(&modules));
    CHECK_EQ(hone_modules_place(&modules, here), 0);
    const struct hone_module *first = add(here, 1);
    const uint64_t firsts = hone_modules_place(&modules, here);
    CHECK(firsts != 0);
    CHECK_EQ(hone_modules_place(&modules, here + 0x4fff), firsts);
    CHECK_EQ(hone_modules_place(&modules, elsewhere), 0);

    hone_modules_remove(&modules, first);
    CHECK(hone_modules_have_gone(&modules));
    CHECK_EQ(hone_modules_place(&modules, here), 0);
    const struct hone_module *second = add(here, 2);
    const uint64_t seconds = hone_modules_place(&modules, here);
    CHECK(seconds != 0 && seconds != firsts);

    // Another one that shares it is another value, and hides nobody.
    const struct hone_module *other = add(sharing, 3);
    const uint64_t with_other = hone_modules_place(&modules, here);
    CHECK(with_other != seconds);
    hone_modules_remove(&modules, second);
    CHECK(add(here, 1) == first);
    CHECK(hone_modules_place(&modules, here) != with_other);
    hone_modules_remove(&modules, other);
    CHECK_EQ(hone_modules_place(&modules, here), firsts);
}

static void copy_file(const char *from, const char *to)
{
    char command[1024];
    snprintf(command, sizeof command, "cp '%s' '%s'", from, to);
    CHECK_EQ(system(command), 0);
}

TEST(rules_of_a_file_that_was_replaced_are_copied_from_memory)
{
    hone_modules_refresh(&modules);
    void *library = dlopen(library_name, RTLD_NOW);
    struct link_map *map = NULL;
    CHECK_EQ(dlinfo(library, RTLD_DI_LINKMAP, &map), 0);
    char path[] = "/tmp/hone_modules_test_XXXXXX";
    CHECK(mkdtemp(path) != NULL);
    char file[sizeof path + 20];
    snprintf(file, sizeof file, "%s/later.so", path);
    copy_file(map->l_name, file);
    dlclose(library);
    library = dlopen(file, RTLD_NOW);
    CHECK(library != NULL);
    unlink(file);
    copy_file("/proc/self/exe", file); // another program has its name now
    hone_modules_refresh(&modules);
    unlink(file);
    rmdir(path);

    const struct hone_module *module = find(code_of(library));
    CHECK(module != NULL && module->cfi.eh_frame != 0);
    CHECK(!lies_in(module, module->cfi.frames.at));
    CHECK_EQ(modules.unmapped, 0);
    struct hone_fde fde;
    CHECK_EQ(hone_cfi_find(&module->cfi, code_of(library) - module->bias, &fde), 0);
}

TEST(table_that_is_full_counts_what_it_could_not_take)
{
    hone_modules_refresh(&modules);
    atomic_store(&modules.reserved, HONE_MODULES_MAX);
    for (size_t i = 0; i < HONE_MODULES_MAX; i++)
        if (modules.slots[i].state == 0)
            modules.slots[i].state = 2;
    void *library = dlopen(library_name, RTLD_NOW);
    hone_modules_refresh(&modules);
    CHECK_EQ(modules.overflows, 1);
    CHECK_EQ(hone_modules_count(&modules), HONE_MODULES_MAX);
    bool stale = false;
    CHECK(hone_modules_find(&modules, code_of(library), &stale) == NULL && stale);
    CHECK(find((uint64_t)gnu_get_libc_version) != NULL);
}

TEST(child_of_a_fork_in_the_middle_of_a_refresh_can_refresh)
{
    hone_modules_refresh(&modules);
    modules.refreshing = 1; // another thread of the parent was at it
    modules.adopting = 1;
    modules.reserved++;
    hone_modules_begin_close(&modules);
    pid_t child = fork();
    if (child == 0) {
        hone_modules_after_fork(&modules);
        // No CHECK here: its report would come from a process that the test runner does not know.
        bool stale = false;
        const bool settled = hone_modules_generation(&modules) % 2 == 0;
        void *code = dlsym(dlopen(library_name, RTLD_NOW), "hone_test_call_back");
        bool good = settled && hone_modules_find(&modules, (uint64_t)code, &stale) != NULL;
        hone_modules_refresh(&modules);
        for (size_t i = 0; i < hone_modules_count(&modules); i++)
            good &= hone_modules_at(&modules, i) != NULL;
        _exit(good ? 0 : 1);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

static void *look_around(void *stop)
{
    uint64_t code = (uint64_t)gnu_get_libc_version;
    for (uint64_t i = 0; !*(volatile bool *)stop; i++) {
        bool stale;
        const struct hone_module *libc = hone_modules_find(&modules, code, &stale);
        if (!libc || !lies_in(libc, (void *)code))
            return (void *)"a module that is there was not found";
        for (size_t slot = 0; slot < hone_modules_count(&modules); slot++) {
            const struct hone_module *module = hone_modules_at(&modules, slot);
            struct hone_fde fde;
            if (module && module->cfi.eh_frame)
                (void)hone_cfi_find(&module->cfi, module->text_start - module->bias + i % 4096,
                                    &fde);
        }
    }
    return NULL;
}

TEST(readers_are_never_disturbed_by_modules_that_come_and_go)
{
    hone_modules_refresh(&modules);
    static volatile bool stop;
    pthread_t readers[2];
    for (size_t i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&readers[i], NULL, look_around, (void *)&stop), 0);
    for (int i = 0; i < 200; i++) {
        void *library = dlopen(library_name, RTLD_NOW);
        hone_modules_refresh(&modules);
        dlclose(library);
        hone_modules_refresh(&modules);
    }
    stop = true;
    for (size_t i = 0; i < 2; i++) {
        void *complaint = NULL;
        pthread_join(readers[i], &complaint);
        CHECK(complaint == NULL);
    }
}
