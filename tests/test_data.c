/* Knows IDX and CSV files byte by byte, and what data sets made of them must hold. */
#include <check.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "tape/data.h"

static void setup(void)
{
    tape_make_current(tape_create(NULL));
}

static void teardown(void)
{
    files_remove();
    tape_destroy(tape_make_current(NULL));
}

/* The error that is kept now: one line, of this status, with this text in it. */
static void failed(tape_status expected, const char *part)
{
    ck_assert_msg(tape_last_status() == expected, "status %s, expected %s: %s", tape_status_name(tape_last_status()),
                  tape_status_name(expected), tape_message());
    ck_assert_msg(strstr(tape_message(), part) != NULL, "\"%s\" lacks \"%s\"", tape_message(), part);
    ck_assert_ptr_null(strchr(tape_message(), '\n'));
    tape_clear();
}

static const char *write_text(const char *name, const char *text)
{
    return files_write(name, text, strlen(text));
}

static bool has_zlib(void)
{
    unsigned char gzip[64];
    const char *path = files_write("probe.gz", gzip, files_gzip("1,2\n", 4, gzip));
    tape_dataset *data = tape_dataset_csv(path, NULL);
    if (!data)
        failed(TAPE_ERROR_UNSUPPORTED, "without zlib");
    tape_dataset_destroy(data);
    return data != NULL;
}

/* ---- IDX --------------------------------------------------------------------------------------------------------- */

/* Two images of 2 x 3 and their labels. */
static const unsigned char images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2,  0,  0,
                                       0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255};
static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 7, 3};

static void check_images(const tape_dataset *data)
{
    ck_assert_msg(data != NULL, "%s", tape_message());
    ck_assert_int_eq(data->count, 2);
    ck_assert_int_eq(data->width, 6);
    ck_assert_int_eq(data->sample.rank, 2);
    ck_assert_int_eq(data->sample.size[0], 2);
    ck_assert_int_eq(data->sample.size[1], 3);
    ck_assert_int_eq(data->classes, 8);
    for (int i = 0; i < 11; i++)
        ck_assert_double_eq(data->x[i], i + 1);
    ck_assert_double_eq(data->x[11], 255);
    ck_assert_int_eq(data->labels[0], 7);
    ck_assert_int_eq(data->labels[1], 3);
}

START_TEST(test_idx)
{
    files_write("images", images, sizeof images);
    files_write("labels", labels, sizeof labels);
    tape_dataset *data = tape_dataset_idx(files_path("images"), files_path("labels"));
    check_images(data);
    tape_dataset_scale(data, 1, 0.5);
    ck_assert_double_eq(data->x[2], 1);
    tape_dataset_destroy(data);
    data = tape_dataset_idx(files_path("images"), NULL);
    ck_assert_ptr_null(data->labels);
    ck_assert_int_eq(data->classes, 0);
    tape_dataset_destroy(data);
    tape_dataset_destroy(NULL);
}
END_TEST

