/* The containers of torch.save: a ZIP with data.pkl and data/KEY entries, or five pieces in a row (legacy).
 *
 * Both pickles refer to a storage as ('storage', torch.FloatStorage, key, device, element count). See pth.h.
 */
#include "format/pth_storage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "format/zip.h"

#define MAX_STORAGE (64ull << 30)
/* Deflated storages (someone zipped the file again) may take this many times the file in all: entries can share their
 * compressed bytes, so a small file could otherwise ask for any amount of memory. */
#define MAX_INFLATION 16

static const struct {
    const char *global;
    tensor_dtype dtype;
} storage_types[] = {
    {"torch.FloatStorage", DTYPE_F32},  {"torch.HalfStorage", DTYPE_F16}, {"torch.BFloat16Storage", DTYPE_BF16},
    {"torch.DoubleStorage", DTYPE_F64}, {"torch.LongStorage", DTYPE_I64}, {"torch.IntStorage", DTYPE_I32},
    {"torch.ShortStorage", DTYPE_I16},  {"torch.CharStorage", DTYPE_I8},  {"torch.ByteStorage", DTYPE_U8},
    {"torch.BoolStorage", DTYPE_BOOL},
};

/* Everything else that occurs in checkpoints and is harmless as data. */
static const char *const accepted[] = {
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_parameter",
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.Counter",
    "argparse.Namespace",
    "types.SimpleNamespace",
    "torch.Size",
    "torch.device",
    "pathlib.PosixPath",
    "pathlib.Path",
    "builtins.set",
    "builtins.dict",
    "builtins.list",
    "builtins.int",
    "builtins.float",
    "__builtin__.set",
    "__builtin__.dict",
    "__builtin__.list",
    "__builtin__.int",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
    "torch.float32",
    "torch.float16",
    "torch.bfloat16",
    "torch.float64",
    "torch.int64",
};

static bool accepts(const char *global) {
    for (size_t i = 0; i < sizeof storage_types / sizeof *storage_types; i++)
        if (strcmp(storage_types[i].global, global) == 0) return true;
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++)
        if (strcmp(accepted[i], global) == 0) return true;
    return false;
}

static carina_status malformed(const char *name, const pickle_value *at, const char *what, carina_error *error) {
    return error_set(error, CARINA_ERROR_FORMAT, "%s: pickle: %s at offset %llu", name, what,
                     (unsigned long long)at->offset);
}

static carina_status read_reference(const char *name, const pickle_value *reference, pth_storage *out,
                                    carina_error *error) {
    const pickle_value *id = reference->arguments;
    if (id->kind != PICKLE_TUPLE || id->count < 5 || !pickle_text_is(id->items[0], "storage") ||
        id->items[1]->kind != PICKLE_GLOBAL || id->items[2]->kind != PICKLE_TEXT ||
        id->items[4]->kind != PICKLE_WHOLE || id->items[4]->whole < 0)
        return malformed(name, reference, "a reference that is not ('storage', type, key, device, count)", error);
    if (id->count > 5 && id->items[5]->kind != PICKLE_NONE)
        return error_set(
            error, CARINA_ERROR_UNSUPPORTED,
            "%s: storages that are views of others (PyTorch before 0.4) are not read; save it again with a "
            "newer PyTorch",
            name);
    *out = (pth_storage){
        .key = id->items[2]->text, .key_size = id->items[2]->text_size, .count = (uint64_t)id->items[4]->whole};
    for (size_t i = 0; i < sizeof storage_types / sizeof *storage_types; i++) {
        if (!pickle_text_is(id->items[1], storage_types[i].global)) continue;
        out->dtype = storage_types[i].dtype;
        return CARINA_OK;
    }
    return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: storage type '%.*s' is not read", name,
                     (int)id->items[1]->text_size, id->items[1]->text);
}

static int compare_keys(const void *a, const void *b) {
    const pth_storage *x = a, *y = b;
    uint64_t shorter = x->key_size < y->key_size ? x->key_size : y->key_size;
    int order = memcmp(x->key, y->key, (size_t)shorter);
    return order ? order : (x->key_size > y->key_size) - (x->key_size < y->key_size);
}

/* All references, each storage once. */
static carina_status collect_storages(pth_file *file, carina_error *error) {
    uint64_t count = 0;
    for (const pickle_value *p = file->tree.last_persistent; p; p = p->next_persistent) count++;
    file->storages = calloc((size_t)count + 1, sizeof *file->storages);
    if (!file->storages) return error_memory(error, file->name, count * sizeof *file->storages);
    count = 0;
    for (const pickle_value *p = file->tree.last_persistent; p; p = p->next_persistent)
        TRY(read_reference(file->name, p, &file->storages[count++], error));
    qsort(file->storages, (size_t)count, sizeof *file->storages, compare_keys);
    for (uint64_t i = 0; i < count; i++) {
        pth_storage *storage = &file->storages[i],
                    *before = file->storage_count ? &file->storages[file->storage_count - 1] : NULL;
        if (!before || compare_keys(before, storage) != 0)
            file->storages[file->storage_count++] = *storage;
        else if (before->dtype != storage->dtype || before->count != storage->count)
            return error_set(error, CARINA_ERROR_FORMAT, "%s: storage '%.*s' is described in two ways", file->name,
                             (int)storage->key_size, storage->key);
    }
    return CARINA_OK;
}

