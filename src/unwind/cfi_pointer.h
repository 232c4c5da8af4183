// Pointers as .eh_frame encodes them: a form, what it is relative to, whether it points to the
// pointer.
#ifndef HONE_UNWIND_CFI_POINTER_H
#define HONE_UNWIND_CFI_POINTER_H

#include "unwind/cfi.h"
#include "unwind/cursor.h"

enum {
    DW_EH_PE_absptr = 0x00,
    DW_EH_PE_uleb128 = 0x01,
    DW_EH_PE_udata2 = 0x02,
    DW_EH_PE_udata4 = 0x03,
    DW_EH_PE_udata8 = 0x04,
    DW_EH_PE_sleb128 = 0x09,
    DW_EH_PE_sdata2 = 0x0a,
    DW_EH_PE_sdata4 = 0x0b,
    DW_EH_PE_sdata8 = 0x0c,
    DW_EH_PE_form = 0x0f,
    DW_EH_PE_pcrel = 0x10,
    DW_EH_PE_datarel = 0x30,
    DW_EH_PE_relative = 0x70,
    DW_EH_PE_indirect = 0x80,
    DW_EH_PE_omit = 0xff,
};

// Reads one pointer of `view`, which `cursor` lies in; 0 when it is null or omitted.
HONE_SIGSAFE uint64_t hone_cfi_pointer(const struct hone_cfi *cfi, const struct hone_view *view,
                                       struct hone_cursor *cursor, uint8_t encoding);

#endif
