/* format/pth, zip and pickle: files of torch.save against the same tensors in safetensors (tools/make_pth_fixtures.py),
 * and damaged, lying and malicious ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "format/pickle.h"
#include "format/pth.h"
#include "format/safetensors.h"
#include "format/zip.h"

static void same_tensors(const char *name) {
    char path[256];
    tensor_file file, expected;
    carina_error error = {0};
    snprintf(path, sizeof path, TEST_DATA "/pth/%s.safetensors", name);
    assert_int_equal(safetensors_read(&expected, path, &error), CARINA_OK);
    snprintf(path, sizeof path, TEST_DATA "/pth/%s.pth", name);
    if (pth_read(&file, path, &error) != CARINA_OK) fail_msg("%s", error.message);
    assert_int_equal(file.count, expected.count);
    for (uint64_t i = 0; i < expected.count; i++) {
        const named_tensor *wanted = &expected.tensors[i], *got = tensor_file_find(&file, wanted->name);
        if (!got) fail_msg("%s lacks '%s'", name, wanted->name);
        assert_int_equal(got->dtype, wanted->dtype);
        assert_int_equal(got->rank, wanted->rank);
        assert_memory_equal(got->shape, wanted->shape, (size_t)wanted->rank * sizeof(uint64_t));
        assert_int_equal(got->byte_count, wanted->byte_count);
        if (wanted->byte_count) assert_memory_equal(got->data, wanted->data, wanted->byte_count);
    }
    tensor_file_free(&file);
    tensor_file_free(&expected);
}

static void files_of_torch_are_read(void **state) {
    (void)state;
    static const char *const names[] = {
        "state_dict", "checkpoint", "checkpoint_protocol4", "views",    "types",
        "parameter",  "single",     "legacy_views",         "deflated", "legacy_checkpoint"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) same_tensors(names[i]);
    tensor_file file;
    carina_error error;
    assert_int_equal(pth_read(&file, TEST_DATA "/pth/checkpoint.pth", &error), CARINA_OK);
    assert_string_equal(tensor_file_metadata(&file, "epoch"), "3");
    assert_string_equal(tensor_file_metadata(&file, "args.backbone"), "resnet50");
    assert_string_equal(tensor_file_metadata(&file, "args.lr"), "0.0001");
    assert_string_equal(tensor_file_metadata(&file, "args.masks"), "false");
    assert_string_equal(tensor_file_metadata(&file, "args.dims.1"), "16");
    assert_string_equal(tensor_file_metadata(&file, "args.big"), "1099511627776");
    assert_non_null(tensor_file_find(&file, "model.0.weight"));
    assert_non_null(tensor_file_find(&file, "optimizer.state.0.exp_avg"));
    tensor_file_free(&file);
}

static void refuse_file(const char *name, carina_status expected, const char *part) {
    char path[256];
    tensor_file file;
    carina_error error = {0};
    snprintf(path, sizeof path, TEST_DATA "/%s", name);
    assert_int_equal(pth_read(&file, path, &error), expected);
    if (!strstr(error.message, part)) fail_msg("'%s' lacks '%s'", error.message, part);
}

static void other_contents_are_refused_by_name(void **state) {
    (void)state;
    refuse_file("pth/refused_module.pth", CARINA_ERROR_UNSUPPORTED,
                "global 'torch.nn.modules.linear.Linear' at offset");
    refuse_file("pth/refused_complex.pth", CARINA_ERROR_UNSUPPORTED, "global 'torch.ComplexFloatStorage'");
    refuse_file("pth/refused_sparse.pth", CARINA_ERROR_UNSUPPORTED, "global 'torch._utils._rebuild_sparse_tensor'");
    refuse_file("pth/refused_code.pth", CARINA_ERROR_UNSUPPORTED, "global 'posix.system'");
    assert_false(file_exists("carina-was-here"));
    refuse_file("pth/views.safetensors", CARINA_ERROR_FORMAT, "neither a ZIP archive nor a pickle");
    refuse_file("csv/split.csv.gz", CARINA_ERROR_FORMAT, "neither a ZIP archive nor a pickle");
    refuse_file("pth/absent.pth", CARINA_ERROR_IO, "cannot open");
}

static void damaged_files_are_refused(void **state) {
    (void)state;
    static const char *const names[] = {"checkpoint", "legacy_checkpoint", "deflated"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        char path[256];
        uint8_t *bytes;
        uint64_t size;
        tensor_file file;
        carina_error error;
        snprintf(path, sizeof path, TEST_DATA "/pth/%s.pth", names[n]);
        assert_int_equal(file_read(path, 1u << 20, &bytes, &size, &error), CARINA_OK);
        for (uint64_t cut = 0; cut < size; cut++) { /* an exact copy, so that a read past the end is seen */
            uint8_t *shorter = malloc(cut + 1);
            memcpy(shorter, bytes, cut);
            assert_int_not_equal(pth_parse(&file, "x", shorter, cut, &error), CARINA_OK);
            free(shorter);
        }
        for (uint64_t at = 0; at < size; at++) { /* any outcome but a crash; the container's checksums find most */
            bytes[at] ^= 0x41;
            if (pth_parse(&file, "x", bytes, size, &error) == CARINA_OK) tensor_file_free(&file);
            bytes[at] ^= 0x41;
        }
        free(bytes);
    }
}

