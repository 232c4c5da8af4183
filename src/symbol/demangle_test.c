#include "symbol/demangle.h"

#include "base/base.h"

#include "check.h"

static struct hone_arena arena;

static const char *name_of(const char *symbol)
{
    return hone_demangle(&arena, symbol);
}

TEST(cpp_names_keep_template_arguments_and_lose_parameters)
{
    CHECK_STR(name_of("_ZN2ns5ClassIiE6methodEv"), "ns::Class<int>::method");
    CHECK_STR(name_of("_ZSt4sortIPiEvT_S1_"), "std::sort<int*>");
    CHECK_STR(name_of("_ZNSt6vectorIiSaIiEE9push_backEOi"),
              "std::vector<int, std::allocator<int> >::push_back");
    CHECK_STR(name_of("_ZN3FooC2Ei"), "Foo::Foo");
    CHECK_STR(name_of("_ZN3FooD0Ev"), "Foo::~Foo");
    CHECK_STR(name_of("_ZNK3FooclEi"), "Foo::operator()");
    CHECK_STR(name_of("_ZN12_GLOBAL__N_16Hidden3runEi"), "(anonymous namespace)::Hidden::run");
    CHECK_STR(name_of("_ZZ4mainENKUliE_clEi"), "main::{lambda(int)#1}::operator()");
}

TEST(rust_names_of_both_schemes_lose_their_hash)
{
    CHECK_STR(name_of("_ZN4core3fmt5write17h0123456789abcdefE"), "core::fmt::write");
    CHECK_STR(name_of("_RNvNtCs1234_7mycrate3foo3bar"), "mycrate::foo::bar");
    CHECK_STR(name_of("_ZN4core3fmt5write17h0123456789abcdefE.llvm.123456"), "core::fmt::write");
}

TEST(d_names_are_demangled)
{
    CHECK_STR(name_of("_D3std5stdio7writelnFZv"), "std.stdio.writeln()");
    CHECK_STR(name_of("_Dmain"), "D main");
}

TEST(c_names_stay_and_look_alikes_are_not_touched)
{
    CHECK_STR(name_of("main"), "main");
    CHECK_STR(name_of("_start"), "_start");
    CHECK_STR(name_of("main.main"), "main.main"); // Go
    CHECK_STR(name_of("runtime.gcDrain.func1"), "runtime.gcDrain.func1");
    CHECK_STR(name_of("_Zebra"), "_Zebra");
    CHECK_STR(name_of("_Data"), "_Data");
    CHECK_STR(name_of("_Return"), "_Return");
    CHECK_STR(name_of(""), "");
}

TEST(copies_of_a_function_have_its_name)
{
    CHECK_STR(name_of("foo.part.0"), "foo");
    CHECK_STR(name_of("foo.isra.0.cold"), "foo");
    CHECK_STR(name_of("foo.constprop.12"), "foo");
    CHECK_STR(name_of("foo.lto_priv.3"), "foo");
    CHECK_STR(name_of("_ZN3FooC2Ei.cold"), "Foo::Foo");
    CHECK_STR(name_of("_ZSt4sortIPiEvT_S1_.isra.0"), "std::sort<int*>");
}

TEST(suffixes_that_are_names_stay)
{
    CHECK_STR(name_of("counter.1"), "counter.1");
    CHECK_STR(name_of(".part.0"), ".part.0");
    CHECK_STR(name_of("foo.cold.bar"), "foo.cold.bar");
    CHECK_STR(name_of("a.partial"), "a.partial");
}

TEST(linkage_table_entries_keep_their_mark)
{
    CHECK_STR(name_of("puts@plt"), "puts@plt");
    CHECK_STR(name_of("_ZNSo3putEc@plt"), "std::ostream::put@plt");
}

TEST(long_cpp_names_beyond_libibertys_own_limit_are_demangled)
{
    struct hone_buffer symbol = {0}, expected = {0};
    hone_buffer_text(&symbol, "_ZN");
    for (int i = 0; i < 300; i++) {
        hone_buffer_text(&symbol, "8spaceabc");
        hone_buffer_text(&expected, "spaceabc::");
    }
    hone_buffer_text(&symbol, "1fEv");
    hone_buffer_add(&symbol, "", 1);
    hone_buffer_text(&expected, "f");
    hone_buffer_add(&expected, "", 1);
    CHECK(strlen(symbol.at) > 1024);
    CHECK_STR(name_of(symbol.at), expected.at);
    hone_buffer_done(&symbol);
    hone_buffer_done(&expected);
}

// f<pair<int, int>, pair<that, that>, …>: each argument is twice as long as the one before.
static const char *doubling_name(int depth)
{
    HONE_CLEANUP(hone_buffer_done) struct hone_buffer symbol = {0};
    hone_buffer_text(&symbol, "_Z1fI4pairIiiE");
    for (int i = 1; i <= depth; i++) {
        char digit = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i];
        hone_buffer_format(&symbol, "S0_IS%c_S%c_E", digit, digit);
    }
    hone_buffer_text(&symbol, "Evv");
    hone_buffer_add(&symbol, "", 1);
    return name_of(symbol.at);
}

TEST(names_that_explode_stay_mangled)
{
    CHECK_STR(doubling_name(1), "f<pair<int, int>, pair<pair<int, int>, pair<int, int> > >");
    CHECK(strlen(doubling_name(8)) > 4000);
    CHECK(strlen(doubling_name(8)) < HONE_DEMANGLE_OUTPUT_MAX);
    CHECK(strlen(doubling_name(30)) < 500); // 2^30 pairs
}

TEST(endless_nesting_returns)
{
    char symbol[HONE_DEMANGLE_INPUT_MAX + 100];
    for (size_t len = 100; len < sizeof symbol; len = len * 2 + 7) {
        memset(symbol, 'P', len);
        memcpy(symbol, "_Z1f", 4);
        symbol[len] = '\0';
        CHECK_EQ(strlen(name_of(symbol)), 1); // "f": parameters are not read
        memset(symbol, 'N', len);
        memcpy(symbol, "_Z", 2);
        symbol[len] = '\0';
        CHECK_STR(name_of(symbol), symbol);
    }
}
