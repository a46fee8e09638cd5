/* Knows what an epoch of batches must visit, what a shifted image looks like, and how hits are counted. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tape/data.h"
#include "tape/metrics.h"

static void setup(void)
{
    tape_make_current(tape_create(NULL));
}

static void teardown(void)
{
    tape_destroy(tape_make_current(NULL));
}

static void failed(tape_status expected, const char *part)
{
    ck_assert_msg(tape_last_status() == expected, "status %s, expected %s (%s): %s",
                  tape_status_name(tape_last_status()), tape_status_name(expected), part, tape_message());
    ck_assert_msg(strstr(tape_message(), part) != NULL, "\"%s\" lacks \"%s\"", tape_message(), part);
    tape_clear();
}

/* Samples of [2, 3]: pixel j of sample i is 10 i + j + 1; label i % 3. */
static tape_dataset *numbered(int64_t count)
{
    float *x = malloc((size_t)count * 6 * sizeof *x);
    int64_t *label = malloc((size_t)count * sizeof *label);
    for (int64_t i = 0; i < count; i++) {
        for (int j = 0; j < 6; j++)
            x[6 * i + j] = (float)(10 * i + j + 1);
        label[i] = i % 3;
    }
    tape_dataset *data = tape_dataset_create(count, TAPE_SHAPE(2, 3), x, label);
    free(x);
    free(label);
    return data;
}

/* One epoch: every batch is consistent; the order of samples goes to `order`. Returns how many there were. */
static int64_t walk(tape_batches *batches, int64_t size, int64_t *order)
{
    tape_batch batch;
    int64_t total = 0, number = 0;
    while (tape_batches_next(batches, &batch)) {
        ck_assert_int_eq(tape_size(batch.x, 0), batch.size);
        ck_assert_int_le(batch.size, size);
        const float *x = tape_data_f32(batch.x);
        const int64_t *label = tape_data(batch.labels);
        for (int64_t i = 0; i < batch.size; i++) {
            int64_t row = batch.rows[i];
            for (int j = 0; j < 6; j++)
                ck_assert_double_eq(x[6 * i + j], (double)(10 * row + j + 1));
            ck_assert_int_eq(label[i], row % 3);
            order[total++] = row;
        }
        number++;
        tape_reset();
    }
    ck_assert_int_eq(tape_last_status(), TAPE_OK);
    ck_assert_int_eq(number, tape_batches_count(batches));
    return total;
}

START_TEST(test_epochs)
{
    tape_dataset *data = numbered(23);
    tape_batches *batches = tape_batches_create(data, &(tape_batches_options){.size = 5, .seed = 3});
    int64_t first[23], again[23], second[23], other[23];
    ck_assert_int_eq(tape_batches_count(batches), 5);
    ck_assert_int_eq(walk(batches, 5, first), 23);
    bool seen[23] = {false};
    for (int i = 0; i < 23; i++) {
        ck_assert(!seen[first[i]]);
        seen[first[i]] = true;
    }
    tape_batches_start(batches, 1);
    ck_assert_int_eq(walk(batches, 5, second), 23);
    tape_batches_start(batches, 0);
    ck_assert_int_eq(walk(batches, 5, again), 23);
    ck_assert_mem_eq(first, again, sizeof first);
    ck_assert_mem_ne(first, second, sizeof first);
    tape_batches_destroy(batches);
    batches = tape_batches_create(data, &(tape_batches_options){.size = 5, .seed = 4});
    walk(batches, 5, other);
    ck_assert_mem_ne(first, other, sizeof first);
    tape_batches_destroy(batches);

    batches = tape_batches_create(data, &(tape_batches_options){.size = 5, .in_order = true, .drop_last = true});
    ck_assert_int_eq(walk(batches, 5, first), 20);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(first[i], i);
    tape_batches_destroy(batches);
    batches = tape_batches_create(data, NULL);
    ck_assert_int_eq(tape_batches_count(batches), 1);
    ck_assert_int_eq(walk(batches, 32, first), 23);
    tape_batches_destroy(batches);
    tape_batches_destroy(NULL);
    tape_dataset_destroy(data);
}
END_TEST

