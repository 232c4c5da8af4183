// Compatibility: which types all profiles have, and the unit that each gets. Everything is decided
// before anything is changed, so that a refusal leaves the profiles as they were.
#include "profile/compatible.h"

#include "profile/index.h"

#include "base/cleanup.h"
#include "base/unit.h"

#include <errno.h>
#include <stdlib.h>

// --- as they are ---------------------------------------------------------------------------------

static bool same_type(const struct hone_profile *a, struct hone_profile_type type_a,
                      const struct hone_profile *b, struct hone_profile_type type_b)
{
    return hone_str_equal(hone_profile_str(a, type_a.type), hone_profile_str(b, type_b.type)) &&
           hone_str_equal(hone_profile_str(a, type_a.unit), hone_profile_str(b, type_b.unit));
}

static bool is_known(struct hone_profile_type type)
{
    return type.type || type.unit;
}

static int other_period(const struct hone_profile *first, const struct hone_profile *other,
                        size_t place, const char *what, struct hone_error *err)
{
    return hone_error_set(err, -EINVAL, "cannot %s: profile 1 was sampled by %s, profile %zu by %s",
                          what, hone_profile_text(first, first->period_type.type), place,
                          hone_profile_text(other, other->period_type.type));
}

static int check_two(const struct hone_profile *first, const struct hone_profile *other,
                     size_t place, const char *what, struct hone_error *err)
{
    if (first->type_count != other->type_count)
        return hone_error_set(err, -EINVAL,
                              "cannot %s: profile 1 has %u sample types, profile %zu has %u", what,
                              first->type_count, place, other->type_count);
    for (uint32_t i = 0; i < first->type_count; i++)
        if (!same_type(first, first->types[i], other, other->types[i]))
            return hone_error_set(err, -EINVAL,
                                  "cannot %s: type %u is %s/%s in profile 1, but %s/%s in "
                                  "profile %zu",
                                  what, i, hone_profile_text(first, first->types[i].type),
                                  hone_profile_text(first, first->types[i].unit),
                                  hone_profile_text(other, other->types[i].type),
                                  hone_profile_text(other, other->types[i].unit), place);
    if (is_known(first->period_type) && is_known(other->period_type) &&
        !same_type(first, first->period_type, other, other->period_type))
        return other_period(first, other, place, what, err);
    return 0;
}

int hone_profile_check_compatible(const struct hone_profile *const *profiles, size_t count,
                                  const char *what, struct hone_error *err)
{
    for (size_t i = 1; i < count; i++) {
        int r = check_two(profiles[0], profiles[i], i + 1, what, err);
        if (r)
            return r;
    }
    return 0;
}

// --- made so -------------------------------------------------------------------------------------

// Names of types that mean the same: some write "sample", others "samples".
static bool same_name(struct hone_str a, struct hone_str b)
{
    if (a.len && a.at[a.len - 1] == 's')
        a.len--;
    if (b.len && b.at[b.len - 1] == 's')
        b.len--;
    return hone_str_equal(a, b);
}

static bool find_type(const struct hone_profile *p, struct hone_str name, uint32_t *ret)
{
    for (uint32_t i = 0; i < p->type_count; i++)
        if (same_name(hone_profile_str(p, p->types[i].type), name)) {
            *ret = i;
            return true;
        }
    return false;
}

// A type that all profiles have.
struct common {
    const char *name;
    const char *unit; // the finest
};

struct plan {
    struct hone_profile *const *profiles;
    size_t count;
    uint32_t type_count;
    struct common types[HONE_PROFILE_TYPES_MAX];
    uint32_t *places;        // of the common types in each profile: type_count for each
    const char *period_unit; // NULL when no profile has a period's type
};

static uint32_t *places_of(const struct plan *plan, size_t profile)
{
    return plan->places + profile * HONE_PROFILE_TYPES_MAX;
}

// Whether all profiles have a type of this name that no earlier one took; notes where. The same
// place is tried first: where all profiles have the same types, each meets its like, whatever the
// names.
static bool all_have(struct plan *plan, struct hone_str name, uint32_t place)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct hone_profile *p = plan->profiles[i];
        uint32_t *places = places_of(plan, i);
        uint32_t at = place;
        if (at >= p->type_count || !same_name(hone_profile_str(p, p->types[at].type), name))
            if (!find_type(p, name, &at))
                return false;
        for (uint32_t k = 0; k < plan->type_count; k++)
            if (places[k] == at)
                return false;
        places[plan->type_count] = at;
    }
    return true;
}

static int find_common_types(struct plan *plan, struct hone_error *err)
{
    const struct hone_profile *first = plan->profiles[0];
    for (uint32_t i = 0; i < first->type_count; i++) {
        if (!all_have(plan, hone_profile_str(first, first->types[i].type), i))
            continue;
        plan->types[plan->type_count++] = (struct common){
            .name = hone_profile_text(first, first->types[i].type),
            .unit = hone_profile_text(first, first->types[i].unit),
        };
    }
    if (plan->type_count)
        return 0;
    for (size_t i = 1; i < plan->count; i++) { // one to name, if there is one
        const struct hone_profile *other = plan->profiles[i];
        if (other->type_count && first->type_count)
            return hone_error_set(err, -EINVAL,
                                  "the profiles have no sample type in common: the first has %s, "
                                  "number %zu has %s",
                                  hone_profile_text(first, first->types[0].type), i + 1,
                                  hone_profile_text(other, other->types[0].type));
    }
    return hone_error_set(err, -EINVAL, "the profiles have no sample type in common");
}

