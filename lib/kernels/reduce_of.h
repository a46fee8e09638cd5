/* Knows reductions over any axes for dtype T. Included once for each dtype T. */

#define VEC FOR(vec)
#define ELEM FOR(elem)
#define UNIT FOR(unit)
#define WIDTH FOR(WIDTH)
#define REDUCER FOR(reducer)

/* One reduction under way. The second pass, if any, is given what finish_first() makes of the result of the first. */
typedef struct FOR(job) {
    const tape__reduce_args *args;
    const tape__split *split;
    const REDUCER *first, *second;
    const FOR(column_reducer) * first_column, *second_column;
    const ELEM *x;
    ELEM *y;
    ELEM divisor; /* of the result */
    int column;   /* the axis of the tile, or -1 */
    int64_t column_size, column_y_stride;
    int64_t tile; /* columns */
    int64_t per_item;
    tape__split outer; /* the kept axes but the column */
    int64_t outer_y_stride[8];
} FOR(job);

static ELEM FOR(one_log)(ELEM x)
{
    return FOR(log)(FOR(splat)(x))[0];
}

/* What the second pass subtracts. */
static ELEM FOR(finish_first)(const FOR(job) * j, ELEM value)
{
    if (j->args->reduction == TAPE__VARIANCE)
        return value / (ELEM)j->split->reduced;
    return value - value == 0 ? value : 0;
}

static void FOR(finish)(const FOR(job) * j, ELEM value, ELEM c, ELEM *y)
{
    if (j->args->reduction == TAPE__LOGSUMEXP)
        value = c + FOR(one_log)(value);
    else if (j->args->reduction == TAPE__MEAN || j->args->reduction == TAPE__VARIANCE)
        value /= j->divisor;
    *y = j->args->accumulate ? *y + value : value;
}

/* ---- runs -------------------------------------------------------------------------------------------------------- */

/* The next *n <= PIECE elements, side by side: where they lie, and then perhaps fewer, or in the buffer. */
static const ELEM *FOR(gather)(struct cursor *c, const ELEM *x, int64_t *n, ELEM *buffer)
{
    const tape__split *s = c->split;
    const int last = s->reduced_rank - 1;
    const int64_t stride = s->reduced_stride[last];
    for (int64_t done = 0, run; done < *n; done += run) {
        const ELEM *from = x + c->at;
        run = at_most(*n - done, s->reduced_size[last] - c->index[last]);
        if (stride == 1 && done == 0 && (run == *n || run >= 2 * WIDTH)) {
            *n = run == *n ? run : run / (2 * WIDTH) * (2 * WIDTH);
            advance(c, *n);
            return from;
        }
        advance(c, run);
        if (stride == 1)
            memcpy(buffer + done, from, (size_t)run * sizeof *from);
        for (int64_t i = 0; stride != 1 && i < run; i++)
            buffer[done + i] = from[i * stride];
    }
    return buffer;
}

/* Elements [begin, end) of the run that starts at x; begin is a multiple of BLOCK. */
static ELEM FOR(reduce_part)(const FOR(job) * j, const REDUCER *r, const ELEM *x, int64_t begin, int64_t end, ELEM c)
{
    const tape__split *s = j->split;
    if (s->reduced_rank == 0 || (s->reduced_rank == 1 && s->reduced_stride[0] == 1))
        return FOR(reduce_run)(r, end - begin, x + begin, c);
    if (begin >= end)
        return r->neutral;
    struct cursor cursor = cursor_at(s, begin);
    FOR(tree) tree;
    tree.count = 0;
    while (begin < end) {
        FOR(lanes) lanes = FOR(no_lanes)(r);
        for (int64_t stop = at_most(end, begin + BLOCK); begin < stop;) {
            ELEM buffer[PIECE];
            int64_t n = at_most(PIECE, stop - begin);
            const ELEM *piece = FOR(gather)(&cursor, x, &n, buffer);
            r->take(&lanes, n, piece, c);
            begin += n;
        }
        FOR(tree_push)(&tree, r, r->fold(&lanes));
    }
    return FOR(tree_result)(&tree, r);
}

