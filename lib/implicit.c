/* tape_implicit(): the derivative of a solution from its equation. Does not know how the solution was found. */
#include "tape/implicit.h"

#include <string.h>

#include "gmres.h"
#include "recompute.h"
#include "sweep.h"
#include "tape/autodiff.h"

#define DENSE 64
#define RESTART 50

/* What the record keeps. Its inputs are the n thetas, then what fn read besides. */
typedef struct equation {
    tape_function *fn;
    void *user;
    int n;
    tape_implicit_options options;
} equation;

/* f(x, theta); null after an error. x and theta lie in one array. */
static tape_tensor residual(tape *t, const equation *e, const tape_tensor *x)
{
    tape_tensor r = e->fn(e->user, x, e->n + 1);
    if (t->status == TAPE_OK && !tape_is_valid(r))
        tape__error(t, TAPE_ERROR_CALLBACK, "its function returned no tensor and no error");
    if (t->status != TAPE_OK)
        return TAPE_NULL;
    const tape__node *to = tape__at(t, tape__resolve(t, r, 0)), *from = tape__at(t, tape__resolve(t, x[0], 0));
    if (to->layout->dense != from->layout->dense || to->dtype != from->dtype) {
        tape__error(t, TAPE_ERROR_SHAPE, "the equation gives %s of %s for an unknown %s of %s",
                    TAPE__LAYOUT_TEXT(to->layout), tape_dtype_name((tape_dtype)to->dtype),
                    TAPE__LAYOUT_TEXT(from->layout), tape_dtype_name((tape_dtype)from->dtype));
        return TAPE_NULL;
    }
    return e->options.fixed_point ? tape_sub(r, x[0]) : r;
}

/* ---- the linear solve -------------------------------------------------------------------------------------------- */

/* w of (dr/dx)' w = g through the Jacobian. */
static tape_tensor solve_dense(tape_tensor r, tape_tensor x, tape_tensor g, bool create_graph)
{
    int64_t n = tape_numel(x);
    const tape_jacobian_options options = {.create_graph = create_graph, .mode = TAPE_JACOBIAN_ROWS};
    tape_tensor j = tape_jacobian(tape_reshape(r, TAPE_SHAPE(n)), x, &options);
    if (tape_is_none(j))
        j = tape_zeros(tape_dtype_of(x), TAPE_SHAPE(n, n));
    j = tape_transpose(tape_reshape(j, TAPE_SHAPE(n, n)), 0, 1);
    return tape_reshape(tape_solve(j, tape_reshape(g, TAPE_SHAPE(n))), tape_shape_of(x));
}

typedef struct products {
    tape *t;
    tape_tensor r, x;
    int64_t n;
} products;

static void to_doubles(const tape *t, tape_tensor x, int64_t n, double *out)
{
    const tape__node *node = tape__at(t, x.slot & ~TAPE__LAST_USE);
    tape__copy_dense(t, node->layout, (tape_dtype)node->dtype, node->data, out);
    for (int64_t i = n; node->dtype == TAPE_F32 && i-- > 0;) {
        float value;
        memcpy(&value, (const char *)out + (size_t)i * sizeof value, sizeof value);
        out[i] = (double)value;
    }
}

static tape_tensor from_doubles(tape_tensor like, const double *values)
{
    tape_dtype dtype = tape_dtype_of(like);
    tape_tensor x = tape_from(TAPE_F64, tape_shape_of(like), values);
    return dtype == TAPE_F64 ? x : tape_cast(x, dtype);
}

/* y = (dr/dx)' v, and nothing else stays. */
static bool multiply(void *user, const double *v, double *y)
{
    const products *p = user;
    uint32_t count = p->t->count;
    tape_tensor cotangent = from_doubles(p->x, v), g;
    bool ok = !tape_is_null(cotangent) && tape_grad(&p->r, 1, &cotangent, &p->x, 1, NULL, &g) == TAPE_OK;
    if (ok && tape_is_none(g))
        memset(y, 0, (size_t)p->n * sizeof *y);
    else if (ok)
        to_doubles(p->t, g, p->n, y);
    tape__truncate(p->t, count);
    return ok;
}