// Takes the finer of two units. False when they cannot be converted into each other.
static bool take_finer(const char **unit, const char *other)
{
    double ratio;
    if (!hone_unit_ratio(other, *unit, &ratio))
        return false;
    if (ratio < 1)
        *unit = other;
    return true;
}

static int find_units(struct plan *plan, struct hone_error *err)
{
    for (uint32_t i = 0; i < plan->type_count; i++) {
        const char *first = plan->types[i].unit;
        for (size_t k = 1; k < plan->count; k++) {
            const struct hone_profile *other = plan->profiles[k];
            const char *unit = hone_profile_text(other, other->types[places_of(plan, k)[i]].unit);
            if (!take_finer(&plan->types[i].unit, unit))
                return hone_error_set(err, -EINVAL,
                                      "the profiles do not fit: %s is in %s in the first, in %s in "
                                      "number %zu",
                                      plan->types[i].name, first, unit, k + 1);
        }
    }
    return 0;
}

static int find_period(struct plan *plan, struct hone_error *err)
{
    const struct hone_profile *first = NULL;
    for (size_t i = 0; i < plan->count; i++) {
        const struct hone_profile *p = plan->profiles[i];
        if (!is_known(p->period_type))
            continue;
        const char *unit = hone_profile_text(p, p->period_type.unit);
        if (!first) {
            first = p;
            plan->period_unit = unit;
        } else if (!same_name(hone_profile_str(p, p->period_type.type),
                              hone_profile_str(first, first->period_type.type)) ||
                   !take_finer(&plan->period_unit, unit)) {
            return other_period(first, p, i + 1, "put these profiles together", err);
        }
    }
    return 0;
}

static void keep_types(struct hone_profile *p, const struct plan *plan, const uint32_t *places)
{
    struct hone_profile_type types[HONE_PROFILE_TYPES_MAX];
    int64_t *values[HONE_PROFILE_TYPES_MAX];
    bool kept[HONE_PROFILE_TYPES_MAX] = {false};
    for (uint32_t i = 0; i < plan->type_count; i++) {
        types[i] = p->types[places[i]];
        values[i] = p->samples.values[places[i]];
        kept[places[i]] = true;
    }
    bool moved = plan->type_count != p->type_count;
    for (uint32_t i = 0; i < p->type_count; i++) {
        if (!kept[i])
            free(p->samples.values[i]);
        moved |= i < plan->type_count && places[i] != i;
        p->samples.values[i] = NULL;
    }
    memcpy(p->types, types, plan->type_count * sizeof *types);
    memcpy(p->samples.values, values, plan->type_count * sizeof *values);
    p->type_count = plan->type_count;
    uint32_t place;
    if (moved && !(p->default_type && find_type(p, hone_profile_str(p, p->default_type), &place)))
        p->default_type = p->types[0].type;
}

static int apply(struct hone_profile *p, const struct plan *plan, const uint32_t *places)
{
    keep_types(p, plan, places);
    double ratios[HONE_PROFILE_TYPES_MAX];
    for (uint32_t i = 0; i < plan->type_count; i++) {
        const struct common *type = &plan->types[i];
        (void)hone_unit_ratio(hone_profile_text(p, p->types[i].unit), type->unit, &ratios[i]);
        p->types[i] = (struct hone_profile_type){hone_profile_intern(p, type->name),
                                                 hone_profile_intern(p, type->unit)};
    }
    if (is_known(p->period_type)) {
        double ratio = 1;
        (void)hone_unit_ratio(hone_profile_text(p, p->period_type.unit), plan->period_unit, &ratio);
        p->period = hone_profile_scale_value(p->period, ratio);
        p->period_type.unit = hone_profile_intern(p, plan->period_unit);
    }
    int r = hone_profile_status(p);
    return r ? r : hone_profile_scale_types(p, ratios);
}

int hone_profile_make_compatible(struct hone_profile *const *profiles, size_t count,
                                 struct hone_error *err)
{
    if (count <= 1)
        return 0;
    HONE_CLEANUP(hone_freep)
    uint32_t *places = calloc(count, HONE_PROFILE_TYPES_MAX * sizeof *places);
    if (!places)
        return hone_error_set(err, -ENOMEM, "cannot put the profiles together");
    struct plan plan = {.profiles = profiles, .count = count, .places = places};
    int r = find_period(&plan, err);
    r = r ? r : find_common_types(&plan, err);
    r = r ? r : find_units(&plan, err);
    if (r)
        return r;
    for (size_t i = 0; !r && i < count; i++)
        r = apply(profiles[i], &plan, places_of(&plan, i));
    return r ? hone_error_set(err, r, "cannot put the profiles together") : 0;
}
