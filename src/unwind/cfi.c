#include "unwind/cfi.h"

#include "unwind/cfi_pointer.h"

enum {
    SAME_START_MAX = 8,  // entries for one address, all but one of them empty
    HDR_FIXED_BYTES = 4, // version and three encodings
    TABLE_DATAREL4 = DW_EH_PE_datarel | DW_EH_PE_sdata4,
};

static const uint8_t *view_find(const struct hone_view *view, uint64_t address)
{
    uint64_t offset = address - view->address;
    return offset < view->size ? view->at + offset : NULL;
}

static struct hone_cursor view_cursor(const struct hone_view *view, uint64_t address)
{
    const uint8_t *at = view_find(view, address);
    if (!at)
        return (struct hone_cursor){.broken = true};
    return (struct hone_cursor){.at = at, .end = view->at + view->size};
}

static uint64_t cursor_address(const struct hone_view *view, const struct hone_cursor *cursor)
{
    return view->address + (uint64_t)(cursor->at - view->at);
}

uint64_t hone_cfi_pointer(const struct hone_cfi *cfi, const struct hone_view *view,
                          struct hone_cursor *cursor, uint8_t encoding)
{
    if (encoding == DW_EH_PE_omit)
        return 0;
    if (cursor->broken)
        return 0;
    uint64_t here = cursor_address(view, cursor);
    uint64_t value;
    switch (encoding & DW_EH_PE_form) {
    case DW_EH_PE_absptr:
    case DW_EH_PE_udata8:
    case DW_EH_PE_sdata8:
        value = hone_cursor_fixed(cursor, 8);
        break;
    case DW_EH_PE_udata4:
        value = hone_cursor_fixed(cursor, 4);
        break;
    case DW_EH_PE_sdata4:
        value = (uint64_t)(int32_t)hone_cursor_fixed(cursor, 4);
        break;
    case DW_EH_PE_udata2:
        value = hone_cursor_fixed(cursor, 2);
        break;
    case DW_EH_PE_sdata2:
        value = (uint64_t)(int16_t)hone_cursor_fixed(cursor, 2);
        break;
    case DW_EH_PE_uleb128:
        value = hone_cursor_uleb(cursor);
        break;
    case DW_EH_PE_sleb128:
        value = (uint64_t)hone_cursor_sleb(cursor);
        break;
    default:
        cursor->broken = true;
        return 0;
    }
    if (!value)
        return 0; // nothing, whatever it would be relative to
    switch (encoding & DW_EH_PE_relative) {
    case DW_EH_PE_absptr:
        if ((encoding & DW_EH_PE_form) == DW_EH_PE_absptr)
            value -= cfi->relocated_by;
        break;
    case DW_EH_PE_pcrel:
        value += here;
        break;
    case DW_EH_PE_datarel:
        value += cfi->hdr.address;
        break;
    default: // textrel, funcrel, aligned: no compiler for our machines has ever written them
        cursor->broken = true;
        return 0;
    }
    if (encoding & DW_EH_PE_indirect) {
        struct hone_cursor target = view_cursor(&cfi->frames, value);
        value = hone_cursor_fixed(&target, 8) - cfi->relocated_by;
        cursor->broken |= target.broken;
    }
    return value;
}

// What a CIE's augmentation says about its FDEs.
struct augmentation {
    bool has_size; // "z": FDEs carry the size of their own augmentation
    uint8_t pointer_encoding;
    bool signal_frame;
};

static void read_augmentation(const struct hone_cfi *cfi, struct hone_cursor *cursor,
                              const uint8_t *letters, struct augmentation *ret)
{
    if (letters[0] != 'z') {
        cursor->broken |= letters[0] != 0;
        return;
    }
    ret->has_size = true;
    uint64_t size = hone_cursor_uleb(cursor);
    if (size > hone_cursor_left(cursor)) {
        cursor->broken = true;
        return;
    }
    struct hone_cursor data = {cursor->at, cursor->at + size, false};
    cursor->at += size;
    for (letters++; *letters; letters++) {
        switch (*letters) {
        case 'L':
            hone_cursor_skip(&data, 1);
            break;
        case 'R':
            ret->pointer_encoding = hone_cursor_u8(&data);
            break;
        case 'P': {
            uint8_t encoding = hone_cursor_u8(&data);
            (void)hone_cfi_pointer(cfi, &cfi->frames, &data, encoding & ~DW_EH_PE_indirect);
            break;
        }
        case 'S':
            ret->signal_frame = true;
            break;
        case 'B': // aarch64: return addresses signed with key B
        case 'G': // aarch64: memory tagging
            break;
        default: // a letter we do not know may carry data: what follows it is lost
            cursor->broken = true;
            return;
        }
    }
    cursor->broken |= data.broken;
}

