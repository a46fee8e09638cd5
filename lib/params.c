/* Sets of named parameters: names, ties, groups and ownership; nothing about how they are stepped or saved. */
#include <math.h>
#include <string.h>

#include "kit.h"

enum { NAME_MAX_BYTES = 255 };

tape_params *tape_params_create(void)
{
    if (tape_last_status() != TAPE_OK)
        return NULL;
    tape_params *set = tape__grow(NULL, 1, sizeof *set);
    if (set)
        *set = (tape_params){.lr_factor = 1, .weight_decay = -1};
    return set;
}

void tape_params_destroy(tape_params *set)
{
    if (!set)
        return;
    for (int64_t p = 0; p < set->param_count; p++)
        if (set->param[p].owned && tape_is_valid(set->leaf[p]))
            tape_free(set->leaf[p]);
    for (int64_t i = 0; i < set->name_count; i++)
        free(set->name[i].name);
    free(set->leaf);
    free(set->param);
    free(set->name);
    free(set);
}

/* ---- looking up -------------------------------------------------------------------------------------------------- */

static bool same_tensor(tape_tensor a, tape_tensor b)
{
    return a.generation == b.generation && a.slot == b.slot && a.flags == b.flags;
}

static int64_t find_leaf(const tape_params *set, tape_tensor leaf)
{
    for (int64_t p = 0; p < set->param_count; p++)
        if (same_tensor(set->leaf[p], leaf))
            return p;
    return -1;
}

static int64_t find_name(const tape_params *set, const char *name)
{
    for (int64_t i = 0; i < set->name_count; i++)
        if (strcmp(set->name[i].name, name) == 0)
            return i;
    return -1;
}

int64_t tape_params_count(const tape_params *set)
{
    return set ? set->name_count : 0;
}

const char *tape_params_name(const tape_params *set, int64_t i)
{
    return set && i >= 0 && i < set->name_count ? set->name[i].name : NULL;
}

tape_tensor tape_params_at(const tape_params *set, int64_t i)
{
    return set && i >= 0 && i < set->name_count ? set->leaf[set->name[i].param] : TAPE_NULL;
}

tape_tensor tape_params_get(const tape_params *set, const char *name)
{
    int64_t i = set && name ? find_name(set, name) : -1;
    if (i < 0)
        tape_fail(TAPE_ERROR_ARGUMENT, "params: there is no parameter \"%s\"",
                  name ? tape__shown_text(name, strlen(name)).text : "");
    return tape_params_at(set, i);
}

int64_t tape_params_numel(const tape_params *set)
{
    int64_t n = 0;
    for (int64_t p = 0; set && p < set->param_count; p++)
        n += set->param[p].numel;
    return n;
}

const char *tape__params_first_name(const tape_params *set, int64_t p)
{
    for (int64_t i = 0; i < set->name_count; i++)
        if (set->name[i].param == p)
            return set->name[i].name;
    return NULL;
}

/* ---- adding ------------------------------------------------------------------------------------------------------ */

static tape_status check_set(const tape_params *set)
{
    if (tape_last_status() != TAPE_OK)
        return tape_last_status();
    return set ? TAPE_OK : tape_fail(TAPE_ERROR_ARGUMENT, "params: expects a set, got NULL");
}

static tape_status check_name(const tape_params *set, const char *name)
{
    size_t n = name ? strlen(name) : 0;
    if (n == 0 || n > NAME_MAX_BYTES || !tape__is_utf8(name, n))
        return tape_fail(TAPE_ERROR_ARGUMENT, "params: expects a name of 1 to %d bytes of UTF-8, got \"%s\"",
                         NAME_MAX_BYTES, name ? tape__shown_text(name, n).text : "NULL");
    if (strncmp(name, "optim.", 6) == 0 || strncmp(name, "tape.", 5) == 0 || strcmp(name, "__metadata__") == 0)
        return tape_fail(TAPE_ERROR_ARGUMENT, "params: the name \"%s\" is reserved for files",
                         tape__shown_text(name, n).text);
    if (find_name(set, name) >= 0)
        return tape_fail(TAPE_ERROR_ARGUMENT, "params: there is a parameter \"%s\" already",
                         tape__shown_text(name, n).text);
    return TAPE_OK;
}

static tape_status check_leaf(const char *name, tape_tensor leaf)
{
    bool is_leaf = tape_is_leaf(leaf);
    tape_dtype dtype = tape_dtype_of(leaf);
    if (tape_last_status() != TAPE_OK)
        return tape_last_status();
    if (!is_leaf)
        return tape_fail(TAPE_ERROR_STATE, "params: \"%s\" is not a leaf", tape__shown_text(name, strlen(name)).text);
    if (dtype != TAPE_F32 && dtype != TAPE_F64)
        return tape_fail(TAPE_ERROR_DTYPE, "params: \"%s\" is %s, expected f32 or f64",
                         tape__shown_text(name, strlen(name)).text, tape_dtype_name(dtype));
    return TAPE_OK;
}

