/* Knows the safetensors format byte by byte, what must be refused, and that a failed save or load changes nothing. */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "tape/data.h"
#include "tape/safetensors.h"

static void setup(void)
{
    tape_make_current(tape_create(NULL));
}

static void teardown(void)
{
    files_remove();
    tape_destroy(tape_make_current(NULL));
}

static void ok(tape_status status)
{
    ck_assert_msg(status == TAPE_OK && tape_last_status() == TAPE_OK, "%s", tape_message());
}

/* The error that is kept now: one line, of this status, with this text in it. */
static void failed(tape_status expected, const char *part)
{
    ck_assert_msg(tape_last_status() == expected, "status %s, expected %s (%s): %s",
                  tape_status_name(tape_last_status()), tape_status_name(expected), part, tape_message());
    ck_assert_msg(strstr(tape_message(), part) != NULL, "\"%s\" lacks \"%s\"", tape_message(), part);
    ck_assert_ptr_null(strchr(tape_message(), '\n'));
    tape_clear();
}

/* A file with this header and these data. */
static const char *write_parts(const char *header, size_t n, const void *data, size_t bytes)
{
    unsigned char *file = calloc(1, 8 + n + bytes + 1);
    for (int i = 0; i < 8; i++)
        file[i] = (unsigned char)((uint64_t)n >> (8 * i));
    memcpy(file + 8, header, n);
    if (bytes > 0)
        memcpy(file + 8 + n, data, bytes);
    const char *path = files_write("m.safetensors", file, 8 + n + bytes);
    free(file);
    return path;
}

static tape_safetensors *open_parts(const char *header, size_t bytes)
{
    static const unsigned char zeros[64];
    return tape_safetensors_open(write_parts(header, strlen(header), zeros, bytes));
}

/* ---- the format -------------------------------------------------------------------------------------------------- */

/* Two tensors as another program may write them: any order of keys, spaces, escapes. */
static const char made_by_hand[] = " \"__metadata__\" : {\"a\\u00e9\\n\":\"\\ud83d\\ude00\", \"k\":\"\"}\n,"
                                   "\"w\\/1\":{\"data_offsets\":[8,20],\"shape\":[3,1],\"dtype\":\"F32\"},"
                                   "\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}}   ";

START_TEST(test_reads_a_file_made_by_hand)
{
    char header[sizeof made_by_hand + 1] = "{";
    strcat(header, made_by_hand);
    const unsigned char data[20] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0,
                                    0x80, 0x3f, 0,    0,    0,    0xc0, 0,    0,    0, 0x3f};
    tape_safetensors *file = tape_safetensors_open(write_parts(header, strlen(header), data, sizeof data));
    ck_assert_msg(file != NULL, "%s", tape_message());
    ck_assert_int_eq(tape_safetensors_count(file), 2);
    ck_assert_str_eq(tape_safetensors_name(file, 0), "w/1");
    ck_assert_str_eq(tape_safetensors_metadata(file, "a\xc3\xa9\n"), "\xf0\x9f\x98\x80");
    ck_assert_str_eq(tape_safetensors_metadata(file, "k"), "");
    ck_assert_ptr_null(tape_safetensors_metadata(file, "nothing"));
    ck_assert_int_eq(tape_safetensors_find(file, "n"), 1);
    ck_assert_int_eq(tape_safetensors_find(file, "w/1"), 0);
    ck_assert_int_eq(tape_safetensors_find(file, "x"), -1);
    ck_assert_int_eq(tape_safetensors_dtype(file, 1), TAPE_I64);
    ck_assert_int_eq(tape_safetensors_shape(file, 1).rank, 0);
    tape_tensor w = tape_safetensors_leaf(file, 0), n = tape_safetensors_leaf(file, 1);
    const float expected[] = {1, -2, 0.5f};
    ck_assert_mem_eq(tape_data_f32(w), expected, sizeof expected);
    ck_assert_int_eq(tape_size(w, 0), 3);
    ck_assert_double_eq(tape_item(n), -2);
    ck_assert_int_ne(tape_safetensors_read(file, 0, n), TAPE_OK);
    failed(TAPE_ERROR_DTYPE, "m.safetensors: tensor \"w/1\" has dtype F32, expected I64");
    tape_tensor other = tape_const(TAPE_F32, TAPE_SHAPE(1, 3), NULL);
    ck_assert_int_ne(tape_safetensors_read(file, 0, other), TAPE_OK);
    failed(TAPE_ERROR_SHAPE, "m.safetensors: tensor \"w/1\" has shape [3, 1], expected [1, 3]");
    ck_assert_int_ne(tape_safetensors_read(file, 2, other), TAPE_OK);
    failed(TAPE_ERROR_ARGUMENT, "no tensor 2");
    tape_safetensors_close(file);
    tape_safetensors_close(NULL);
    tape_free(w);
    tape_free(n);
    tape_free(other);
}
END_TEST

