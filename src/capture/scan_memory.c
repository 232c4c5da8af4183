#include "capture/scan_memory.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "core/clock.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    PAGE_SHIFT = 12,
    PAGES_AT_ONCE = 8192, // of pagemap: 64 KiB
    MAPS_BYTES_MAX = 64 << 20,
    SEGMENTS_MAX = 64,
    TLS_BYTES_MAX = 16 << 20,
};

// Of an entry of /proc/PID/pagemap.
#define PAGE_PRESENT ((uint64_t)1 << 63)
#define PAGE_SWAPPED ((uint64_t)1 << 62)
#define PAGE_OF_FILE ((uint64_t)1 << 61)

// --- reading -------------------------------------------------------------------------------------

static size_t read_ranges(void *context, struct iovec *to, struct iovec *from, size_t count)
{
    const struct hone_scan_process *process = context;
    ssize_t got = process_vm_readv(process->pid, to, count, from, count, 0);
    size_t whole = 0;
    while (got > 0 && whole < count && (size_t)got >= to[whole].iov_len)
        got -= (ssize_t)to[whole++].iov_len;
    return whole;
}

bool hone_scan_read(struct hone_scan_process *process, uint64_t address, void *to, size_t bytes)
{
    struct iovec ours = {to, bytes};
    struct iovec theirs = {(void *)(uintptr_t)address, bytes}; // NOLINT(performance-no-int-to-ptr)
    return read_ranges(process, &ours, &theirs, 1) == 1;
}

static bool go_on(void *context)
{
    const struct hone_scan_process *process = context;
    atomic_fetch_add_explicit(process->beat, 1, memory_order_relaxed);
    return hone_now_ns() < process->until_ns;
}

// Where the kernel does not tell, every page may hold something.
static bool load_pages(struct hone_scan_process *process, uint64_t page)
{
    ssize_t got = pread(process->pages_fd, process->pages, PAGES_AT_ONCE * sizeof *process->pages,
                        (off_t)(page * sizeof *process->pages));
    process->pages_from = page;
    process->pages_to = page + (got > 0 ? (size_t)got / sizeof *process->pages : 0);
    return process->pages_to > page;
}

static bool holds_something(struct hone_scan_process *process, uint64_t page)
{
    if ((page < process->pages_from || page >= process->pages_to) && !load_pages(process, page))
        return true;
    uint64_t entry = process->pages[page - process->pages_from];
    return entry & PAGE_SWAPPED || (entry & PAGE_PRESENT && !(entry & PAGE_OF_FILE));
}

// The kernel's struct pm_scan_arg and its PAGEMAP_SCAN, since Linux 6.7.
struct scan_request {
    uint64_t size, flags, start, end, walk_end, regions, region_count, pages_max;
    uint64_t inverted, all_of, any_of, told;
};

struct scan_region {
    uint64_t start, end, is;
};

enum { IS_PRESENT = 1 << 3, IS_SWAPPED = 1 << 4 };

// The first page from there on that may hold something: of a reservation of terabytes most was
// never touched, and the kernel skips it by its own tables. An older one does not.
static uint64_t skip_untouched(const struct hone_scan_process *process, uint64_t page, uint64_t end)
{
    struct scan_region region = {0};
    struct scan_request request = {
        .size = sizeof request,
        .start = page << PAGE_SHIFT,
        .end = end << PAGE_SHIFT,
        .regions = (uintptr_t)&region,
        .region_count = 1,
        .pages_max = 1,
        .any_of = IS_PRESENT | IS_SWAPPED,
        .told = IS_PRESENT | IS_SWAPPED,
    };
    int found = ioctl(process->pages_fd, _IOWR('f', 16, struct scan_request), &request);
    if (found < 0)
        return page;
    uint64_t next = found ? region.start >> PAGE_SHIFT : request.walk_end >> PAGE_SHIFT;
    return next > page && next <= end ? next : page;
}

static bool next_run(void *context, uint64_t from, uint64_t to, uint64_t *ret_from,
                     uint64_t *ret_to)
{
    struct hone_scan_process *process = context;
    uint64_t page = from >> PAGE_SHIFT, end = (to + (1 << PAGE_SHIFT) - 1) >> PAGE_SHIFT;
    while (page < end && !holds_something(process, page)) {
        page++;
        if (page % PAGES_AT_ONCE || page >= end)
            continue;
        if (!go_on(process))
            return false;
        page = skip_untouched(process, page, end);
    }
    if (page >= end)
        return false;
    uint64_t first = page;
    while (page < end && holds_something(process, page))
        page++;
    *ret_from = first << PAGE_SHIFT > from ? first << PAGE_SHIFT : from;
    *ret_to = page << PAGE_SHIFT < to ? page << PAGE_SHIFT : to;
    return true;
}

int hone_scan_process_open(pid_t pid, uint64_t until_ns, _Atomic uint32_t *beat,
                           struct hone_scan_process *ret)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/pagemap", (int)pid);
    *ret = (struct hone_scan_process){.pid = pid,
                                      .until_ns = until_ns,
                                      .beat = beat,
                                      .pages = malloc(PAGES_AT_ONCE * sizeof *ret->pages),
                                      .pages_fd = open(path, O_RDONLY | O_CLOEXEC)};
    ret->memory = (struct hone_scan_memory){
        .read = read_ranges, .next = next_run, .go_on = go_on, .context = ret};
    int r = !ret->pages ? -ENOMEM : ret->pages_fd < 0 ? (errno == ENOENT ? -ESRCH : -errno) : 0;
    if (r)
        hone_scan_process_done(ret);
    return r;
}