static const ELEM *FOR(run_start)(const FOR(job) * j, int64_t i)
{
    const tape__split *s = j->split;
    return j->x + offset_at(s->kept_rank, s->kept_size, s->kept_stride, i);
}

static void FOR(run_item)(void *arg, int64_t item)
{
    const FOR(job) *j = arg;
    int64_t n = j->split->reduced, end = at_most(j->split->kept, (item + 1) * j->per_item);
    for (int64_t i = item * j->per_item; i < end; i++) {
        const ELEM *x = FOR(run_start)(j, i);
        ELEM value = FOR(reduce_part)(j, j->first, x, 0, n, 0), c = 0;
        if (j->second) {
            c = FOR(finish_first)(j, value);
            value = FOR(reduce_part)(j, j->second, x, 0, n, c);
        }
        FOR(finish)(j, value, c, &j->y[i]);
    }
}

/* One long run, its pieces in parallel. */
typedef struct FOR(long_run) {
    const FOR(job) * job;
    const REDUCER *reducer;
    const ELEM *x;
    int64_t piece;
    ELEM c, part[SEGMENTS];
} FOR(long_run);

static void FOR(long_run_item)(void *arg, int64_t item)
{
    FOR(long_run) *l = arg;
    int64_t begin = item * l->piece, end = at_most(l->job->split->reduced, begin + l->piece);
    l->part[item] = FOR(reduce_part)(l->job, l->reducer, l->x, begin, end, l->c);
}

static ELEM FOR(reduce_long_run)(const struct tape__parallel *p, const FOR(job) * j, const REDUCER *r, const ELEM *x,
                                 ELEM c)
{
    FOR(long_run) l = {.job = j, .reducer = r, .x = x, .c = c};
    l.piece = piece_of(j->split->reduced, ITEM, SEGMENTS);
    int64_t count = pieces(j->split->reduced, l.piece);
    tape__parallel_for(p, count, FOR(long_run_item), &l);
    FOR(tree) tree;
    tree.count = 0;
    for (int64_t k = 0; k < count; k++)
        FOR(tree_push)(&tree, r, l.part[k]);
    return FOR(tree_result)(&tree, r);
}

static void FOR(reduce_runs)(const struct tape__parallel *p, FOR(job) * j)
{
    int64_t kept = j->split->kept, n = j->split->reduced;
    if (!p || kept >= FEW || n < 2 * ITEM) {
        j->per_item = n < ITEM ? ITEM / (n > 0 ? n : 1) : 1;
        tape__parallel_for(p, pieces(kept, j->per_item), FOR(run_item), j);
        return;
    }
    for (int64_t i = 0; i < kept; i++) {
        const ELEM *x = FOR(run_start)(j, i);
        ELEM value = FOR(reduce_long_run)(p, j, j->first, x, 0), c = 0;
        if (j->second) {
            c = FOR(finish_first)(j, value);
            value = FOR(reduce_long_run)(p, j, j->second, x, c);
        }
        FOR(finish)(j, value, c, &j->y[i]);
    }
}

/* ---- columns ----------------------------------------------------------------------------------------------------- */

static void FOR(fill_tile)(FOR(tile) * tile, int columns, ELEM value)
{
    for (int i = 0; i < columns; i += WIDTH)
        FOR(unit_store)(tile->lane + i, FOR(unit_splat)(value));
}

/* One pass over a tile: the first or the second, whose first row is at x. */
typedef struct FOR(tile_pass) {
    const FOR(job) * job;
    const FOR(column_reducer) * reducer;
    ELEM neutral;
    const ELEM *x;
    int columns;
    const FOR(tile) * c;
    int64_t piece; /* rows of one parallel iteration */
    FOR(tile) * part;
} FOR(tile_pass);

