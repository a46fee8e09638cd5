/* Optimisers as objects: options and their defaults, state, and which parameter is stepped with which numbers. The
   update formulas are in optim_update.h. */
#include <math.h>
#include <string.h>

#include "kit.h"
#include "tape/parallel.h"

/* ---- kinds ------------------------------------------------------------------------------------------------------- */

static const char *const kind_names[TAPE__OPTIM_KINDS] = {"sgd", "adam", "adamw", "rmsprop", "adagrad"};

const char *tape__optim_name(enum tape__optim_kind kind)
{
    return kind_names[kind];
}

const char *tape__optim_state_name(const tape_optim *optim, int k)
{
    const struct tape__optim_numbers *n = &optim->numbers;
    switch (optim->kind) {
    case TAPE__SGD:
        return k == 0 && n->momentum != 0 ? "momentum_buffer" : NULL;
    case TAPE__ADAM:
    case TAPE__ADAMW:
        return k == 0 ? "exp_avg" : k == 1 ? "exp_avg_sq" : n->amsgrad ? "max_exp_avg_sq" : NULL;
    case TAPE__RMSPROP:
        return k == 0        ? "square_avg"
               : k == 1      ? (n->momentum != 0 ? "momentum_buffer" : NULL)
               : n->centered ? "grad_avg"
                             : NULL;
    case TAPE__ADAGRAD:
        return k == 0 ? "sum" : NULL;
    case TAPE__OPTIM_KINDS:
        break;
    }
    return NULL;
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

/* Fill in `number`, whose name is for messages: 0 means `standard`, TAPE_OFF means 0. */
static bool number(enum tape__optim_kind kind, const char *name, double given, double standard, double limit,
                   double *out)
{
    *out = given == 0 ? standard : given == TAPE_OFF ? 0 : given;
    if (*out >= 0 && *out < limit)
        return true;
    tape_fail(TAPE_ERROR_ARGUMENT, "%s: %s is %g, expected a finite number >= 0%s", kind_names[kind], name, given,
              limit == 1 ? " and below 1" : "");
    return false;
}

static tape_status make_state(tape_optim *o)
{
    int64_t slots = o->params * TAPE__OPTIM_STATES;
    o->step = tape__grow(NULL, o->params, sizeof *o->step);
    o->state = tape__grow(NULL, slots, sizeof *o->state);
    o->update = tape__grow(NULL, o->params, sizeof *o->update);
    if (!o->step || !o->state || !o->update)
        return TAPE_ERROR_MEMORY;
    for (int64_t i = 0; i < slots; i++)
        o->state[i] = TAPE_NONE;
    for (int k = 0; k < TAPE__OPTIM_STATES; k++)
        o->has_state |= tape__optim_state_name(o, k) != NULL;
    for (int64_t p = 0; p < o->params; p++) {
        tape_tensor leaf = o->set->leaf[p];
        o->step[p] = 0;
        for (int k = 0; k < TAPE__OPTIM_STATES; k++)
            if (tape__optim_state_name(o, k))
                o->state[p * TAPE__OPTIM_STATES + k] = tape_const(tape_dtype_of(leaf), tape_shape_of(leaf), NULL);
        if (o->kind == TAPE__ADAGRAD && o->numbers.initial != 0)
            tape_init_constant(o->state[p * TAPE__OPTIM_STATES], o->numbers.initial);
    }
    return tape_last_status();
}

static tape_optim *make(tape_params *set, enum tape__optim_kind kind, const struct tape__optim_numbers *numbers)
{
    if (tape__params_check(set) != TAPE_OK)
        return NULL;
    tape_optim *o = tape__grow(NULL, 1, sizeof *o);
    if (!o)
        return NULL;
    *o = (tape_optim){.set = set, .kind = kind, .numbers = *numbers, .params = set->param_count};
    if (make_state(o) == TAPE_OK)
        return o;
    tape_optim_destroy(o);
    return NULL;
}

void tape_optim_destroy(tape_optim *o)
{
    if (!o)
        return;
    for (int64_t i = 0; o->state && i < o->params * TAPE__OPTIM_STATES; i++)
        if (tape_is_valid(o->state[i]))
            tape_free(o->state[i]);
    free(o->state);
    free(o->step);
    free(o->update);
    free(o);
}

tape_optim *tape_optim_sgd(tape_params *set, const tape_sgd_options *options)
{
    static const tape_sgd_options defaults;
    const tape_sgd_options *from = options ? options : &defaults;
    struct tape__optim_numbers n = {.nesterov = from->nesterov};
    if (tape_last_status() != TAPE_OK)
        return NULL;
    if (from->lr == 0) {
        tape_fail(TAPE_ERROR_ARGUMENT, "sgd: there is no default learning rate, set one");
        return NULL;
    }
    if (!number(TAPE__SGD, "lr", from->lr, 0, INFINITY, &n.lr) ||
        !number(TAPE__SGD, "momentum", from->momentum, 0, 1, &n.momentum) ||
        !number(TAPE__SGD, "dampening", from->dampening, 0, INFINITY, &n.dampening) ||
        !number(TAPE__SGD, "weight_decay", from->weight_decay, 0, INFINITY, &n.weight_decay))
        return NULL;
    if (n.nesterov && (n.momentum == 0 || n.dampening != 0)) {
        tape_fail(TAPE_ERROR_ARGUMENT, "sgd: nesterov needs a momentum and no dampening");
        return NULL;
    }
    return make(set, TAPE__SGD, &n);
}

static __attribute__((cold)) tape_optim *make_adam(tape_params *set, enum tape__optim_kind kind,
                                                   const tape_adam_options *options)
{
    static const tape_adam_options defaults;
    const tape_adam_options *from = options ? options : &defaults;
    struct tape__optim_numbers n = {.amsgrad = from->amsgrad};
    double decay = kind == TAPE__ADAMW ? 0.01 : 0;
    if (tape_last_status() != TAPE_OK || !number(kind, "lr", from->lr, 0.001, INFINITY, &n.lr) ||
        !number(kind, "beta1", from->beta1, 0.9, 1, &n.beta1) ||
        !number(kind, "beta2", from->beta2, 0.999, 1, &n.beta2) ||
        !number(kind, "eps", from->eps, 1e-8, INFINITY, &n.eps) ||
        !number(kind, "weight_decay", from->weight_decay, decay, INFINITY, &n.weight_decay))
        return NULL;
    return make(set, kind, &n);
}

tape_optim *tape_optim_adam(tape_params *set, const tape_adam_options *options)
{
    return make_adam(set, TAPE__ADAM, options);
}

tape_optim *tape_optim_adamw(tape_params *set, const tape_adam_options *options)
{
    return make_adam(set, TAPE__ADAMW, options);
}

__attribute__((cold)) tape_optim *tape_optim_rmsprop(tape_params *set, const tape_rmsprop_options *options)
{
    static const tape_rmsprop_options defaults;
    const tape_rmsprop_options *from = options ? options : &defaults;
    struct tape__optim_numbers n = {.centered = from->centered};
    if (tape_last_status() != TAPE_OK || !number(TAPE__RMSPROP, "lr", from->lr, 0.01, INFINITY, &n.lr) ||
        !number(TAPE__RMSPROP, "alpha", from->alpha, 0.99, INFINITY, &n.alpha) ||
        !number(TAPE__RMSPROP, "eps", from->eps, 1e-8, INFINITY, &n.eps) ||
        !number(TAPE__RMSPROP, "weight_decay", from->weight_decay, 0, INFINITY, &n.weight_decay) ||
        !number(TAPE__RMSPROP, "momentum", from->momentum, 0, 1, &n.momentum))
        return NULL;
    return make(set, TAPE__RMSPROP, &n);
}

__attribute__((cold)) tape_optim *tape_optim_adagrad(tape_params *set, const tape_adagrad_options *options)
{
    static const tape_adagrad_options defaults;
    const tape_adagrad_options *from = options ? options : &defaults;
    struct tape__optim_numbers n = {.lr = 0};
    if (tape_last_status() != TAPE_OK || !number(TAPE__ADAGRAD, "lr", from->lr, 0.01, INFINITY, &n.lr) ||
        !number(TAPE__ADAGRAD, "lr_decay", from->lr_decay, 0, INFINITY, &n.lr_decay) ||
        !number(TAPE__ADAGRAD, "weight_decay", from->weight_decay, 0, INFINITY, &n.weight_decay) ||
        !number(TAPE__ADAGRAD, "initial", from->initial, 0, INFINITY, &n.initial) ||
        !number(TAPE__ADAGRAD, "eps", from->eps, 1e-10, INFINITY, &n.eps))
        return NULL;
    return make(set, TAPE__ADAGRAD, &n);
}

__attribute__((cold)) tape_optim *tape_optim_named(const char *name, tape_params *set, double lr)
{
    if (tape_last_status() != TAPE_OK)
        return NULL;
    if (name && strcmp(name, "sgd") == 0)
        return tape_optim_sgd(set, &(tape_sgd_options){.lr = lr == 0 ? 0.1 : lr});
    if (name && strcmp(name, "momentum") == 0)
        return tape_optim_sgd(set, &(tape_sgd_options){.lr = lr == 0 ? 0.01 : lr, .momentum = 0.9, .nesterov = true});
    if (name && strcmp(name, "adam") == 0)
        return tape_optim_adam(set, &(tape_adam_options){.lr = lr});
    if (name && strcmp(name, "adamw") == 0)
        return tape_optim_adamw(set, &(tape_adam_options){.lr = lr});
    if (name && strcmp(name, "rmsprop") == 0)
        return tape_optim_rmsprop(set, &(tape_rmsprop_options){.lr = lr});
    if (name && strcmp(name, "adagrad") == 0)
        return tape_optim_adagrad(set, &(tape_adagrad_options){.lr = lr});
    tape_fail(TAPE_ERROR_ARGUMENT, "optim: \"%s\" is none of sgd, momentum, adam, adamw, rmsprop, adagrad",
              name ? tape__shown_text(name, strlen(name)).text : "NULL");
    return NULL;
}

/* ---- stepping ---------------------------------------------------------------------------------------------------- */

static tape_status check_state(const tape_optim *o)
{
    if (tape_last_status() != TAPE_OK)
        return tape_last_status();
    if (!o)
        return tape_fail(TAPE_ERROR_ARGUMENT, "optim_step: expects an optimiser, got NULL");
    if (o->set->param_count != o->params)
        return tape_fail(TAPE_ERROR_STATE, "optim_step: the set has %lld parameters now and had %lld when %s was made",
                         (long long)o->set->param_count, (long long)o->params, kind_names[o->kind]);
    for (int64_t i = 0; o->has_state && i < o->params * TAPE__OPTIM_STATES; i++)
        if (!tape_is_none(o->state[i]) && !tape_is_valid(o->state[i]))
            return tape_fail(TAPE_ERROR_HANDLE, "optim_step: the optimiser's state has been freed");
    return TAPE_OK;
}

enum { PIECE = 1 << 14 }; /* elements of one call of the parallel loop */

typedef struct update {
    struct tape__optim_job job;
    bool f64;
} update;

static void *shifted(const void *from, int64_t elements, size_t item)
{
    return from ? (char *)(uintptr_t)from + (size_t)elements * item : NULL;
}

/* Every element is stepped by itself, so pieces give the same bits as the whole. */
static void update_piece(void *arg, int64_t i)
{
    const update *u = arg;
    struct tape__optim_job part = u->job;
    size_t item = u->f64 ? sizeof(double) : sizeof(float);
    int64_t from = i * PIECE;
    part.n = part.n - from < PIECE ? part.n - from : PIECE;
    part.g = shifted(part.g, from, item);
    part.p = shifted(part.p, from, item);
    for (int k = 0; k < TAPE__OPTIM_STATES; k++)
        part.state[k] = shifted(part.state[k], from, item);
    if (u->f64)
        tape__optim_update_f64(&part);
    else
        tape__optim_update_f32(&part);
}

/* `u` holds what is the same for all parameters. */
static void step_one(tape_optim *o, int64_t p, const tape_update *leaf, update *u)
{
    const struct tape__param *param = &o->set->param[p];
    struct tape__optim_job *job = &u->job;
    u->f64 = leaf->dtype == TAPE_F64;
    job->numbers.lr = o->numbers.lr * param->lr_factor;
    job->numbers.weight_decay = param->weight_decay >= 0 ? param->weight_decay : o->numbers.weight_decay;
    job->step = ++o->step[p];
    job->n = leaf->numel;
    job->g = leaf->gradient;
    job->p = leaf->data;
    const tape_tensor *state = &o->state[p * TAPE__OPTIM_STATES];
    for (int k = 0; o->has_state && k < TAPE__OPTIM_STATES; k++)
        job->state[k] = tape_is_none(state[k]) ? NULL : tape_data_mut(state[k]);
    if (job->n >= 2 * PIECE)
        tape_parallel_for((job->n + PIECE - 1) / PIECE, update_piece, u);
    else if (u->f64)
        tape__optim_update_f64(job);
    else
        tape__optim_update_f32(job);
}

tape_status tape_optim_step(tape_optim *o)
{
    tape_status status = check_state(o);
    if (status == TAPE_OK)
        status = tape__params_result(o->set, tape_updates_of(o->set->leaf, o->params, o->update));
    if (status != TAPE_OK)
        return status;
    update u = {.job = {.kind = o->kind, .numbers = o->numbers}};
    for (int64_t p = 0; p < o->params; p++)
        if (o->update[p].gradient)
            step_one(o, p, &o->update[p], &u);
    o->steps++;
    return TAPE_OK;
}

tape_status tape_optim_set_lr(tape_optim *o, double lr)
{
    if (tape_last_status() != TAPE_OK)
        return tape_last_status();
    if (!o || !(lr >= 0 && isfinite(lr)))
        return tape_fail(TAPE_ERROR_ARGUMENT, "optim_set_lr: expects a finite rate >= 0, got %g", lr);
    o->numbers.lr = lr;
    return TAPE_OK;
}

double tape_optim_lr(const tape_optim *o)
{
    return o ? o->numbers.lr : 0;
}

int64_t tape_optim_steps(const tape_optim *o)
{
    return o ? o->steps : 0;
}

const char *tape_optim_name(const tape_optim *o)
{
    return o ? kind_names[o->kind] : "";
}