void hone_scan_process_done(struct hone_scan_process *process)
{
    if (process->pages_fd >= 0)
        (void)close(hone_fd_take(&process->pages_fd));
    free(process->pages);
    free(process->areas);
    process->pages = NULL;
    process->areas = NULL;
    process->area_count = process->area_room = 0;
}

// --- what is mapped ------------------------------------------------------------------------------

struct mapping {
    uint64_t start, end, offset, inode;
    bool readable, private, executable;
    const char *path;
};

static bool parse(char *line, struct mapping *ret)
{
    char permissions[5];
    int path_at = 0;
    *ret = (struct mapping){0};
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %" SCNu64 " %n", &ret->start,
               &ret->end, permissions, &ret->offset, &ret->inode, &path_at) != 5)
        return false;
    ret->readable = permissions[0] == 'r';
    ret->executable = permissions[2] == 'x';
    ret->private = permissions[3] == 'p';
    ret->path = path_at ? line + path_at : "";
    return true;
}

// Where a program or library, whose first bytes are mapped there, ends: its data without bytes in
// the file, too. 0: none is mapped there.
static uint64_t end_of_module(struct hone_scan_process *process, const struct mapping *mapping)
{
    Elf64_Ehdr header;
    Elf64_Phdr segments[SEGMENTS_MAX];
    if (mapping->offset || !mapping->inode || !mapping->readable ||
        !hone_scan_read(process, mapping->start, &header, sizeof header) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_phnum > SEGMENTS_MAX ||
        header.e_phentsize != sizeof segments[0] ||
        header.e_phoff > mapping->end - mapping->start - sizeof segments ||
        !hone_scan_read(process, mapping->start + header.e_phoff, segments,
                        header.e_phnum * sizeof segments[0]))
        return 0;
    uint64_t end = 0, bias = 0;
    bool biased = false;
    for (int i = 0; i < header.e_phnum; i++) {
        if (segments[i].p_type == PT_TLS && segments[i].p_memsz < TLS_BYTES_MAX)
            process->tls_bytes += segments[i].p_memsz + 64;
        if (segments[i].p_type != PT_LOAD)
            continue;
        // A file that was only mapped to be read is mapped whole.
        uint64_t first = segments[i].p_offset + segments[i].p_filesz + 4095;
        if (!biased && mapping->end - mapping->start > (first & ~(uint64_t)4095))
            return 0;
        if (!biased)
            bias = mapping->start + segments[i].p_offset - segments[i].p_vaddr;
        biased = true;
        uint64_t high = bias + segments[i].p_vaddr + segments[i].p_memsz;
        end = high > end ? high : end;
    }
    end = (end + 4095) & ~(uint64_t)4095;
    return end > mapping->start && end - mapping->start < (uint64_t)1 << 32 ? end : 0;
}

static int add_area(struct hone_scan_process *process, const struct hone_scan_area *area)
{
    if (area->start >= area->end)
        return 0;
    if (!hone_array_reserve(&process->areas, &process->area_room, (uint64_t)process->area_count + 1,
                            sizeof *process->areas))
        return -ENOMEM;
    process->areas[process->area_count++] = *area;
    return 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

// A module: while its end is ahead, what is mapped is its own.
struct module {
    uint64_t end;
    bool allocator;
};

static int add_mapping(struct hone_scan_process *process, const struct mapping *mapping,
                       struct module *module, const char *allocator)
{
    uint64_t end = end_of_module(process, mapping);
    if (end)
        // The loader's name of a file may lead through links.
        *module = (struct module){end, strcmp(base_name(mapping->path), base_name(allocator)) == 0};
    bool kernel = mapping->path[0] == '[' && strcmp(mapping->path, "[stack]") != 0 &&
                  strcmp(mapping->path, "[heap]") != 0 && strncmp(mapping->path, "[anon", 5) != 0;
    if (!mapping->readable || !mapping->private || kernel)
        return 0;
    struct hone_scan_area area = {.start = mapping->start, .end = mapping->end};
    area.stack = strcmp(mapping->path, "[stack]") == 0;
    if (module->end > mapping->start) {
        struct hone_scan_area inside = area;
        inside.end = module->end < mapping->end ? module->end : mapping->end;
        inside.module = true;
        inside.allocator = module->allocator;
        int r = add_area(process, &inside);
        if (r)
            return r;
        area.start = inside.end;
    }
    return add_area(process, &area);
}

int hone_scan_process_areas(struct hone_scan_process *process, const char *allocator)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)process->pid);
    HONE_CLEANUP(hone_freep) char *text = NULL;
    size_t len = 0;
    int r = hone_file_read(path, MAPS_BYTES_MAX, &text, &len, NULL);
    if (r || !len)
        return r == -ENOENT || !r ? -ESRCH : r;
    struct module module = {0};
    char *rest = text;
    for (char *line; !r && (line = strsep(&rest, "\n"));) {
        struct mapping mapping;
        if (parse(line, &mapping))
            r = add_mapping(process, &mapping, &module, allocator);
    }
    return r;
}

int hone_scan_process_leave_out(struct hone_scan_process *process, uint64_t from, uint64_t to)
{
    uint32_t count = process->area_count;
    int r = 0;
    for (uint32_t i = 0; !r && i < count; i++) {
        struct hone_scan_area *area = &process->areas[i];
        if (area->end <= from || area->start >= to)
            continue;
        struct hone_scan_area behind = *area;
        behind.start = to;
        area->end = area->start < from ? from : area->start;
        r = add_area(process, &behind); // may move the areas
    }
    return r;
}