static pth_storage *find_storage(const pth_file *file, const pth_storage *wanted) {
    if (file->storage_count == 0) return NULL;
    return bsearch(wanted, file->storages, (size_t)file->storage_count, sizeof *file->storages, compare_keys);
}

const pth_storage *pth_file_storage(const pth_file *file, const pickle_value *reference) {
    const pickle_value *key = reference->arguments->items[2];
    const pth_storage wanted = {.key = key->text, .key_size = key->text_size};
    return find_storage(file, &wanted);
}

/* "archive/data.pkl" -> "archive/"; the folder's name is the file's at the time of saving. */
static const zip_entry *find_pickle(const zip_archive *zip, int *prefix_length) {
    static const char suffix[] = "data.pkl";
    for (uint64_t i = 0; i < zip->count; i++) {
        const char *name = zip->entries[i].name;
        size_t length = strlen(name);
        if (length < sizeof suffix - 1 || strcmp(name + length - (sizeof suffix - 1), suffix) != 0) continue;
        size_t prefix = length - (sizeof suffix - 1);
        if (prefix > 200 || (prefix > 0 && (name[prefix - 1] != '/' || memchr(name, '/', prefix - 1)))) continue;
        *prefix_length = (int)prefix;
        return &zip->entries[i];
    }
    return NULL;
}

static carina_status check_byte_order(const zip_archive *zip, const char *prefix, int prefix_length,
                                      carina_error *error) {
    char name[256];
    snprintf(name, sizeof name, "%.*sbyteorder", prefix_length, prefix);
    const zip_entry *entry = zip_find(zip, name);
    if (!entry) return CARINA_OK;
    const uint8_t *text;
    uint8_t *owned;
    TRY(zip_read(zip, entry, 64, &text, &owned, error));
    bool big = entry->size >= 3 && memcmp(text, "big", 3) == 0;
    free(owned);
    return big ? error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: saved on a big-endian machine", zip->name) : CARINA_OK;
}

static carina_status read_zip_storages(pth_file *file, const zip_archive *zip, const char *prefix, int prefix_length,
                                       carina_error *error) {
    uint64_t inflation_left = zip->data_size * MAX_INFLATION + (16u << 20);
    for (uint64_t i = 0; i < file->storage_count; i++) {
        pth_storage *storage = &file->storages[i];
        char name[512];
        uint64_t bytes;
        int length = snprintf(name, sizeof name, "%.*sdata/%.*s", prefix_length, prefix,
                              (int)(storage->key_size < 250 ? storage->key_size : 250), storage->key);
        const zip_entry *entry = length < (int)sizeof name ? zip_find(zip, name) : NULL;
        if (!entry || memchr(storage->key, 0, (size_t)storage->key_size))
            return error_set(error, CARINA_ERROR_FORMAT, "%s: storage '%s' is not in the archive", file->name, name);
        if (!size_multiply(storage->count, tensor_dtype_size(storage->dtype), &bytes) || bytes > entry->size)
            return error_set(error, CARINA_ERROR_FORMAT,
                             "%s: storage '%s' has %llu bytes where %llu elements of %s need more", file->name, name,
                             (unsigned long long)entry->size, (unsigned long long)storage->count,
                             tensor_dtype_name(storage->dtype));
        TRY(zip_read(zip, entry, entry->deflated ? inflation_left : MAX_STORAGE, &storage->bytes, &storage->owned,
                     error));
        if (entry->deflated) inflation_left -= entry->size;
    }
    return CARINA_OK;
}

static carina_status open_zip(pth_file *file, const zip_archive *zip, uint8_t **pickle_bytes, carina_error *error) {
    int prefix_length;
    const zip_entry *entry = find_pickle(zip, &prefix_length);
    if (!entry)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: a ZIP archive, but no torch.save file (no data.pkl in it)",
                         file->name);
    TRY(check_byte_order(zip, entry->name, prefix_length, error));
    const uint8_t *bytes;
    TRY(zip_read(zip, entry, PICKLE_MAX_BYTES, &bytes, pickle_bytes, error));
    TRY(pickle_parse(&file->tree, file->name, bytes, entry->size, accepts, error));
    TRY(collect_storages(file, error));
    return read_zip_storages(file, zip, entry->name, prefix_length, error);
}

/* One of the small pickles in front: its value is checked, the tree is not kept. */
static carina_status skip_pickle(pth_file *file, cursor *c, bool (*check)(const pickle_value *), const char *what,
                                 carina_error *error) {
    pickle_tree tree;
    TRY(pickle_parse(&tree, file->name, c->data + c->offset, cursor_remaining(c), accepts, error));
    bool fits = check(tree.root);
    cursor_skip(c, tree.size);
    pickle_free(&tree);
    return fits ? CARINA_OK : error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: %s", file->name, what);
}