/* Rows [begin, end); begin is a multiple of ROWS. */
static void FOR(reduce_rows)(const FOR(tile_pass) * t, int64_t begin, int64_t end, FOR(tile) * value)
{
    FOR(fill_tile)(value, t->columns, t->neutral);
    if (begin >= end)
        return;
    struct cursor cursor = cursor_at(t->job->split, begin);
    FOR(tile_tree) tree;
    tree.count = 0;
    const bool once = end - begin <= ROWS;
    while (begin < end) {
        int64_t offset[ROWS];
        int rows = (int)at_most(ROWS, end - begin);
        for (int k = 0; k < rows; k++) {
            offset[k] = cursor.at;
            advance(&cursor, 1);
        }
        FOR(fill_tile)(value, t->columns, t->neutral);
        t->reducer->take(value, t->columns, rows, t->x, offset, t->c);
        if (once)
            return;
        FOR(tile_push)(&tree, t->reducer, value, t->columns);
        begin += rows;
    }
    FOR(tile_result)(&tree, t->reducer, value, t->columns);
}

static void FOR(long_tile_item)(void *arg, int64_t item)
{
    const FOR(tile_pass) *t = arg;
    int64_t begin = item * t->piece, end = at_most(t->job->split->reduced, begin + t->piece);
    FOR(reduce_rows)(t, begin, end, &t->part[item]);
}

/* All rows; with p, in parallel pieces. */
static void FOR(run_pass)(const struct tape__parallel *p, FOR(tile_pass) * t, FOR(tile) * value)
{
    int64_t n = t->job->split->reduced;
    if (!p) {
        FOR(reduce_rows)(t, 0, n, value);
        return;
    }
    FOR(tile) part[TILE_SEGMENTS];
    FOR(tile_tree) tree;
    tree.count = 0;
    t->piece = piece_of(n, ROWS, TILE_SEGMENTS);
    t->part = part;
    tape__parallel_for(p, pieces(n, t->piece), FOR(long_tile_item), t);
    for (int64_t k = 0; k < pieces(n, t->piece); k++)
        FOR(tile_push)(&tree, t->reducer, &part[k], t->columns);
    FOR(tile_result)(&tree, t->reducer, value, t->columns);
}

/* Where tile number `item` starts in x and y. A tile narrower than a unit reaches back over `skip` columns of the one
   before it where there is one. */
typedef struct FOR(place) {
    const ELEM *x;
    ELEM *y;
    int columns, skip;
} FOR(place);

static FOR(place) FOR(place_of)(const FOR(job) * j, int64_t item)
{
    int64_t across = pieces(j->column_size, j->tile), outer = item / across;
    int64_t first = item % across * j->tile, left = j->column_size - first;
    FOR(place) place = {.columns = (int)at_most(j->tile, left)};
    if (left < WIDTH && first > 0) {
        place.skip = WIDTH - place.columns;
        place.columns += place.skip;
        first -= place.skip;
    }
    const tape__split *o = &j->outer;
    place.x = j->x + first + offset_at(o->kept_rank, o->kept_size, o->kept_stride, outer);
    place.y = j->y + first * j->column_y_stride + offset_at(o->kept_rank, o->kept_size, j->outer_y_stride, outer);
    return place;
}

/* The units of a tile whose results lie side by side; the last unit may overlap the one before it. */
static void FOR(finish_units)(const FOR(job) * j, const FOR(place) * place, const FOR(tile) * value)
{
    const VEC divisor = FOR(splat)(j->args->reduction == TAPE__MEAN ? j->divisor : 1);
    const int units = (place->columns + WIDTH - 1) / WIDTH, last = FOR(first_column)(units - 1, place->columns);
    UNIT end = FOR(unit_splat)(0);
    if (j->args->accumulate)
        end = FOR(unit_load_upto)(place->y + last, place->columns);
    for (int i = 0; i < units; i++) {
        UNIT u = FOR(unit_load)(value->lane + i * WIDTH);
        ELEM *y = place->y + FOR(first_column)(i, place->columns);
        PARTWISE(u.part[k] /= divisor;)
        if (j->args->accumulate) {
            UNIT held = i < units - 1 ? FOR(unit_load)(y) : end;
            PARTWISE(u.part[k] = held.part[k] + u.part[k];)
        }
        FOR(unit_store_upto)(y, u, place->columns);
    }
}

