// A library that calls back: linked without .eh_frame_hdr, and once more to be loaded late.
void hone_test_call_back(void (*function)(void));

void hone_test_call_back(void (*function)(void))
{
    volatile char room[100];
    room[0] = 0;
    function();
    room[99] = room[0];
}