/* Room for one name and one leaf more. */
static tape_status make_room(tape_params *set)
{
    if (set->name_count == set->name_capacity) {
        int64_t room = 2 * set->name_capacity + 8;
        struct tape__param_name *name = tape__grow(set->name, room, sizeof *name);
        if (!name)
            return TAPE_ERROR_MEMORY;
        set->name = name;
        set->name_capacity = room;
    }
    if (set->param_count == set->param_capacity) {
        int64_t room = 2 * set->param_capacity + 8;
        tape_tensor *leaf = tape__grow(set->leaf, room, sizeof *leaf);
        set->leaf = leaf ? leaf : set->leaf;
        struct tape__param *param = leaf ? tape__grow(set->param, room, sizeof *param) : NULL;
        if (!param)
            return TAPE_ERROR_MEMORY;
        set->param = param;
        set->param_capacity = room;
    }
    return TAPE_OK;
}

tape_status tape_params_add(tape_params *set, const char *name, tape_tensor leaf)
{
    tape_status status = check_set(set);
    if (status == TAPE_OK)
        status = check_name(set, name);
    if (status == TAPE_OK)
        status = check_leaf(name, leaf);
    if (status == TAPE_OK)
        status = make_room(set);
    if (status != TAPE_OK)
        return status;
    size_t size = strlen(name) + 1;
    char *copy = tape__grow(NULL, (int64_t)size, 1);
    if (!copy)
        return TAPE_ERROR_MEMORY;
    memcpy(copy, name, size);
    int64_t p = find_leaf(set, leaf);
    if (p < 0) {
        p = set->param_count++;
        set->leaf[p] = leaf;
        set->param[p] = (struct tape__param){.numel = tape_numel(leaf),
                                             .dtype = tape_dtype_of(leaf),
                                             .lr_factor = set->lr_factor,
                                             .weight_decay = set->weight_decay};
    }
    set->name[set->name_count++] = (struct tape__param_name){copy, p};
    return TAPE_OK;
}

tape_status tape_params_own(tape_params *set, tape_tensor leaf)
{
    tape_status status = check_set(set);
    if (status != TAPE_OK)
        return status;
    int64_t p = find_leaf(set, leaf);
    if (p < 0)
        return tape_fail(TAPE_ERROR_ARGUMENT, "params: cannot own a leaf that was not added");
    set->param[p].owned = true;
    return TAPE_OK;
}

tape_tensor tape_params_new(tape_params *set, const char *name, tape_dtype dtype, tape_shape shape)
{
    if (check_set(set) != TAPE_OK || check_name(set, name) != TAPE_OK)
        return TAPE_NULL;
    tape_tensor leaf = tape_param(dtype, shape, NULL);
    if (tape_is_null(leaf))
        return TAPE_NULL;
    if (tape_params_add(set, name, leaf) != TAPE_OK) {
        tape_free(leaf);
        return TAPE_NULL;
    }
    set->param[set->param_count - 1].owned = true;
    return leaf;
}

/* 0 is the default, TAPE_OFF is 0; false if it is neither of these nor a finite positive number. */
static bool group_number(double given, double standard, double *number)
{
    *number = given == 0 ? standard : given == TAPE_OFF ? 0 : given;
    return given == TAPE_OFF || (given >= 0 && isfinite(given));
}

tape_status tape_params_group(tape_params *set, const tape_group_options *options)
{
    static const tape_group_options defaults;
    options = options ? options : &defaults;
    double lr_factor, weight_decay;
    tape_status status = check_set(set);
    if (status != TAPE_OK)
        return status;
    if (!group_number(options->lr_factor, 1, &lr_factor) || !group_number(options->weight_decay, -1, &weight_decay))
        return tape_fail(TAPE_ERROR_ARGUMENT, "params: a group's numbers must be finite and >= 0, or TAPE_OFF");
    set->lr_factor = lr_factor;
    set->weight_decay = weight_decay;
    return TAPE_OK;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

tape_status tape__params_check(const tape_params *set)
{
    tape_status status = check_set(set);
    if (status != TAPE_OK || tape_are_valid(set->leaf, set->param_count))
        return status;
    int64_t p = 0;
    while (tape_is_valid(set->leaf[p]))
        p++;
    const char *name = tape__params_first_name(set, p);
    return tape_fail(TAPE_ERROR_HANDLE, "params: \"%s\" has been freed", tape__shown_text(name, strlen(name)).text);
}

tape_status tape__params_result(const tape_params *set, tape_status status)
{
    if (status != TAPE_ERROR_HANDLE)
        return status;
    tape_clear();
    return tape__params_check(set);
}

tape_status tape_params_zero_grad(tape_params *set)
{
    tape_status status = check_set(set);
    if (status != TAPE_OK)
        return status;
    return tape__params_result(set, tape_zero_grads(set->leaf, set->param_count));
}