START_TEST(test_forms)
{
    tape_dataset *data = numbered(4);
    tape_batch batch;
    tape_batches *batches = tape_batches_create(
        data, &(tape_batches_options){.size = 4, .in_order = true, .flat = true, .dtype = TAPE_F64});
    ck_assert(tape_batches_next(batches, &batch));
    ck_assert_int_eq(tape_rank(batch.x), 2);
    ck_assert_int_eq(tape_size(batch.x, 1), 6);
    ck_assert_double_eq(tape_data_f64(batch.x)[23], 36);
    ck_assert_int_eq(tape_dtype_of(batch.labels), TAPE_I64);
    tape_batches_destroy(batches);
    batches = tape_batches_create(data, &(tape_batches_options){.size = 3});
    ck_assert(tape_batches_next(batches, &batch));
    ck_assert_int_eq(tape_rank(batch.x), 3);
    ck_assert_int_eq(tape_size(batch.x, 2), 3);
    tape_batches_destroy(batches);
    tape_dataset_destroy(data);

    data = tape_dataset_create(2, TAPE_SCALAR, (float[]){1, 2}, NULL);
    batches = tape_batches_create(data, &(tape_batches_options){.size = 2, .in_order = true});
    ck_assert(tape_batches_next(batches, &batch));
    ck_assert(tape_is_none(batch.labels));
    ck_assert_int_eq(tape_rank(batch.x), 1);
    ck_assert_double_eq(tape_data_f32(batch.x)[1], 2);
    ck_assert(!tape_batches_next(batches, &batch));
    ck_assert(tape_is_null(batch.x));
    tape_batches_destroy(batches);

    ck_assert_ptr_null(tape_batches_create(data, &(tape_batches_options){.size = -1}));
    failed(TAPE_ERROR_ARGUMENT, "size");
    ck_assert_ptr_null(tape_batches_create(data, &(tape_batches_options){.dtype = TAPE_U8}));
    failed(TAPE_ERROR_DTYPE, "u8");
    ck_assert_ptr_null(tape_batches_create(data, &(tape_batches_options){.shift = 1}));
    failed(TAPE_ERROR_SHAPE, "rank 2");
    ck_assert_ptr_null(tape_batches_create(data, &(tape_batches_options){.shift = -1}));
    failed(TAPE_ERROR_ARGUMENT, "shift");
    ck_assert_ptr_null(tape_batches_create(NULL, NULL));
    failed(TAPE_ERROR_ARGUMENT, "NULL");
    tape_dataset_destroy(data);
}
END_TEST

/* Whether y is x, [height, width], moved by (down, right) with `fill` moving in. */
static bool is_moved(const float *x, const float *y, int height, int width, int down, int right, float fill)
{
    for (int i = 0; i < height; i++)
        for (int j = 0; j < width; j++) {
            int from_i = i - down, from_j = j - right;
            bool inside = from_i >= 0 && from_i < height && from_j >= 0 && from_j < width;
            if (y[i * width + j] != (inside ? x[from_i * width + from_j] : fill))
                return false;
        }
    return true;
}

/* The move that made y of x: 0 ... 8 for shifts by up to one pixel; -1 if there is none. */
static int find_move(const float *x, const float *y, float fill)
{
    for (int move = 0; move < 9; move++)
        if (is_moved(x, y, 2, 3, move / 3 - 1, move % 3 - 1, fill))
            return move;
    return -1;
}

START_TEST(test_shifts)
{
    enum { COUNT = 900 };
    tape_dataset *data = numbered(COUNT);
    const tape_batches_options options = {.size = COUNT, .shift = 1, .fill = -7, .seed = 1, .in_order = true};
    tape_batches *batches = tape_batches_create(data, &options);
    tape_batch batch;
    int seen[9] = {0}, moves[COUNT], changed = 0;
    ck_assert(tape_batches_next(batches, &batch));
    for (int i = 0; i < COUNT; i++) {
        moves[i] = find_move(data->x + 6 * i, tape_data_f32(batch.x) + 6 * i, -7);
        ck_assert_int_ge(moves[i], 0);
        seen[moves[i]]++;
    }
    for (int k = 0; k < 9; k++)
        ck_assert_int_lt(abs(seen[k] - 100), 40);
    /* The next epoch moves differently; the same epoch again, in another order of batches, as before. */
    tape_batches_start(batches, 1);
    ck_assert(tape_batches_next(batches, &batch));
    for (int i = 0; i < COUNT; i++)
        changed += find_move(data->x + 6 * i, tape_data_f32(batch.x) + 6 * i, -7) != moves[i];
    ck_assert_int_gt(changed, COUNT / 2);
    tape_batches_destroy(batches);
    batches = tape_batches_create(data, &(tape_batches_options){.size = COUNT, .shift = 1, .fill = -7, .seed = 1});
    ck_assert(tape_batches_next(batches, &batch));
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(find_move(data->x + 6 * batch.rows[i], tape_data_f32(batch.x) + 6 * i, -7),
                         moves[batch.rows[i]]);
    tape_batches_destroy(batches);
    /* Further than the image is wide. */
    batches = tape_batches_create(
        data, &(tape_batches_options){.size = COUNT, .shift = 9, .in_order = true, .dtype = TAPE_F64});
    ck_assert(tape_batches_next(batches, &batch));
    int empty = 0;
    for (int i = 0; i < COUNT; i++) {
        double sum = 0;
        for (int j = 0; j < 6; j++)
            sum += tape_data_f64(batch.x)[6 * i + j];
        empty += sum == 0;
    }
    ck_assert_int_gt(empty, COUNT / 2);
    tape_batches_destroy(batches);
    tape_dataset_destroy(data);
}
END_TEST