static tape_tensor solve_by_products(tape *t, const equation *e, tape_tensor r, tape_tensor x, tape_tensor g)
{
    const tape_implicit_options *o = &e->options;
    bool narrow = tape_dtype_of(x) == TAPE_F32;
    products p = {t, r, x, tape_numel(x)};
    tape__gmres s = {.multiply = multiply, .user = &p, .n = p.n, .restart = p.n < RESTART ? (int)p.n : RESTART};
    s.iterations = o->iterations ? o->iterations : p.n < 50 ? 100 : 2 * p.n;
    s.tolerance = o->tolerance > 0 ? o->tolerance : narrow ? 1e-6 : 1e-12;
    int64_t work = tape__gmres_work(p.n, s.restart);
    size_t bytes = work < 0 ? SIZE_MAX : (size_t)(work + 2 * p.n) * sizeof(double);
    double *memory = tape__arena_get(&t->arena, bytes);
    if (!memory) {
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for a system of %lld unknowns", (long long)p.n);
        return TAPE_NULL;
    }
    s.work = memory;
    double *b = memory + work, *w = b + p.n;
    to_doubles(t, g, p.n, b);
    t->paused++;
    double left = tape__gmres_solve(&s, b, w);
    tape_tensor solution = from_doubles(x, w);
    t->paused--;
    if (t->status == TAPE_OK && !(left <= s.tolerance)) /* NaN, too */
        tape__error(t, TAPE_ERROR_STATE, "GMRES has not converged: residual %.2g after %lld products", left,
                    (long long)s.iterations);
    tape__arena_put(&t->arena, memory, bytes);
    return solution;
}

/* ---- derivatives ------------------------------------------------------------------------------------------------- */

/* The equation that w itself solves, so that it has derivatives: (dr/dx)' w - g = 0, of w, g, x and the thetas. */
static tape_tensor adjoint_equation(void *user, const tape_tensor *x, int n)
{
    const equation *e = user;
    const tape_grad_options recorded = {.create_graph = true};
    tape *t = tape_current();
    (void)n;
    tape_tensor r = residual(t, e, x + 2), product = TAPE_NULL;
    if (tape_is_null(r) || tape_grad(&r, 1, x, x + 2, 1, &recorded, &product) != TAPE_OK)
        return TAPE_NULL;
    return tape_is_none(product) ? tape_neg(x[1]) : tape_sub(product, x[1]);
}

static tape_tensor with_derivatives(tape *t, const equation *e, tape_tensor w, tape_tensor g, const tape_tensor *x)
{
    size_t bytes = (size_t)(e->n + 2) * sizeof(tape_tensor);
    equation *kept = tape__arena_get(&t->arena, sizeof *kept); /* with the records that refer to it */
    tape_tensor *all = tape__arena_get(&t->arena, bytes);
    if (!kept || !all) {
        tape__error(t, TAPE_ERROR_MEMORY, "out of memory for %d tensors", e->n);
        return TAPE_NULL;
    }
    *kept = *e;
    all[0] = g;
    memcpy(all + 1, x, (size_t)(e->n + 1) * sizeof *x);
    tape_implicit_options options = e->options;
    options.fixed_point = false;
    tape_tensor y = tape_implicit(adjoint_equation, kept, w, all, e->n + 2, &options);
    tape__arena_put(&t->arena, all, bytes);
    return y;
}

static tape_tensor solve(tape *t, const equation *e, tape_tensor r, const tape_tensor *x, tape_tensor g,
                         bool create_graph)
{
    if (tape_numel(x[0]) <= (e->options.dense ? e->options.dense : DENSE))
        return solve_dense(r, x[0], g, create_graph);
    tape_tensor w = solve_by_products(t, e, r, x[0], g);
    return create_graph && t->status == TAPE_OK ? with_derivatives(t, e, w, g, x) : w;
}