START_TEST(test_writes_exactly_these_bytes)
{
    const float f[] = {1, -2};
    const int64_t k = 258;
    tape_tensor a = tape_const(TAPE_F32, TAPE_SHAPE(1, 2), f), b = tape_const(TAPE_I64, TAPE_SCALAR, &k);
    const char *path = files_path("out");
    ok(tape_safetensors_save(path, (tape_named[]){{"a\"\t", a}, {"b", b}}, 2, (tape_metadata[]){{"k", "v"}}, 1));
    static const char header[] =
        "{\"__metadata__\":{\"k\":\"v\"},\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
        "\"a\\\"\\u0009\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[8,16]}}";
    static const unsigned char data[] = {2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0};
    size_t n, header_bytes = (sizeof header - 1 + 7) / 8 * 8;
    unsigned char *bytes = files_read(path, &n);
    ck_assert_uint_eq(n, 8 + header_bytes + sizeof data);
    ck_assert_uint_eq(bytes[0], header_bytes);
    for (int i = 1; i < 8; i++)
        ck_assert_uint_eq(bytes[i], 0);
    ck_assert_mem_eq(bytes + 8, header, sizeof header - 1);
    for (size_t i = sizeof header - 1; i < header_bytes; i++)
        ck_assert_int_eq(bytes[8 + i], ' ');
    ck_assert_mem_eq(bytes + 8 + header_bytes, data, sizeof data);
    free(bytes);
    ck_assert_int_eq(files_count(), 1);
    tape_free(a);
    tape_free(b);
}
END_TEST

START_TEST(test_round_trip)
{
    unsigned char bytes[96];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(37 * i + 1);
    tape_named tensor[7];
    static const char *const names[] = {"f32", "f64", "i32", "i64", "u8", "empty", "r\xc3\xb6x"};
    for (int i = 0; i < 5; i++)
        tensor[i] = (tape_named){names[i], tape_const((tape_dtype)i, TAPE_SHAPE(2, 1, 3), bytes)};
    tensor[5] = (tape_named){names[5], tape_const(TAPE_F64, TAPE_SHAPE(3, 0), NULL)};
    tensor[6] = (tape_named){names[6], tape_const(TAPE_U8, TAPE_SHAPE(1, 1, 1, 1, 1, 1, 1, 2), bytes)};
    const char *path = files_path("out");
    ok(tape_safetensors_save(path, tensor, 7, NULL, 0));
    tape_safetensors *file = tape_safetensors_open(path);
    ck_assert_msg(file != NULL, "%s", tape_message());
    ck_assert_int_eq(tape_safetensors_count(file), 7);
    for (int i = 0; i < 7; i++) {
        int64_t at = tape_safetensors_find(file, names[i]);
        ck_assert_int_ge(at, 0);
        tape_tensor leaf = tape_safetensors_leaf(file, at);
        size_t n = (size_t)tape_numel(leaf) * tape_dtype_size(tape_dtype_of(leaf));
        ck_assert_int_eq(tape_dtype_of(leaf), tape_dtype_of(tensor[i].tensor));
        ck_assert_int_eq(tape_rank(leaf), tape_rank(tensor[i].tensor));
        ck_assert_int_eq(memcmp(tape_data(leaf), bytes, n), 0);
        ck_assert_int_eq(((const char *)tape_safetensors_data(file, at) -
                          (const char *)tape_safetensors_data(file, tape_safetensors_find(file, "f64"))) %
                             (long)tape_dtype_size(tape_dtype_of(leaf)),
                         0);
        tape_free(leaf);
        tape_free(tensor[i].tensor);
    }
    tape_safetensors_close(file);
    ok(tape_safetensors_save(path, NULL, 0, NULL, 0));
    file = tape_safetensors_open(path);
    ck_assert_int_eq(tape_safetensors_count(file), 0);
    tape_safetensors_close(file);
}
END_TEST