static void *count_calls(void *user, void *pointer, size_t old_size, size_t new_size)
{
    (void)old_size;
    ++*(int64_t *)user;
    if (new_size > 0)
        return realloc(pointer, new_size);
    free(pointer);
    return NULL;
}

START_TEST(test_epochs_allocate_nothing)
{
    int64_t calls = 0, warm = 0;
    const tape_config config = {.allocator = count_calls, .allocator_user = &calls};
    tape *t = tape_create(&config), *before = tape_make_current(t);
    tape_dataset *data = numbered(23);
    tape_batches *batches = tape_batches_create(data, &(tape_batches_options){.size = 5, .shift = 1});
    for (int epoch = 0; epoch < 4; epoch++) {
        tape_batch batch;
        tape_batches_start(batches, epoch);
        while (tape_batches_next(batches, &batch)) {
            tape_square(batch.x);
            tape_reset();
        }
        warm = epoch == 0 ? calls : warm;
    }
    ck_assert_int_gt(warm, 0);
    ck_assert_int_eq(calls, warm);
    tape_batches_destroy(batches);
    tape_dataset_destroy(data);
    tape_make_current(before);
    tape_destroy(t);
}
END_TEST

START_TEST(test_metrics)
{
    const float scores[] = {1, 3, 2, 5, 5, 0, NAN, 1, 9, -1, -2, -0.5f};
    const int32_t labels[] = {1, 1, 0, 2};
    tape_tensor x = tape_from(TAPE_F32, TAPE_SHAPE(4, 3), scores), y = tape_from(TAPE_I32, TAPE_SHAPE(4), labels);
    int64_t classes[4];
    ck_assert_int_eq(tape_argmax_rows(x, classes), TAPE_OK);
    const int64_t expected[] = {1, 0, 0, 2};
    ck_assert_mem_eq(classes, expected, sizeof expected);
    ck_assert_double_eq(tape_accuracy(x, y), 0.75);
    tape_confusion *confusion = tape_confusion_create(3);
    ck_assert(isnan(tape_confusion_accuracy(confusion)));
    ck_assert_int_eq(tape_confusion_add(confusion, x, y), TAPE_OK);
    ck_assert_int_eq(tape_confusion_add(confusion, tape_from(TAPE_F64, TAPE_SHAPE(1, 3), (double[]){0, 0, 1}),
                                        tape_from(TAPE_I64, TAPE_SHAPE(1), (int64_t[]){0})),
                     TAPE_OK);
    const int64_t counts[] = {1, 0, 1, 1, 1, 0, 0, 0, 1};
    ck_assert_mem_eq(confusion->counts, counts, sizeof counts);
    ck_assert_int_eq(tape_confusion_total(confusion), 5);
    ck_assert_double_eq(tape_confusion_accuracy(confusion), 0.6);
    const int64_t wrong[] = {0, 1, 3, 0};
    ck_assert_int_ne(tape_confusion_add(confusion, x, tape_from(TAPE_I64, TAPE_SHAPE(4), wrong)), TAPE_OK);
    failed(TAPE_ERROR_INDEX, "label 3 at 2");
    ck_assert_mem_eq(confusion->counts, counts, sizeof counts);
    tape_confusion_add(confusion, tape_zeros(TAPE_F32, TAPE_SHAPE(4, 2)), y);
    failed(TAPE_ERROR_SHAPE, "3 classes, got 2");
    tape_confusion_add(confusion, tape_zeros(TAPE_F32, TAPE_SHAPE(5, 3)), y);
    failed(TAPE_ERROR_SHAPE, "[5]");
    tape_confusion_add(confusion, y, y);
    failed(TAPE_ERROR_DTYPE, "i32");
    ck_assert(isnan(tape_accuracy(x, x)));
    failed(TAPE_ERROR_DTYPE, "labels");
    ck_assert(isnan(tape_accuracy(tape_zeros(TAPE_F32, TAPE_SHAPE(4)), y)));
    failed(TAPE_ERROR_SHAPE, "[n, classes]");
    tape_confusion_clear(confusion);
    ck_assert_int_eq(tape_confusion_total(confusion), 0);
    tape_confusion_destroy(confusion);
    ck_assert_ptr_null(tape_confusion_create(0));
    failed(TAPE_ERROR_ARGUMENT, "classes");

    tape_running_mean mean = {0};
    ck_assert(isnan(tape_running_mean_get(&mean)));
    tape_running_mean_add(&mean, 2, 30);
    tape_running_mean_add(&mean, 5, 10);
    ck_assert_double_eq(tape_running_mean_get(&mean), 2.75);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batches");
    TCase *tests = tcase_create("batches");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_epochs);
    tcase_add_test(tests, test_forms);
    tcase_add_test(tests, test_shifts);
    tcase_add_test(tests, test_epochs_allocate_nothing);
    tcase_add_test(tests, test_metrics);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
