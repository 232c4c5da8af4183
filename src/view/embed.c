// A program of the build: turns a text file into a C string, so that the script and the style of
// the flame graph lie in the repository as what they are.
//
//     embed NAME FILE > FILE.c
#include <stdio.h>
#include <string.h>

static int fail(const char *name, const char *what)
{
    (void)fprintf(stderr, "embed: %s: %s\n", name, what);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return fail("usage", "embed NAME FILE");
    FILE *file = fopen(argv[2], "rb");
    if (!file)
        return fail(argv[2], "cannot be opened");
    (void)printf("const char %s[] = {\n", argv[1]);
    int c, before = 0, earlier = 0;
    for (unsigned long column = 1; (c = getc(file)) != EOF; column++) {
        if (c == 0 || (c == '>' && before == ']' && earlier == ']'))
            return fail(argv[2], "would end the section that it is put into");
        (void)printf(column % 24 ? "%d," : "%d,\n", (signed char)c);
        earlier = before;
        before = c;
    }
    (void)printf("0};\n");
    return ferror(file) || fflush(stdout) ? fail(argv[2], "cannot be copied") : 0;
}
