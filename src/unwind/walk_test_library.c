// A library that calls back: linked without .eh_frame_hdr, once more to be loaded late, and under
// another name without any rules.
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
