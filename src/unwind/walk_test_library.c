// A library that calls back: linked without .eh_frame_hdr, once more to be loaded late, and under
// another name without any rules, with more that only matters there.
#ifdef HONE_TEST_MACHINE
#include HONE_TEST_MACHINE
__asm__(HONE_TEST_CALL_BACK_BUSY);
#endif

#ifndef HONE_TEST_CALL_BACK
#define HONE_TEST_CALL_BACK hone_test_call_back
#endif

void HONE_TEST_CALL_BACK(void (*function)(void));

void HONE_TEST_CALL_BACK(void (*function)(void))
{
    volatile char room[100];
    room[0] = 0;
    function();
    room[99] = room[0];
}

#ifdef HONE_TEST_STALE
void hone_test_call_back_over(void (*function)(void), unsigned long word);
_Noreturn void hone_test_call_back_for_good(void (*function)(void));

// What older calls have left is still in its frame.
void hone_test_call_back_over(void (*function)(void), unsigned long word)
{
    volatile unsigned long room[40];
    for (unsigned i = 0; i < 40; i++)
        room[i] = word;
    function();
    room[0] = room[39];
}

// Nothing behind the call says how large its frame is.
_Noreturn void hone_test_call_back_for_good(void (*function)(void))
{
    volatile char room[100];
    room[99] = room[0] = 0;
    function();
    __builtin_trap();
}
#endif