static bool accept_some(const char *global) { return strcmp(global, "a.B") == 0; }

static carina_status parse(pickle_tree *tree, const char *bytes, uint64_t size, carina_error *error) {
    return pickle_parse(tree, "x", bytes, size, accept_some, error);
}
#define PICKLE(text) text, sizeof(text) - 1

static void pickles_become_trees(void **state) {
    (void)state;
    pickle_tree tree;
    carina_error error = {0};
    assert_int_equal(parse(&tree,
                           PICKLE("\x80\x02}q\x00(U\x01kJ\xff\xff\xff\xffX\x01\x00\x00\x00lG\x3f\xf8\0\0\0\0\0\0"
                                  "\x8a\x02\x00\x80\x88u."),
                           &error),
                     CARINA_OK);
    assert_int_equal(tree.root->kind, PICKLE_DICT);
    assert_int_equal(tree.root->count, 6);
    assert_true(pickle_text_is(tree.root->items[0], "k"));
    assert_int_equal(tree.root->items[1]->whole, -1);
    assert_true(tree.root->items[3]->real == 1.5);
    assert_int_equal(tree.root->items[4]->whole, -32768);
    assert_int_equal(tree.root->items[5]->kind, PICKLE_BOOL);
    pickle_free(&tree);
    assert_int_equal(parse(&tree,
                           PICKLE("\x80\x02"
                                  "ca\nB\n)\x81q\x05}U\x01xK\x07sb."),
                           &error),
                     CARINA_OK);
    assert_true(pickle_is_call(tree.root, "a.B"));
    assert_int_equal(tree.root->state->items[1]->whole, 7);
    pickle_free(&tree);
    assert_int_equal(parse(&tree,
                           PICKLE("\x80\x02]q\x00h\x00"
                                  "a.rest"),
                           &error),
                     CARINA_OK); /* a list that holds itself */
    assert_ptr_equal(tree.root->items[0], tree.root);
    assert_int_equal(tree.size, 9);
    pickle_free(&tree);
}

static void refuse(const char *bytes, uint64_t size, carina_status expected, const char *part) {
    pickle_tree tree;
    carina_error error = {0};
    assert_int_equal(parse(&tree, bytes, size, &error), expected);
    if (!strstr(error.message, part)) fail_msg("'%s' lacks '%s'", error.message, part);
}

static void bad_pickles_are_refused(void **state) {
    (void)state;
    refuse(PICKLE("\x80\x02"
                  "cos\nsystem\n(U\x02lstR."),
           CARINA_ERROR_UNSUPPORTED, "global 'os.system' at offset 2");
    refuse(PICKLE("\x80\x04\x8c\x02os\x8c\x06system\x93."), CARINA_ERROR_UNSUPPORTED,
           "global 'os.system' at offset 14");
    refuse(PICKLE("\x80\x02(ios\nsystem\n."), CARINA_ERROR_UNSUPPORTED,
           "opcode 0x69 ('i') is not understood at offset 3");
    refuse(PICKLE("\x80\x02\x82\x01."), CARINA_ERROR_UNSUPPORTED, "opcode 0x82");
    refuse(PICKLE("\x80\x01N."), CARINA_ERROR_UNSUPPORTED, "protocol");
    refuse(PICKLE("\x80\x02"), CARINA_ERROR_FORMAT, "no end mark");
    refuse(PICKLE("\x80\x02."), CARINA_ERROR_FORMAT, "not exactly one value");
    refuse(PICKLE("\x80\x02NN."), CARINA_ERROR_FORMAT, "not exactly one value");
    refuse(PICKLE("\x80\x02N(."), CARINA_ERROR_FORMAT, "not exactly one value");
    refuse(PICKLE("\x80\x02X\xff\xff\xff\x7f"
                  "ab."),
           CARINA_ERROR_FORMAT, "text is cut off");
    refuse(PICKLE("\x80\x02\x8b\xff\xff\xff\x7f"
                  "ab."),
           CARINA_ERROR_FORMAT, "integer is cut off");
    refuse(PICKLE("\x80\x02h\x05."), CARINA_ERROR_FORMAT, "memo entry does not exist");
    refuse(PICKLE("\x80\x02Nr\xff\xff\xff\x7f."), CARINA_ERROR_FORMAT, "memo index is too large");
    refuse(PICKLE("\x80\x02t."), CARINA_ERROR_FORMAT, "no mark is set");
    refuse(PICKLE("\x80\x02N(\x85."), CARINA_ERROR_FORMAT, "stack is empty");
    refuse(PICKLE("\x80\x02N(0."), CARINA_ERROR_FORMAT, "stack is empty");
    refuse(PICKLE("\x80\x02}(Nu."), CARINA_ERROR_FORMAT, "a key without a value");
    refuse(PICKLE("\x80\x02NNa."), CARINA_ERROR_FORMAT, "no collection");
    refuse(PICKLE("\x80\x02NNR."), CARINA_ERROR_FORMAT, "no global and tuple");
    refuse(PICKLE("\x80\x02NNb."), CARINA_ERROR_FORMAT, "no object");
    refuse(PICKLE("\x80\x02"
                  "ca\nB"),
           CARINA_ERROR_FORMAT, "a global is cut off");
    refuse(PICKLE("\x80\x02NN\x93."), CARINA_ERROR_FORMAT, "a global without a name");
    refuse("", 0, CARINA_ERROR_FORMAT, "no end mark");
}

