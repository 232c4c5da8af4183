// dl PLUGIN [MILLISECONDS]: loads a library, calls plugin_work in it and unloads it, without pause.
//
// Right answer: prints `loads N`. plugin_work holds most of the CPU time and is named even though
// the library came and went N times; all stacks reach main.
#include "burn.h"

#include <dlfcn.h>

int main(int argc, char **argv)
{
    if (argc < 2)
        return misused("dl PLUGIN [MILLISECONDS]");
    long long end = thread_cpu_ns() + argument(argc, argv, 2, 1500) * MS;
    long loads = 0;
    do {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        void (*plugin_work)(void) = NULL;
        if (library)
            *(void **)&plugin_work = dlsym(library, "plugin_work");
        if (!plugin_work) {
            fprintf(stderr, "dl: %s\n", dlerror());
            return 1;
        }
        plugin_work();
        dlclose(library);
        loads++;
    } while (thread_cpu_ns() < end);
    printf("loads %ld\n", loads);
    return 0;
}
