int compare(const void *left, const void *right)
{
    // numbers, not texts
    return *(const int *)left - *(const int *)right;
}

static inline void sort(int *numbers, int count)
{
    for (int i = 0; i < count; i++)
        qsort(numbers, (size_t)count, sizeof *numbers, compare);
}





int main(void)
{
    int numbers[] = {3, 1, 2};
    sort(numbers, 3);
    main();
    return numbers[0];
}