START_TEST(test_truncated_anywhere)
{
    char header[sizeof made_by_hand + 1] = "{";
    strcat(header, made_by_hand);
    const unsigned char data[20] = {0};
    size_t n;
    unsigned char *whole = files_read(write_parts(header, strlen(header), data, sizeof data), &n);
    for (size_t cut = 0; cut < n; cut++) {
        ck_assert_ptr_null(tape_safetensors_open(files_write("m.safetensors", whole, cut)));
        failed(TAPE_ERROR_FORMAT, "m.safetensors: ");
    }
    /* The same with a header that is cut and says so. */
    for (size_t cut = 0; cut < strlen(header) - 3; cut++) {
        ck_assert_ptr_null(tape_safetensors_open(write_parts(header, cut, data, sizeof data)));
        failed(TAPE_ERROR_FORMAT, "m.safetensors: ");
    }
    /* Every single byte of the header replaced by each of some characters: no crash, whatever the verdict. */
    static const char others[] = "\0\"\\{}[]:,0u\x80\xff";
    for (size_t i = 0; i < n - sizeof data; i++)
        for (size_t k = 0; k < sizeof others - 1; k++) {
            unsigned char before = whole[i];
            whole[i] = (unsigned char)others[k];
            tape_safetensors_close(tape_safetensors_open(files_write("m.safetensors", whole, n)));
            tape_clear();
            whole[i] = before;
        }
    free(whole);
}
END_TEST

#define T(offsets) "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" offsets