START_TEST(test_idx_types)
{
    static const struct {
        unsigned char type, size, bytes[16];
        double value[2];
    } cases[] = {{0x08, 1, {200, 3}, {200, 3}},
                 {0x09, 1, {200, 3}, {-56, 3}},
                 {0x0b, 2, {0xff, 0xfe, 1, 2}, {-2, 258}},
                 {0x0c, 4, {0xff, 0xff, 0xff, 0xfd, 0, 1, 0, 0}, {-3, 65536}},
                 {0x0d, 4, {0x3f, 0xc0, 0, 0, 0xc2, 0x28, 0, 0}, {1.5, -42}},
                 {0x0e, 8, {0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xc0, 0x45, 0, 0, 0, 0, 0, 0}, {1.5, -42}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char file[32] = {0, 0, cases[i].type, 1, 0, 0, 0, 2};
        memcpy(file + 8, cases[i].bytes, 2u * cases[i].size);
        tape_dataset *data = tape_dataset_idx(files_write("x", file, 8u + 2u * cases[i].size), NULL);
        ck_assert_msg(data != NULL, "%s", tape_message());
        ck_assert_int_eq(data->sample.rank, 0);
        ck_assert_double_eq(data->x[0], cases[i].value[0]);
        ck_assert_double_eq(data->x[1], cases[i].value[1]);
        tape_dataset_destroy(data);
    }
}
END_TEST

START_TEST(test_idx_truncated_anywhere)
{
    files_write("labels", labels, sizeof labels);
    for (size_t n = 0; n < sizeof images; n++) {
        ck_assert_ptr_null(tape_dataset_idx(files_write("images", images, n), files_path("labels")));
        failed(TAPE_ERROR_FORMAT, "/images: ");
    }
    files_write("images", images, sizeof images);
    for (size_t n = 0; n < sizeof labels; n++) {
        ck_assert_ptr_null(tape_dataset_idx(files_path("images"), files_write("labels", labels, n)));
        failed(TAPE_ERROR_FORMAT, "/labels: ");
    }
    unsigned char longer[sizeof images + 1] = {0};
    memcpy(longer, images, sizeof images);
    ck_assert_ptr_null(tape_dataset_idx(files_write("longer", longer, sizeof longer), NULL));
    failed(TAPE_ERROR_FORMAT, "longer: is 29 bytes long");
}
END_TEST

START_TEST(test_idx_gzip)
{
    if (!has_zlib())
        return;
    unsigned char gzip[128];
    files_write("l", labels, sizeof labels);
    size_t whole = files_gzip(images, sizeof images, gzip);
    tape_dataset *data = tape_dataset_idx(files_write("i.gz", gzip, whole), files_path("l"));
    check_images(data);
    tape_dataset_destroy(data);
    for (size_t n = 0; n < whole; n++) {
        ck_assert_ptr_null(tape_dataset_idx(files_write("i.gz", gzip, n), files_path("l")));
        failed(TAPE_ERROR_FORMAT, "/i.gz: ");
    }
    gzip[40] ^= 1;
    ck_assert_ptr_null(tape_dataset_idx(files_write("i.gz", gzip, whole), NULL));
    failed(TAPE_ERROR_FORMAT, "damaged");
    gzip[40] ^= 1;
    gzip[whole] = 'x';
    ck_assert_ptr_null(tape_dataset_idx(files_write("i.gz", gzip, whole + 1), NULL));
    failed(TAPE_ERROR_FORMAT, "/i.gz: ");
    /* Two members are one stream. */
    size_t first = files_gzip(images, 9, gzip), second = files_gzip(images + 9, sizeof images - 9, gzip + first);
    data = tape_dataset_idx(files_write("i.gz", gzip, first + second), files_path("l"));
    check_images(data);
    tape_dataset_destroy(data);
    /* A compressed file whose header promises 4 GB: found out after the few bytes that are there. */
    static const unsigned char liar[] = {0, 0, 8, 1, 0xff, 0xff, 0xff, 0xff, 1, 2, 3};
    ck_assert_ptr_null(tape_dataset_idx(files_write("i.gz", gzip, files_gzip(liar, sizeof liar, gzip)), NULL));
    failed(TAPE_ERROR_FORMAT, "ends too early: 3 of 4294967295");
    static const unsigned char more[] = {0, 0, 8, 1, 0, 0, 0, 1, 1, 2};
    ck_assert_ptr_null(tape_dataset_idx(files_write("i.gz", gzip, files_gzip(more, sizeof more, gzip)), NULL));
    failed(TAPE_ERROR_FORMAT, "goes on after");
}
END_TEST

START_TEST(test_idx_malformed)
{
    static const struct {
        const char *part;
        unsigned char bytes[40];
        size_t n;
    } cases[] = {{"magic", {1, 0, 8, 1, 0, 0, 0, 1, 5}, 9},
                 {"magic", {0, 0, 0x0a, 1, 0, 0, 0, 1, 5}, 9},
                 {"0 axes", {0, 0, 8, 0, 5}, 5},
                 {"9 axes", {0, 0, 8, 9, 0}, 40},
                 {"impossible", {0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}, 16},
                 {"promises 4294967303", {0, 0, 8, 1, 255, 255, 255, 255}, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_ptr_null(tape_dataset_idx(files_write("x", cases[i].bytes, cases[i].n), NULL));
        if (i + 1 < sizeof cases / sizeof *cases)
            failed(TAPE_ERROR_FORMAT, cases[i].part);
        else
            failed(TAPE_ERROR_FORMAT, "8 bytes long");
    }
    files_write("images", images, sizeof images);
    static const unsigned char few[] = {0, 0, 8, 1, 0, 0, 0, 1, 7}, negative[] = {0, 0, 9, 1, 0, 0, 0, 2, 1, 0xfe},
                               real[] = {0, 0, 0x0d, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0};
    ck_assert_ptr_null(tape_dataset_idx(files_path("images"), files_write("l", few, sizeof few)));
    failed(TAPE_ERROR_FORMAT, "has 1 labels");
    ck_assert_ptr_null(tape_dataset_idx(files_path("images"), files_write("l", negative, sizeof negative)));
    failed(TAPE_ERROR_FORMAT, "label 1 is negative: -2");
    ck_assert_ptr_null(tape_dataset_idx(files_path("images"), files_write("l", real, sizeof real)));
    failed(TAPE_ERROR_FORMAT, "whole numbers");
    ck_assert_ptr_null(tape_dataset_idx(files_path("nowhere"), NULL));
    failed(TAPE_ERROR_IO, "nowhere: cannot open: No such file");
    ck_assert_ptr_null(tape_dataset_idx("/", NULL));
    failed(TAPE_ERROR_IO, "/: cannot read: Is a directory");
    ck_assert_ptr_null(tape_dataset_idx(NULL, NULL));
    failed(TAPE_ERROR_ARGUMENT, "NULL");
}
END_TEST

START_TEST(test_mnist_pair)
{
    char directory[200];
    snprintf(directory, sizeof directory, "%s", files_path(""));
    ck_assert_ptr_null(tape_dataset_mnist(directory, "train"));
    failed(TAPE_ERROR_IO, "holds neither train-images-idx3-ubyte nor train-images-idx3-ubyte.gz");
    files_write("train-images-idx3-ubyte", images, sizeof images);
    ck_assert_ptr_null(tape_dataset_mnist(directory, "train"));
    failed(TAPE_ERROR_IO, "train-labels-idx1-ubyte");
    files_write("train-labels-idx1-ubyte", labels, sizeof labels);
    tape_dataset *data = tape_dataset_mnist(directory, "train");
    check_images(data);
    tape_dataset_destroy(data);
}
END_TEST

/* ---- CSV --------------------------------------------------------------------------------------------------------- */

static tape_dataset *csv(const char *text, const tape_csv_options *options)
{
    return tape_dataset_csv(write_text("t.csv", text), options);
}

START_TEST(test_csv)
{
    tape_dataset *data = csv("\xef\xbb\xbf"
                             "a,b,class\n 1, -2.5 ,0\r\n\n+3e2,.5,2\n0.1,1e-3,1",
                             NULL);
    ck_assert_msg(data != NULL, "%s", tape_message());
    ck_assert_int_eq(data->count, 3);
    ck_assert_int_eq(data->width, 2);
    ck_assert_int_eq(data->classes, 3);
    const float x[] = {1, -2.5f, 300, 0.5f, 0.1f, 0.001f};
    const int64_t y[] = {0, 2, 1};
    ck_assert_mem_eq(data->x, x, sizeof x);
    ck_assert_mem_eq(data->labels, y, sizeof y);
    tape_dataset_destroy(data);

    data = csv("3;1;2;3;4\n0;5;6;7;8\n",
               &(tape_csv_options){.label = TAPE_CSV_LABEL_FIRST, .separator = ';', .sample = TAPE_SHAPE(2, 2)});
    ck_assert_msg(data != NULL, "%s", tape_message());
    ck_assert_int_eq(data->sample.rank, 2);
    ck_assert_int_eq(data->labels[0], 3);
    for (int i = 0; i < 8; i++)
        ck_assert_double_eq(data->x[i], i + 1);
    tape_dataset_destroy(data);

    data = csv("7\n8\n", &(tape_csv_options){.label = TAPE_CSV_LABEL_NONE});
    ck_assert_ptr_null(data->labels);
    ck_assert_double_eq(data->x[1], 8);
    tape_dataset_destroy(data);

    data = csv("9,9\n1,2\n", &(tape_csv_options){.header = TAPE_CSV_HEADER_YES});
    ck_assert_int_eq(data->count, 1);
    tape_dataset_destroy(data);
}
END_TEST

START_TEST(test_csv_errors_say_where)
{
    static const struct {
        const char *text, *part;
        tape_csv_options options;
    } cases[] = {
        {"1,2\n3,x\n", "t.csv:2: column 2: expected a number, found \"x\"", {.separator = 0}},
        {"a,b\n3,x\n", "t.csv:2: column 2: expected a number, found \"x\"", {.separator = 0}},
        {"a,b\n1,2\n", "t.csv:1: column 1: expected a number, found \"a\"", {.header = TAPE_CSV_HEADER_NO}},
        {"1,2\n3,,\n", "t.csv:2: column 2: expected a number, found \"\"", {.separator = 0}},
        {"1,2\n3,4,5\n", "t.csv:2: column 3: more cells", {.separator = 0}},
        {"1,2,3\n3,4\n", "t.csv:2: column 3: the line ends", {.separator = 0}},
        {"1,2\n\n3,1.5\n", "t.csv:3: column 2: expected a label", {.separator = 0}},
        {"1,-1\n", "t.csv:1: column 2: expected a label", {.separator = 0}},
        {"1,2147483648\n", "t.csv:1: column 2: expected a label", {.separator = 0}},
        {"1e99,2\n", "t.csv:1: column 1: expected a number that fits f32", {.separator = 0}},
        {"nan,2\n", "column 1: expected a number", {.separator = 0}},
        {"inf,2\n", "column 1: expected a number", {.separator = 0}},
        {"0x10,2\n", "column 1: expected a number", {.separator = 0}},
        {"1.2.3,2\n", "column 1: expected a number", {.separator = 0}},
        {"--1,2\n", "column 1: expected a number", {.separator = 0}},
        {"1\n", "t.csv:1: column 1: expected numbers beside the label", {.separator = 0}},
        {"", "t.csv: holds no line of numbers", {.separator = 0}},
        {"a,b\n", "t.csv: holds no line of numbers", {.separator = 0}},
        {"3,\x1b[2J,4\n", "column 2: expected a number, found \"?[2J\"", {.separator = 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_ptr_null(csv(cases[i].text, &cases[i].options));
        failed(TAPE_ERROR_FORMAT, cases[i].part);
    }
    ck_assert_ptr_null(csv("1,2,3,0\n", &(tape_csv_options){.sample = TAPE_SHAPE(2, 2)}));
    failed(TAPE_ERROR_SHAPE, "do not make a sample of [2, 2]");
    ck_assert_ptr_null(csv("1,2\n", &(tape_csv_options){.separator = '\n'}));
    failed(TAPE_ERROR_ARGUMENT, "option");
    ck_assert_ptr_null(csv("1,2\n", &(tape_csv_options){.label = (tape_csv_label)9}));
    failed(TAPE_ERROR_ARGUMENT, "option");
    const char nul[] = "1,2\n3\0,4\n";
    ck_assert_ptr_null(tape_dataset_csv(files_write("t.csv", nul, sizeof nul - 1), NULL));
    failed(TAPE_ERROR_FORMAT, "t.csv:2: column 1");
}
END_TEST

START_TEST(test_csv_numbers)
{
    /* strtod in the C locale is the reference; with a decimal comma in the program's locale nothing changes. */
    static const char *const numbers[] = {"0",
                                          "-0",
                                          "123456789012345",
                                          "1234567890123456789",
                                          "0.30000000000000004",
                                          "3.14159265358979",
                                          "1e-40",
                                          "-1.17549435e-38",
                                          "3.4028234e38",
                                          "00012.50"};
    setlocale(LC_ALL, "de_DE.UTF-8");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[100];
        snprintf(text, sizeof text, "%s,1\n", numbers[i]);
        tape_dataset *data = csv(text, NULL);
        ck_assert_msg(data != NULL, "%s", tape_message());
        setlocale(LC_ALL, "C");
        ck_assert_double_eq(data->x[0], (double)(float)strtod(numbers[i], NULL));
        tape_dataset_destroy(data);
    }
}
END_TEST

START_TEST(test_csv_truncated_anywhere)
{
    const char text[] = "u,v,class\n10,20,3\n-1.5,2e1,0\n";
    for (size_t n = 0; n < sizeof text - 1; n++) {
        tape_dataset *data = tape_dataset_csv(files_write("t.csv", text, n), NULL);
        if (data) {
            ck_assert_int_le(data->width, 2); /* a shorter file that is not broken: "10,20" is one too */
            ck_assert_int_le(data->count, 2);
            ck_assert(data->x[0] == 10 || data->x[0] == 1);
        } else {
            failed(TAPE_ERROR_FORMAT, "t.csv");
        }
        tape_dataset_destroy(data);
    }
    if (!has_zlib())
        return;
    unsigned char gzip[100];
    size_t whole = files_gzip(text, sizeof text - 1, gzip);
    tape_dataset *data = tape_dataset_csv(files_write("t.gz", gzip, whole), NULL);
    ck_assert_int_eq(data->count, 2);
    tape_dataset_destroy(data);
    for (size_t n = 1; n < whole; n++) {
        ck_assert_ptr_null(tape_dataset_csv(files_write("t.gz", gzip, n), NULL));
        failed(TAPE_ERROR_FORMAT, "t.gz");
    }
}
END_TEST

/* Lines longer than a chunk of reading, and more rows than fit one. */
START_TEST(test_csv_large)
{
    enum { COLUMNS = 40000, ROWS = 3 };
    char *text = malloc((size_t)ROWS * COLUMNS * 7 + 1), *at = text;
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLUMNS; j++)
            at += sprintf(at, "%d%c", i * COLUMNS + j, j + 1 < COLUMNS ? ',' : '\n');
    tape_dataset *data = tape_dataset_csv(files_write("big", text, (size_t)(at - text)), NULL);
    ck_assert_msg(data != NULL, "%s", tape_message());
    ck_assert_int_eq(data->count, ROWS);
    ck_assert_int_eq(data->width, COLUMNS - 1);
    for (int i = 0; i < ROWS; i++) {
        ck_assert_int_eq(data->labels[i], i * COLUMNS + COLUMNS - 1);
        for (int j = 0; j < COLUMNS - 1; j++)
            ck_assert(data->x[i * (COLUMNS - 1) + j] == (float)(i * COLUMNS + j));
    }
    tape_dataset_destroy(data);
    free(text);
}
END_TEST

START_TEST(test_bundled_digits)
{
    const char *source = getenv("TAPE_TEST_SOURCE");
    char path[300];
    if (!source || !has_zlib())
        return;
    snprintf(path, sizeof path, "%s/tools/data/digits.csv.gz", source);
    tape_dataset *data = tape_dataset_csv(path, &(tape_csv_options){.sample = TAPE_SHAPE(8, 8)});
    ck_assert_msg(data != NULL, "%s", tape_message());
    ck_assert_int_eq(data->count, 1797);
    ck_assert_int_eq(data->width, 64);
    ck_assert_int_eq(data->classes, 10);
    float largest = 0;
    for (int64_t i = 0; i < data->count * data->width; i++)
        largest = data->x[i] > largest ? data->x[i] : largest;
    ck_assert_double_eq(largest, 16);
    ck_assert_double_eq(data->x[2], 5);
    ck_assert_int_eq(data->labels[0], 0);
    ck_assert_int_eq(data->labels[1], 1);
    tape_dataset_destroy(data);
}
END_TEST

/* ---- splitting and scaling --------------------------------------------------------------------------------------- */

/* count samples [i, i + 0.5] with label i % classes. */
static tape_dataset *numbered(int64_t count, int64_t classes)
{
    float *x = malloc((size_t)count * 2 * sizeof *x);
    int64_t *label = malloc((size_t)count * sizeof *label);
    for (int64_t i = 0; i < count; i++) {
        x[2 * i] = (float)i;
        x[2 * i + 1] = (float)i + 0.5f;
        label[i] = i % classes;
    }
    tape_dataset *data = tape_dataset_create(count, TAPE_SHAPE(2), x, label);
    free(x);
    free(label);
    return data;
}

static void check_split(const tape_dataset *data, const tape_split_options *options, int64_t expected)
{
    tape_dataset *train, *test;
    bool seen[200] = {false};
    ck_assert_int_eq(tape_dataset_split(data, options, &train, &test), TAPE_OK);
    ck_assert_int_eq(test->count, expected);
    ck_assert_int_eq(train->count, data->count - expected);
    const tape_dataset *part[] = {train, test};
    for (int k = 0; k < 2; k++)
        for (int64_t i = 0; i < part[k]->count; i++) {
            int64_t row = (int64_t)part[k]->x[2 * i];
            ck_assert(!seen[row] && (i == 0 || part[k]->x[2 * i] > part[k]->x[2 * i - 2]));
            ck_assert_double_eq(part[k]->x[2 * i + 1], (double)row + 0.5);
            ck_assert_int_eq(part[k]->labels[i], data->labels[row]);
            seen[row] = true;
        }
    ck_assert_int_eq(test->classes, data->classes);
    if (options && options->stratified)
        for (int64_t c = 0, n = 0; c < data->classes; c++, n = 0) {
            for (int64_t i = 0; i < test->count; i++)
                n += test->labels[i] == c;
            ck_assert_int_eq(n, expected / data->classes);
        }
    tape_dataset_destroy(train);
    tape_dataset_destroy(test);
}

START_TEST(test_split)
{
    tape_dataset *data = numbered(100, 5), *train, *test, *again, *other;
    check_split(data, NULL, 20);
    check_split(data, &(tape_split_options){.test_fraction = 0.31, .seed = 9}, 31);
    check_split(data, &(tape_split_options){.test_fraction = 0.3, .seed = 9, .stratified = true}, 30);
    ck_assert_int_eq(tape_dataset_split(data, &(tape_split_options){.seed = 1}, &train, &test), TAPE_OK);
    tape_dataset_destroy(train);
    ck_assert_int_eq(tape_dataset_split(data, &(tape_split_options){.seed = 1}, &train, &again), TAPE_OK);
    tape_dataset_destroy(train);
    ck_assert_int_eq(tape_dataset_split(data, &(tape_split_options){.seed = 2}, &train, &other), TAPE_OK);
    tape_dataset_destroy(train);
    ck_assert_mem_eq(test->x, again->x, 40 * sizeof(float));
    ck_assert_mem_ne(test->x, other->x, 40 * sizeof(float));
    tape_dataset_destroy(test);
    tape_dataset_destroy(again);
    tape_dataset_destroy(other);
    const double bad[] = {-0.5, 1, 2, NAN};
    for (int i = 0; i < 4; i++) {
        ck_assert_int_ne(tape_dataset_split(data, &(tape_split_options){.test_fraction = bad[i]}, &train, &test),
                         TAPE_OK);
        ck_assert(!train && !test);
        failed(TAPE_ERROR_ARGUMENT, "fraction");
    }
    tape_dataset_destroy(data);
    data = tape_dataset_create(4, TAPE_SHAPE(1), (float[]){1, 3, 5, 7}, NULL);
    ck_assert_int_ne(tape_dataset_split(data, &(tape_split_options){.stratified = true}, &train, &test), TAPE_OK);
    failed(TAPE_ERROR_ARGUMENT, "labels");
    tape_dataset *absurd = csv("1,0\n2,2147483647\n", NULL);
    ck_assert_int_eq(absurd->classes, (int64_t)1 << 31);
    ck_assert_int_ne(tape_dataset_split(absurd, &(tape_split_options){.stratified = true}, &train, &test), TAPE_OK);
    failed(TAPE_ERROR_ARGUMENT, "2147483648 classes");
    tape_dataset_destroy(absurd);
    double mean, deviation;
    tape_dataset_moments(data, &mean, &deviation);
    ck_assert_double_eq(mean, 4);
    ck_assert_double_eq_tol(deviation, sqrt(5), 1e-15);
    tape_dataset_scale(data, mean, 1 / deviation);
    tape_dataset_moments(data, &mean, &deviation);
    ck_assert_double_eq_tol(mean, 0, 1e-7);
    ck_assert_double_eq_tol(deviation, 1, 1e-6);
    tape_dataset_destroy(data);
}
END_TEST

START_TEST(test_create_checks)
{
    const float x[] = {1, 2};
    const int64_t bad[] = {1, -1}, large[] = {0, (int64_t)1 << 40};
    ck_assert_ptr_null(tape_dataset_create(-1, TAPE_SHAPE(1), x, NULL));
    failed(TAPE_ERROR_ARGUMENT, "count");
    ck_assert_ptr_null(tape_dataset_create(2, TAPE_SHAPE(1), x, bad));
    failed(TAPE_ERROR_ARGUMENT, "label -1 of sample 1");
    ck_assert_ptr_null(tape_dataset_create(2, TAPE_SHAPE(1), x, large));
    failed(TAPE_ERROR_ARGUMENT, "sample 1");
    ck_assert_ptr_null(tape_dataset_create(2, TAPE_SHAPE(1, 1, 1, 1, 1, 1, 1, 1), x, NULL));
    failed(TAPE_ERROR_SHAPE, "rank");
    ck_assert_ptr_null(tape_dataset_create(INT64_MAX, TAPE_SHAPE(4), x, NULL));
    failed(TAPE_ERROR_ARGUMENT, "too many");
    tape_fail(TAPE_ERROR_STATE, "kept");
    ck_assert_ptr_null(tape_dataset_create(2, TAPE_SHAPE(1), x, NULL));
    failed(TAPE_ERROR_STATE, "kept");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("data");
    TCase *tests = tcase_create("data");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_idx);
    tcase_add_test(tests, test_idx_types);
    tcase_add_test(tests, test_idx_truncated_anywhere);
    tcase_add_test(tests, test_idx_gzip);
    tcase_add_test(tests, test_idx_malformed);
    tcase_add_test(tests, test_mnist_pair);
    tcase_add_test(tests, test_csv);
    tcase_add_test(tests, test_csv_errors_say_where);
    tcase_add_test(tests, test_csv_numbers);
    tcase_add_test(tests, test_csv_truncated_anywhere);
    tcase_add_test(tests, test_csv_large);
    tcase_add_test(tests, test_bundled_digits);
    tcase_add_test(tests, test_split);
    tcase_add_test(tests, test_create_checks);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