static void FOR(finish_tile)(const FOR(job) * j, const FOR(place) * place, const FOR(tile) * value, const FOR(tile) * c)
{
    const tape__reduction reduction = j->args->reduction;
    if (reduction != TAPE__LOGSUMEXP && reduction != TAPE__VARIANCE && j->column_y_stride == 1 && !place->skip) {
        FOR(finish_units)(j, place, value);
        return;
    }
    for (int i = place->skip; i < place->columns; i++) {
        int l = FOR(lane_of)(i, place->columns);
        FOR(finish)(j, value->lane[l], c->lane[l], place->y + i * j->column_y_stride);
    }
}

static void FOR(reduce_tile)(const struct tape__parallel *p, const FOR(job) * j, int64_t number)
{
    FOR(place) place = FOR(place_of)(j, number);
    FOR(tile) value, c;
    FOR(fill_tile)(&c, place.columns, 0);
    FOR(tile_pass) t = {.job = j, .reducer = j->first_column, .neutral = j->first->neutral, .x = place.x, .c = &c};
    t.columns = place.columns;
    FOR(run_pass)(p, &t, &value);
    if (j->second) {
        for (int i = 0; i < (place.columns + WIDTH - 1) / WIDTH * WIDTH; i++)
            c.lane[i] = FOR(finish_first)(j, value.lane[i]);
        t.reducer = j->second_column;
        t.neutral = j->second->neutral;
        FOR(run_pass)(p, &t, &value);
    }
    FOR(finish_tile)(j, &place, &value, &c);
}

static void FOR(tile_item)(void *arg, int64_t item)
{
    const FOR(job) *j = arg;
    int64_t tiles = j->outer.kept * pieces(j->column_size, j->tile);
    int64_t end = at_most(tiles, (item + 1) * j->per_item);
    for (int64_t i = item * j->per_item; i < end; i++)
        FOR(reduce_tile)(NULL, j, i);
}

/* Take the column's axis out of the kept ones. */
static void FOR(place_columns)(FOR(job) * j)
{
    const tape__split *s = j->split;
    j->outer.kept = 1;
    int64_t y_stride = 1;
    for (int k = s->kept_rank - 1; k >= 0; y_stride *= s->kept_size[k--]) {
        if (k == j->column) {
            j->column_size = s->kept_size[k];
            j->column_y_stride = y_stride;
            continue;
        }
        int to = k - (k > j->column);
        j->outer.kept *= s->kept_size[k];
        j->outer.kept_size[to] = s->kept_size[k];
        j->outer.kept_stride[to] = s->kept_stride[k];
        j->outer_y_stride[to] = y_stride;
    }
    j->outer.kept_rank = s->kept_rank - 1;
}

/* Results do not depend on how wide tiles are, so they may be narrow where there are few. */
static void FOR(reduce_columns)(const struct tape__parallel *p, FOR(job) * j)
{
    FOR(place_columns)(j);
    int64_t n = j->split->reduced;
    j->tile = TILE * WIDTH;
    if (p && j->outer.kept * pieces(j->column_size, j->tile) < FEW)
        j->tile = TILE / 4 * WIDTH;
    int64_t tiles = j->outer.kept * pieces(j->column_size, j->tile), work = n * at_most(j->column_size, j->tile);
    if (!p || tiles >= FEW || work < 2 * ITEM) {
        j->per_item = work < ITEM ? ITEM / (work > 0 ? work : 1) : 1;
        tape__parallel_for(p, pieces(tiles, j->per_item), FOR(tile_item), j);
        return;
    }
    for (int64_t i = 0; i < tiles; i++)
        FOR(reduce_tile)(p, j, i);
}