static int read_cie(const struct hone_cfi *cfi, uint64_t address, struct hone_fde *ret,
                    bool *ret_has_size)
{
    struct hone_cursor cursor = view_cursor(&cfi->frames, address);
    uint64_t length = hone_cursor_fixed(&cursor, 4);
    if (length == UINT32_MAX)
        length = hone_cursor_fixed(&cursor, 8);
    if (cursor.broken || length > hone_cursor_left(&cursor))
        return HONE_CFI_BAD;
    cursor.end = cursor.at + length;
    if (hone_cursor_fixed(&cursor, 4) != 0)
        return HONE_CFI_BAD;

    uint8_t version = hone_cursor_u8(&cursor);
    if (version != 1 && version != 3 && version != 4)
        return HONE_CFI_BAD;
    const uint8_t *letters = cursor.at;
    while (hone_cursor_u8(&cursor))
        ;
    if (version == 4)
        hone_cursor_skip(&cursor, 2); // sizes of an address and a segment selector
    ret->code_align = hone_cursor_uleb(&cursor);
    ret->data_align = hone_cursor_sleb(&cursor);
    uint64_t column = version == 1 ? hone_cursor_u8(&cursor) : hone_cursor_uleb(&cursor);
    // Where a call pushes it, there is one place for it.
    if (cursor.broken ||
        (HONE_CALL_PUSHES ? column != HONE_REGISTER_RETURN : column >= HONE_REGISTER_COUNT))
        return HONE_CFI_BAD;

    struct augmentation augmentation = {.pointer_encoding = DW_EH_PE_absptr};
    read_augmentation(cfi, &cursor, letters, &augmentation);
    if (cursor.broken)
        return HONE_CFI_BAD;
    ret->pointer_encoding = augmentation.pointer_encoding;
    ret->signal_frame = augmentation.signal_frame;
    ret->return_column = (uint8_t)column;
    ret->cie_code = cursor.at;
    ret->cie_code_end = cursor.end;
    *ret_has_size = augmentation.has_size;
    return 0;
}

int hone_cfi_read(const struct hone_cfi *cfi, uint64_t address, struct hone_fde *ret,
                  uint64_t *ret_next)
{
    *ret_next = 0;
    struct hone_cursor cursor = view_cursor(&cfi->frames, address);
    uint64_t length = hone_cursor_fixed(&cursor, 4);
    if (length == UINT32_MAX)
        length = hone_cursor_fixed(&cursor, 8);
    if (cursor.broken || length > hone_cursor_left(&cursor))
        return HONE_CFI_BAD;
    if (length == 0)
        return HONE_CFI_NONE; // the terminator
    cursor.end = cursor.at + length;
    *ret_next = cursor_address(&cfi->frames, &cursor) + length;

    uint64_t here = cursor_address(&cfi->frames, &cursor);
    uint64_t distance = hone_cursor_fixed(&cursor, 4);
    if (distance == 0)
        return cursor.broken ? HONE_CFI_BAD : HONE_CFI_NONE; // a CIE
    struct hone_fde fde;
    bool has_size;
    int r = read_cie(cfi, here - distance, &fde, &has_size);
    if (r)
        return r;

    fde.start = hone_cfi_pointer(cfi, &cfi->frames, &cursor, fde.pointer_encoding);
    uint64_t size =
        hone_cfi_pointer(cfi, &cfi->frames, &cursor, fde.pointer_encoding & DW_EH_PE_form);
    // A plain size was read as an address: undo what the loader did not do.
    if ((fde.pointer_encoding & DW_EH_PE_form) == DW_EH_PE_absptr && size)
        size += cfi->relocated_by;
    if (has_size)
        hone_cursor_skip(&cursor, hone_cursor_uleb(&cursor));
    if (cursor.broken || size > UINT64_MAX - fde.start)
        return HONE_CFI_BAD;
    fde.end = fde.start + size;
    fde.code = cursor.at;
    fde.code_end = cursor.end;
    *ret = fde;
    return 0;
}