/* The old container takes hand-made pickles easily: the three leading ones, then the object, keys and data. */
#define LEGACY \
    "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}U\x0dlittle_endian\x88s."
#define STORAGE(count)                               \
    "(U\x07storagectorch\nFloatStorage\nU\x01sU\x03" \
    "cpuK" count "tQ"
#define TENSOR(offset, size, stride) "ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE("\x02") offset size stride "tR"
#define DATA          \
    "\x80\x02]U\x01s" \
    "a.\x02\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\x40"

static void refuse_legacy(const char *bytes, uint64_t size, const char *part) {
    tensor_file file;
    carina_error error = {0};
    assert_int_not_equal(pth_parse(&file, "x", bytes, size, &error), CARINA_OK);
    if (!strstr(error.message, part)) fail_msg("'%s' lacks '%s'", error.message, part);
}

static void lying_tensors_are_refused(void **state) {
    (void)state;
    tensor_file file;
    carina_error error = {0};
    static const char good[] = LEGACY "\x80\x02}U\x01t" TENSOR("K\x00", "K\x02\x85", "K\x01\x85") "s." DATA;
    if (pth_parse(&file, "x", good, sizeof good - 1, &error) != CARINA_OK) fail_msg("%s", error.message);
    float values[2];
    assert_int_equal(named_tensor_to_f32(&file.tensors[0], values, 2, &error), CARINA_OK);
    assert_true(values[0] == 1 && values[1] == 2);
    tensor_file_free(&file);
#define REFUSE(object, data, part) refuse_legacy(PICKLE(LEGACY "\x80\x02" object "." data), part)
    REFUSE(TENSOR("K\x01", "K\x02\x85", "K\x01\x85"), DATA, "past the end of its storage");
    REFUSE(TENSOR("K\x00", "K\x02\x85", "K\x02\x85"), DATA, "past the end of its storage");
    REFUSE(TENSOR("K\x00", "K\x02\x85", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85"), DATA, "past the end");
    REFUSE(TENSOR("K\x00", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85", "K\x00\x85"), DATA,
           "larger than any memory");
    REFUSE(TENSOR("K\x00", "J\xff\xff\xff\x0f\x85", "K\x00\x85"), DATA, "far more than the file holds");
    REFUSE(TENSOR("J\xff\xff\xff\xff", "K\x02\x85", "K\x01\x85"), DATA, "not (storage, offset, size, stride)");
    REFUSE(TENSOR("K\x00", "K\x02\x85", "K\x01K\x01\x86"), DATA, "size and stride");
    REFUSE(TENSOR("K\x00", "N\x85", "K\x01\x85"), DATA, "size and stride");
    REFUSE("ctorch._utils\n_rebuild_tensor_v2\n)R", DATA, "unknown or given twice");
    REFUSE("]" TENSOR("K\x00", "K\x02\x85", "K\x01\x85") "a", "\x80\x02].", "storages are missing");
    REFUSE("]" TENSOR("K\x00", "K\x02\x85", "K\x01\x85") "a",
           "\x80\x02]U\x01s"
           "a.\x02\0\0\0\0\0\0\0\0\0\x80\x3f",
           "cut off");
    REFUSE("]" TENSOR("K\x00", "K\x02\x85", "K\x01\x85") "a",
           "\x80\x02]U\x01s"
           "a.\xff\xff\xff\xff\xff\xff\xff\x7f",
           "cut off");
    REFUSE("(" STORAGE("\x02") STORAGE("\x03") "l", DATA, "opcode 0x6c");
    REFUSE(STORAGE("\x02") STORAGE("\x03") "\x86", DATA, "described in two ways");
    REFUSE("(U\x07storageK\x01tQ", DATA, "a reference that is not");
    REFUSE("}", "\x80\x02].", "no tensors in it");
    REFUSE(
        "]q\x00h\x00"
        "a",
        "\x80\x02].", "nested too deeply");
    refuse_legacy(PICKLE("\x80\x02N."), "a pickle, but no torch.save file");
    char tar[512] = {0};
    memcpy(tar + 257, "ustar", 5);
    refuse_legacy(tar, sizeof tar, "oldest format");
}

static void put16(uint8_t *at, unsigned value) {
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

/* One stored entry "a" with content "hi": local header 31 + 2 bytes, directory 47, end 22. */
static void make_zip(uint8_t out[102]) {
    memset(out, 0, 102);
    uint8_t *central = out + 33, *end = out + 80;
    memcpy(out, "PK\3\4", 4);
    memcpy(central, "PK\1\2", 4);
    memcpy(end, "PK\5\6", 4);
    static const uint8_t crc[4] = {0xac, 0x2a, 0x93, 0xd8}; /* of "hi" */
    memcpy(central + 16, crc, 4);
    central[20] = central[24] = 2;
    out[26] = central[28] = 1;
    out[30] = central[46] = 'a';
    memcpy(out + 31, "hi", 2);
    end[8] = end[10] = 1;
    end[12] = 47;
    end[16] = 33;
}

static carina_status try_zip(const uint8_t *bytes, carina_error *error) {
    zip_archive zip;
    const uint8_t *view;
    uint8_t *owned;
    TRY(zip_open(&zip, "x", bytes, 102, error));
    const zip_entry *entry = zip_find(&zip, "a");
    carina_status status = entry ? zip_read(&zip, entry, 100, &view, &owned, error) : CARINA_ERROR_FORMAT;
    if (status == CARINA_OK) {
        assert_memory_equal(view, "hi", 2);
        free(owned);
    }
    zip_close(&zip);
    return status;
}

static void archives_are_checked(void **state) {
    (void)state;
    uint8_t zip[102];
    carina_error error = {0};
    make_zip(zip);
    if (try_zip(zip, &error) != CARINA_OK) fail_msg("%s", error.message);
    static const struct {
        int at;
        unsigned value;
        carina_status status;
        const char *part;
    } changes[] = {
        {33 + 16, 0, CARINA_ERROR_FORMAT, "checksum"},
        {33 + 24, 3, CARINA_ERROR_FORMAT, "two sizes"},
        {33 + 8, 1, CARINA_ERROR_UNSUPPORTED, "encrypted"},
        {33 + 10, 12, CARINA_ERROR_UNSUPPORTED, "compression method 12"},
        {33 + 10, 8, CARINA_ERROR_FORMAT, "compressed data is damaged"},
        {33 + 42, 1, CARINA_ERROR_FORMAT, "not where the directory says"},
        {33 + 42, 60000, CARINA_ERROR_FORMAT, "outside the file"},
        {33 + 28, 0x4000, CARINA_ERROR_FORMAT, "directory is cut off"},
        {26, 0x4000, CARINA_ERROR_FORMAT, "not where the directory says"},
        {80 + 16, 60000, CARINA_ERROR_FORMAT, "outside the file"},
        {80 + 8, 2, CARINA_ERROR_UNSUPPORTED, "volumes"},
        {80 + 4, 1, CARINA_ERROR_UNSUPPORTED, "volumes"},
        {80 + 20, 5, CARINA_ERROR_FORMAT, "no end record"},
        {33, 0, CARINA_ERROR_FORMAT, "entry is missing"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        make_zip(zip);
        put16(zip + changes[i].at, changes[i].value);
        assert_int_equal(try_zip(zip, &error), changes[i].status);
        if (!strstr(error.message, changes[i].part)) fail_msg("'%s' lacks '%s'", error.message, changes[i].part);
    }
    make_zip(zip);
    put16(zip + 88, 2);
    put16(zip + 90, 2);
    assert_int_equal(try_zip(zip, &error), CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "too short for its entries"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_torch_are_read),   cmocka_unit_test(other_contents_are_refused_by_name),
        cmocka_unit_test(damaged_files_are_refused), cmocka_unit_test(pickles_become_trees),
        cmocka_unit_test(bad_pickles_are_refused),   cmocka_unit_test(lying_tensors_are_refused),
        cmocka_unit_test(archives_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