static void FOR(reduce)(const struct tape__parallel *p, const tape__reduce_args *args)
{
    static const struct {
        const REDUCER *run;
        const FOR(column_reducer) * columns;
    } reducers[TAPE__REDUCTIONS][2] = {
#define PASS(name) {&FOR(reducers)[REDUCER_##name], &FOR(reduce_columns_##name)}
        [TAPE__SUM] = {PASS(sum)},
        [TAPE__SUM_ABS] = {PASS(sum_abs)},
        [TAPE__SUM_SQUARES] = {PASS(sum_squares)},
        [TAPE__PROD] = {PASS(prod)},
        [TAPE__MAX] = {PASS(max)},
        [TAPE__MIN] = {PASS(min)},
        [TAPE__MAX_ABS] = {PASS(max_abs)},
        [TAPE__MEAN] = {PASS(sum)},
        [TAPE__VARIANCE] = {PASS(sum), PASS(deviation)},
        [TAPE__LOGSUMEXP] = {PASS(max), PASS(sum_exp)},
#undef PASS
    };
    FOR(job) j = {.args = args, .split = args->split, .x = args->x, .y = args->y};
    double divisor = (double)args->split->reduced;
    if (args->reduction == TAPE__VARIANCE)
        divisor = fmax(0, divisor - args->correction);
    j.divisor = (ELEM)divisor;
    j.first = reducers[args->reduction][0].run;
    j.second = reducers[args->reduction][1].run;
    j.first_column = reducers[args->reduction][0].columns;
    j.second_column = reducers[args->reduction][1].columns;
    j.column = column_axis(args->split);
    if (args->split->kept == 0)
        return;
    if (j.column >= 0)
        FOR(reduce_columns)(p, &j);
    else
        FOR(reduce_runs)(p, &j);
}

/* ---- positions --------------------------------------------------------------------------------------------------- */

typedef struct FOR(arg_job) {
    bool minimum;
    int64_t outer, n, inner, per_item;
    const ELEM *x;
    int64_t *y;
} FOR(arg_job);

static int64_t FOR(find)(const ELEM *x, int64_t n, ELEM value)
{
    int64_t i = 0;
    bool nan = value != value;
    for (; i + WIDTH <= n; i += WIDTH) {
        UNIT u = FOR(unit_load)(x + i);
        int found = 0;
        PARTWISE(FOR(vec) a = u.part[k]; found |= FOR(any)(nan ? FOR(isnan)(a) : (FOR(mask))(a == FOR(splat)(value)));)
        if (found)
            break;
    }
    while (i < n - 1 && !(nan ? x[i] != x[i] : x[i] == value))
        i++;
    return i;
}

static void FOR(arg_item)(void *arg, int64_t item)
{
    const FOR(arg_job) *j = arg;
    int64_t end = at_most(j->outer * j->inner, (item + 1) * j->per_item);
    for (int64_t i = item * j->per_item; i < end; i++) {
        const ELEM *x = j->x + i / j->inner * j->n * j->inner + i % j->inner;
        if (j->inner == 1) {
            ELEM value =
                FOR(reduce_run)(j->minimum ? &FOR(reducers)[REDUCER_min] : &FOR(reducers)[REDUCER_max], j->n, x, 0);
            j->y[i] = FOR(find)(x, j->n, value);
            continue;
        }
        int64_t best = 0;
        for (int64_t k = 1; k < j->n; k++) {
            ELEM held = x[best * j->inner], value = x[k * j->inner];
            if (held == held && (value != value || (j->minimum ? value < held : value > held)))
                best = k;
        }
        j->y[i] = best;
    }
}

static void FOR(arg)(const struct tape__parallel *p, bool minimum, int64_t outer, int64_t n, int64_t inner,
                     const void *x, int64_t *y)
{
    FOR(arg_job) j = {minimum, outer, n, inner, n < ITEM ? ITEM / n : 1, x, y};
    if (outer * inner > 0)
        tape__parallel_for(p, pieces(outer * inner, j.per_item), FOR(arg_item), &j);
}

#undef VEC
#undef ELEM
#undef UNIT
#undef WIDTH
#undef REDUCER