START_TEST(test_refused)
{
    static const struct {
        const char *header;
        size_t bytes;
        tape_status status;
        const char *part;
    } cases[] = {
        {"[]", 0, TAPE_ERROR_FORMAT, "header byte 8: expected '{'"},
        {" {}", 0, TAPE_ERROR_FORMAT, "expected '{'"},
        {"{}x", 0, TAPE_ERROR_FORMAT, "follows"},
        {"{}", 4, TAPE_ERROR_FORMAT, "has 4 bytes of data, but its tensors fill 0"},
        {"{\"a\":{" T("[0,8]") "}}", 12, TAPE_ERROR_FORMAT, "has 12 bytes"},
        {"{\"a\":{" T("[0,8]") "}}", 4, TAPE_ERROR_FORMAT, "tensor \"a\" lies at bytes 0 to 8 of 4"},
        {"{\"a\":{" T("[8,0]") "}}", 8, TAPE_ERROR_FORMAT, "lies at bytes 8 to 0"},
        {"{\"a\":{" T("[0,4]") "}}", 4, TAPE_ERROR_FORMAT, "F32 of [2], does not fill its 4 bytes"},
        {"{\"a\":{" T("[0,8]") "},\"b\":{" T("[4,12]") "}}", 12, TAPE_ERROR_FORMAT, "tensor \"b\" overlaps"},
        {"{\"a\":{" T("[0,8]") "},\"b\":{" T("[0,8]") "}}", 8, TAPE_ERROR_FORMAT, "overlaps"},
        {"{\"a\":{" T("[0,8]") "},\"b\":{" T("[12,20]") "}}", 20, TAPE_ERROR_FORMAT, "\"b\" leaves a gap"},
        {"{\"a\":{" T("[0,8]") "},\"a\":{" T("[8,16]") "}}", 16, TAPE_ERROR_FORMAT, "tensor \"a\" is there twice"},
        {"{\"a\":{" T("[0]") "}}", 8, TAPE_ERROR_FORMAT, "two numbers"},
        {"{\"a\":{" T("[0,8,9]") "}}", 8, TAPE_ERROR_FORMAT, "too long"},
        {"{\"a\":{" T("[-1,8]") "}}", 8, TAPE_ERROR_FORMAT, "whole number"},
        {"{\"a\":{" T("[0,8.0]") "}}", 8, TAPE_ERROR_FORMAT, "expected ',' or ']'"},
        {"{\"a\":{" T("[00,8]") "}}", 8, TAPE_ERROR_FORMAT, "whole number"},
        {"{\"a\":{" T("[0,99999999999999999999]") "}}", 8, TAPE_ERROR_FORMAT, "too large"},
        {"{\"a\":{" T("[0,8]") ",\"shape\":[2]}}", 8, TAPE_ERROR_FORMAT, "repeated key"},
        {"{\"a\":{" T("[0,8]") ",\"more\":1}}", 8, TAPE_ERROR_FORMAT, "none of dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, TAPE_ERROR_FORMAT, "lacks"},
        {"{\"a\":{}}", 0, TAPE_ERROR_FORMAT, "expected a string"},
        {"{\"a\":[]}", 0, TAPE_ERROR_FORMAT, "expected '{'"},
        {"{\"a\":{" T("[0,8]") "},}", 8, TAPE_ERROR_FORMAT, "expected a string"},
        {"{\"\":{" T("[0,8]") "}}", 8, TAPE_ERROR_FORMAT, "without a name"},
        {"{\"a\\u0000b\":{" T("[0,8]") "}}", 8, TAPE_ERROR_FORMAT, "bad escape"},
        {"{\"a\\ud800\":{" T("[0,8]") "}}", 8, TAPE_ERROR_FORMAT, "bad escape"},
        {"{\"a\\q\":{" T("[0,8]") "}}", 8, TAPE_ERROR_FORMAT, "bad escape"},
        {"{\"a\n\":{" T("[0,8]") "}}", 8, TAPE_ERROR_FORMAT, "control character"},
        {"{\"a\xff\":{" T("[0,8]") "}}", 8, TAPE_ERROR_FORMAT, "not UTF-8"},
        {"{\"a\xc0\x80\":{" T("[0,8]") "}}", 8, TAPE_ERROR_FORMAT, "not UTF-8"},
        {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, TAPE_ERROR_UNSUPPORTED,
         "tensor \"a\" has dtype \"BF16\""},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1, TAPE_ERROR_FORMAT,
         "too long"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, TAPE_ERROR_FORMAT,
         "does not fill"},
        {"{\"__metadata__\":{\"k\":1}}", 0, TAPE_ERROR_FORMAT, "expected a string"},
        {"{\"__metadata__\":{\"k\":\"a\",\"k\":\"b\"}}", 0, TAPE_ERROR_FORMAT, "metadata \"k\" is there twice"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, TAPE_ERROR_FORMAT, "__metadata__ is there twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_ptr_null(open_parts(cases[i].header, cases[i].bytes));
        failed(cases[i].status, cases[i].part);
    }
    enum { DEEP = 100000 };
    char *deep = malloc(DEEP + 1);
    memset(deep, '[', DEEP);
    memcpy(deep, "{\"a\":", 5);
    ck_assert_ptr_null(tape_safetensors_open(write_parts(deep, DEEP, NULL, 0)));
    failed(TAPE_ERROR_FORMAT, "expected '{'");
    free(deep);
    static const unsigned char liar[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, '{', '}'};
    ck_assert_ptr_null(tape_safetensors_open(files_write("liar", liar, sizeof liar)));
    failed(TAPE_ERROR_FORMAT, "liar: is not a whole safetensors file");
    ck_assert_ptr_null(tape_safetensors_open(files_path("nowhere")));
    failed(TAPE_ERROR_IO, "nowhere: cannot open: No such file");
    ck_assert_ptr_null(tape_safetensors_open("/dev/null"));
    failed(TAPE_ERROR_FORMAT, "/dev/null: is not a regular file");
}
END_TEST

/* ---- saving safely ----------------------------------------------------------------------------------------------- */

static void check_untouched(const char *path, const char *text)
{
    size_t n;
    unsigned char *bytes = files_read(path, &n);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(n, strlen(text));
    ck_assert_int_eq(memcmp(bytes, text, n), 0);
    free(bytes);
    ck_assert_int_eq(files_count(), 1);
}

START_TEST(test_failed_save_changes_nothing)
{
    tape_tensor x = tape_const(TAPE_F32, TAPE_SHAPE(100000), NULL);
    const char *path = files_write("model", "old", 3);
    tape_named one = {"x", x};
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, small = {4096, 4096};
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    tape_status status = tape_safetensors_save(path, &one, 1, NULL, 0);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(status, TAPE_ERROR_IO);
    failed(TAPE_ERROR_IO, "model: cannot write: File too large");
    check_untouched(path, "old");

    tape_safetensors_save(path, (tape_named[]){one, one}, 2, NULL, 0);
    failed(TAPE_ERROR_ARGUMENT, "model: two tensors are called \"x\"");
    tape_safetensors_save(path, &(tape_named){"", x}, 1, NULL, 0);
    failed(TAPE_ERROR_ARGUMENT, "no name");
    tape_safetensors_save(path, &(tape_named){"\xff", x}, 1, NULL, 0);
    failed(TAPE_ERROR_ARGUMENT, "not UTF-8");
    tape_safetensors_save(path, &(tape_named){"y", TAPE_NULL}, 1, NULL, 0);
    failed(TAPE_ERROR_HANDLE, "");
    tape_safetensors_save(path, &one, 1, (tape_metadata[]){{"k", "\xc0"}}, 1);
    failed(TAPE_ERROR_ARGUMENT, "not UTF-8");
    tape_safetensors_save(path, &one, 1, (tape_metadata[]){{"k", "1"}, {"k", "2"}}, 2);
    failed(TAPE_ERROR_ARGUMENT, "\"k\" is given twice");
    tape_fail(TAPE_ERROR_STATE, "kept");
    ck_assert_int_eq(tape_safetensors_save(path, &one, 1, NULL, 0), TAPE_ERROR_STATE);
    tape_clear();
    check_untouched(path, "old");

    tape_safetensors_save("/dev/full", &one, 1, NULL, 0);
    failed(TAPE_ERROR_IO, "/dev/full: cannot write: No space left");
    struct stat info;
    ck_assert(stat("/dev/full", &info) == 0 && S_ISCHR(info.st_mode));
    tape_safetensors_save(files_path("no/such/directory"), &one, 1, NULL, 0);
    failed(TAPE_ERROR_IO, "no/such/directory: cannot create a file in its directory: No such file");
    tape_safetensors_save("/", &one, 1, NULL, 0);
    failed(TAPE_ERROR_IO, "Is a directory");
    tape_safetensors_save("", &one, 1, NULL, 0);
    failed(TAPE_ERROR_ARGUMENT, "name of a file");
    ok(tape_safetensors_save(path, &one, 1, NULL, 0));
    ck_assert_int_eq(files_count(), 1);
    tape_free(x);
}
END_TEST

START_TEST(test_replacing)
{
    const char *path = files_write("model", "old", 3), *link = files_path("link");
    struct stat info;
    ck_assert_int_eq(chmod(path, 0640), 0);
    ck_assert_int_eq(symlink("model", link), 0);
    ok(tape_write_file(link, "new text", 8));
    ck_assert(lstat(link, &info) == 0 && S_ISLNK(info.st_mode));
    ck_assert(stat(path, &info) == 0 && info.st_size == 8 && (info.st_mode & 0777) == 0640);
    ok(tape_write_file(path, "", 0));
    ck_assert(stat(path, &info) == 0 && info.st_size == 0);
    ck_assert_int_eq(files_count(), 2);
    char cwd[512], longer[400];
    ck_assert_ptr_nonnull(getcwd(cwd, sizeof cwd));
    ck_assert_int_eq(chdir(files_path("")), 0);
    ok(tape_write_file("here", "x", 1));
    ck_assert_int_eq(chdir(cwd), 0);
    ck_assert_int_eq(files_count(), 3);
    memset(longer, 'n', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    tape_write_file(longer, "x", 1);
    failed(TAPE_ERROR_IO, "...nnnn");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("safetensors");
    TCase *tests = tcase_create("safetensors");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_reads_a_file_made_by_hand);
    tcase_add_test(tests, test_writes_exactly_these_bytes);
    tcase_add_test(tests, test_round_trip);
    tcase_add_test(tests, test_truncated_anywhere);
    tcase_add_test(tests, test_refused);
    tcase_add_test(tests, test_failed_save_changes_nothing);
    tcase_add_test(tests, test_replacing);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
