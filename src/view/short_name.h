// Names of functions in pictures: there is room for a class and a method, not for packages,
// namespaces and arguments. Private to this room.
#ifndef HONE_VIEW_SHORT_NAME_H
#define HONE_VIEW_SHORT_NAME_H

#include "base/arena.h"
#include "base/str.h"

// The part of a Go, Java or C++ name by which people know the function, as pprof has it:
//
//     github.com/a/b/v2/c.(*T).M             c.(*T).M
//     java.util.HashMap.get(Ljava;)          HashMap.get
//     std::vector<int>::space::Class::at     Class::at where it follows plain namespaces
//
// Other names stay. Borrowed from name, or from the arena where something in its middle went away;
// at is NULL when memory is out.
struct hone_str hone_short_name(struct hone_arena *arena, struct hone_str name);

#endif