/* -(df/dtheta)' w with (df/dx)' w = g */
static tape_status implicit_vjp(tape_custom_vjp *v)
{
    const equation *e = v->attr;
    tape *t = tape_current();
    const tape_grad_options options = {.create_graph = v->create_graph};
    size_t bytes = (size_t)(e->n + 1) * sizeof(tape_tensor);
    tape_tensor *x = tape__arena_get(&t->arena, bytes);
    if (!x)
        return tape_fail(TAPE_ERROR_MEMORY, "implicit: out of memory for %d tensors", e->n);
    x[0] = v->y[0];
    memcpy(x + 1, v->x, (size_t)e->n * sizeof *x);
    tape_tensor r = residual(t, e, x);
    if (!tape_is_null(r) && tape_numel(r) > 0) {
        tape_tensor w = tape_neg(solve(t, e, r, x, v->gy[0], v->create_graph));
        if (t->status == TAPE_OK)
            tape_grad(&r, 1, &w, v->x, v->n, &options, v->gx);
        tape__count_once(v, e->n);
    }
    tape__arena_put(&t->arena, x, bytes);
    return t->status;
}

static const tape__own_op implicit_op = {{.name = "implicit", .vjp = implicit_vjp}, NULL};

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* What the equation reads, and whether it fits; `x` holds the unknown and the thetas. */
static bool try_equation(tape *t, const equation *e, tape_tensor *x, tape__reads *reads)
{
    uint32_t count = t->count;
    tape__callback outer = tape__enter_callback(t);
    x[0] = tape_detach(x[0]);
    bool ok = !tape_is_null(residual(t, e, x)) && tape__reads_scan(t, reads, count, count);
    tape__leave_callback(t, outer);
    tape__truncate(t, count);
    return ok;
}

static tape_tensor run(tape *t, const equation *e, tape_tensor solution, const tape_tensor *theta)
{
    tape__reads reads = {0};
    size_t bytes = (size_t)(e->n + 1) * sizeof(tape_tensor);
    tape_tensor *x = tape__arena_get(&t->arena, bytes), y = solution;
    bool ok = x || tape__error(t, TAPE_ERROR_MEMORY, "out of memory for %d tensors", e->n);
    for (int i = 0; i <= e->n && ok; i++) {
        x[i] = i ? theta[i - 1] : solution;
        ok = tape__resolve(t, x[i], i) != TAPE__NO_SLOT && (!i || tape__reads_add(t, &reads, x[i]));
    }
    if (ok && tape_dtype_of(solution) > TAPE_F64)
        ok = tape__error(t, TAPE_ERROR_DTYPE, "the solution is %s, not f32 or f64",
                         tape_dtype_name(tape_dtype_of(solution)));
    ok = ok && try_equation(t, e, x, &reads) && tape__truncate_keeping(t, t->count, &y, 1);
    if (ok && t->paused == 0)
        ok = tape__record_after(t, &implicit_op, &reads, e, sizeof *e, &y, 1);
    tape__reads_free(t, &reads);
    if (x)
        tape__arena_put(&t->arena, x, bytes);
    return ok ? y : TAPE_NULL;
}

tape_tensor tape_implicit(tape_function *fn, void *user, tape_tensor solution, const tape_tensor *theta, int n,
                          const tape_implicit_options *options)
{
    TAPE__BEGIN_COMPOSITE("implicit");
    equation e;
    memset(&e, 0, sizeof e);
    e.fn = fn;
    e.user = user;
    e.n = n;
    if (options)
        e.options = *options;
    tape_tensor y = TAPE_NULL;
    if (!fn || n < 0 || n > UINT16_MAX || e.options.dense < 0 || e.options.iterations < 0)
        tape__error(t, TAPE_ERROR_ARGUMENT, "needs a function and no negative number, got n = %d", n);
    else
        y = run(t, &e, solution, theta);
    t->composite_depth--;
    t->op_name = before;
    return y;
}