// Reads every entry from the first on: for modules without a table.
static int find_linear(const struct hone_cfi *cfi, uint64_t pc, struct hone_fde *ret)
{
    uint64_t next = cfi->eh_frame;
    while (next) {
        struct hone_fde fde;
        int r = hone_cfi_read(cfi, next, &fde, &next);
        if (r == HONE_CFI_BAD && !next)
            return r;
        if (r == 0 && pc - fde.start < fde.end - fde.start) {
            *ret = fde;
            return 0;
        }
    }
    return HONE_CFI_NONE;
}

// The table that every linker writes: pairs of (start, entry), 32 bits each, relative to the
// header, sorted by start.
static int find_in_table(const struct hone_cfi *cfi, const uint8_t *table, uint64_t count,
                         uint64_t pc, struct hone_fde *ret)
{
    const struct pair {
        int32_t start, entry;
    } __attribute__((packed, may_alias)) *pairs = (const void *)table;

    int64_t key = (int64_t)(pc - cfi->hdr.address);
    uint64_t low = 0, high = count; // pairs[low - 1].start <= key < pairs[high].start
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (pairs[middle].start <= key)
            low = middle + 1;
        else
            high = middle;
    }
    // Empty entries may share the start of the one that we want.
    for (unsigned i = 0; i < SAME_START_MAX && low > 0; i++) {
        const struct pair *pair = &pairs[--low];
        uint64_t next;
        struct hone_fde fde;
        int r = hone_cfi_read(cfi, cfi->hdr.address + (uint64_t)(int64_t)pair->entry, &fde, &next);
        if (r)
            return HONE_CFI_BAD;
        if (pc - fde.start < fde.end - fde.start) {
            *ret = fde;
            return 0;
        }
        if (fde.start != fde.end)
            break;
    }
    return HONE_CFI_NONE;
}

int hone_cfi_find(const struct hone_cfi *cfi, uint64_t pc, struct hone_fde *ret)
{
    if (!cfi->eh_frame)
        return HONE_CFI_NONE;
    if (cfi->hdr.size < HDR_FIXED_BYTES)
        return find_linear(cfi, pc, ret);

    struct hone_cursor cursor = {cfi->hdr.at, cfi->hdr.at + cfi->hdr.size, false};
    uint8_t version = hone_cursor_u8(&cursor);
    uint8_t frame_encoding = hone_cursor_u8(&cursor);
    uint8_t count_encoding = hone_cursor_u8(&cursor);
    uint8_t table_encoding = hone_cursor_u8(&cursor);
    (void)hone_cfi_pointer(cfi, &cfi->hdr, &cursor, frame_encoding);
    uint64_t count = hone_cfi_pointer(cfi, &cfi->hdr, &cursor, count_encoding);
    if (version != 1 || cursor.broken)
        return HONE_CFI_BAD;
    if (count == 0 || table_encoding != TABLE_DATAREL4)
        return find_linear(cfi, pc, ret);
    if (count > hone_cursor_left(&cursor) / 8)
        return HONE_CFI_BAD;
    return find_in_table(cfi, cursor.at, count, pc, ret);
}

uint64_t hone_cfi_eh_frame(const struct hone_view *hdr)
{
    struct hone_cfi cfi = {.hdr = *hdr};
    struct hone_cursor cursor = {hdr->at, hdr->at + hdr->size, false};
    uint8_t version = hone_cursor_u8(&cursor);
    uint8_t encoding = hone_cursor_u8(&cursor);
    hone_cursor_skip(&cursor, 2);
    uint64_t address = hone_cfi_pointer(&cfi, hdr, &cursor, encoding);
    return version == 1 && !cursor.broken ? address : 0;
}
