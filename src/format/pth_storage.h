/* Inside format/pth: the storages (flat arrays) that a .pth file's tensors are views of, and the two containers. */
#ifndef FORMAT_PTH_STORAGE_H
#define FORMAT_PTH_STORAGE_H

#include "format/pickle.h"
#include "format/tensor_file.h"

typedef struct pth_storage {
    const char *key; /* not NUL-terminated; the pickle's */
    uint64_t key_size;
    tensor_dtype dtype;
    uint64_t count;       /* elements */
    const uint8_t *bytes; /* count * size of dtype; borrowed from the file or owned */
    uint8_t *owned;
} pth_storage;

typedef struct pth_file {
    const char *name;
    pickle_tree tree;
    uint8_t *pickle_bytes; /* what the tree points into, when it had to be inflated */
    pth_storage *storages; /* sorted by key */
    uint64_t storage_count;
    uint64_t copy_limit; /* bytes that copies of non-contiguous tensors may take */
    uint8_t **copies;    /* such copies, owned */
    uint64_t copy_count;
} pth_file;

/* Reads the pickle and finds every storage's bytes. On an error *out is empty. */
carina_status pth_file_open(pth_file *out, const char *name, const void *data, uint64_t size, carina_error *error);
void pth_file_close(pth_file *file); /* accepts an empty one */

/* The storage that a persistent reference in the pickle means; never NULL for a reference of this file's tree. */
const pth_storage *pth_file_storage(const pth_file *file, const pickle_value *reference);

#endif