static bool is_legacy_magic(const pickle_value *value) {
    return value->kind == PICKLE_BIG_WHOLE && value->text_size == 10 &&
           memcmp(value->text, "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10) == 0;
}
static bool is_protocol_1001(const pickle_value *value) { return value->kind == PICKLE_WHOLE && value->whole == 1001; }
static bool is_little_endian(const pickle_value *value) {
    for (uint32_t i = 0; value->kind == PICKLE_DICT && i + 1 < value->count; i += 2)
        if (pickle_text_is(value->items[i], "little_endian")) return value->items[i + 1]->whole == 1;
    return false;
}

/* After the pickles: for each key u64 element count and the elements. */
static carina_status read_legacy_storages(pth_file *file, cursor *c, const pickle_value *keys, carina_error *error) {
    if (keys->kind != PICKLE_LIST) return malformed(file->name, keys, "a list of storage keys is expected", error);
    uint64_t found = 0;
    for (uint32_t i = 0; i < keys->count; i++) {
        if (keys->items[i]->kind != PICKLE_TEXT) return malformed(file->name, keys, "a storage key is no text", error);
        const pth_storage wanted = {.key = keys->items[i]->text, .key_size = keys->items[i]->text_size};
        pth_storage *storage = find_storage(file, &wanted);
        if (!storage || storage->bytes)
            return malformed(file->name, keys, "a storage key is unknown or given twice", error);
        uint64_t count = cursor_u64le(c), bytes;
        if (c->failed || count != storage->count || !size_multiply(count, tensor_dtype_size(storage->dtype), &bytes) ||
            bytes > cursor_remaining(c))
            return error_set(error, CARINA_ERROR_FORMAT, "%s: storage '%.*s' is cut off or not of the size promised",
                             file->name, (int)storage->key_size, storage->key);
        storage->bytes = cursor_take(c, bytes);
        found++;
    }
    if (found != file->storage_count)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: %llu of %llu storages are missing", file->name,
                         (unsigned long long)(file->storage_count - found), (unsigned long long)file->storage_count);
    return CARINA_OK;
}

static carina_status open_legacy(pth_file *file, const void *data, uint64_t size, carina_error *error) {
    cursor c = cursor_make(data, size);
    TRY(skip_pickle(file, &c, is_legacy_magic, "a pickle, but no torch.save file", error));
    TRY(skip_pickle(file, &c, is_protocol_1001, "an unknown version of torch.save's old format", error));
    TRY(skip_pickle(file, &c, is_little_endian, "saved on a big-endian machine", error));
    TRY(pickle_parse(&file->tree, file->name, c.data + c.offset, cursor_remaining(&c), accepts, error));
    cursor_skip(&c, file->tree.size);
    TRY(collect_storages(file, error));
    pickle_tree keys;
    TRY(pickle_parse(&keys, file->name, c.data + c.offset, cursor_remaining(&c), accepts, error));
    cursor_skip(&c, keys.size);
    carina_status status = read_legacy_storages(file, &c, keys.root, error);
    pickle_free(&keys);
    return status;
}

carina_status pth_file_open(pth_file *out, const char *name, const void *data, uint64_t size, carina_error *error) {
    *out = (pth_file){.name = name, .copy_limit = size > UINT64_MAX / 8 ? UINT64_MAX : size * 4 + (64u << 20)};
    carina_status status;
    if (zip_is_archive(data, size)) {
        zip_archive zip;
        TRY(zip_open(&zip, name, data, size, error));
        uint8_t *pickle_bytes = NULL;
        status = open_zip(out, &zip, &pickle_bytes, error);
        out->pickle_bytes = pickle_bytes;
        zip_close(&zip);
    } else if (size >= 2 && memcmp(data, "\x80\x02", 2) == 0) {
        status = open_legacy(out, data, size, error);
    } else if (size > 262 && memcmp((const char *)data + 257, "ustar", 5) == 0) {
        status = error_set(
            error, CARINA_ERROR_UNSUPPORTED,
            "%s: torch.save's oldest format (tar, before 0.2) is not read; save it again with a newer PyTorch", name);
    } else {
        status =
            error_set(error, CARINA_ERROR_FORMAT, "%s: not a .pth file (neither a ZIP archive nor a pickle)", name);
    }
    if (status != CARINA_OK) pth_file_close(out);
    return status;
}

void pth_file_close(pth_file *file) {
    for (uint64_t i = 0; i < file->storage_count; i++) free(file->storages[i].owned);
    for (uint64_t i = 0; i < file->copy_count; i++) free(file->copies[i]);
    free(file->storages);
    free(file->copies);
    pickle_free(&file->tree);
    free(file->pickle_bytes);
    *file = (pth_file){0};
}
