/* The skeleton of a DICOM file (PS3.5 section 7, PS3.10 section 7), checked before the toolkit parses it: every length
 * fits into what encloses it, sequences nest finitely, and there are not absurdly many elements. Truncated files and
 * lying lengths end here, at no cost in memory.
 */
#ifndef FORMAT_DICOM_STRUCTURE_H
#define FORMAT_DICOM_STRUCTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct dicom_structure {
    char transfer_syntax[68]; /* UID of `dataset` as it now is: a deflated one has become explicit little endian */
    char media_class[68];     /* (0002,0002) MediaStorageSOPClassUID, "" when there is no file header */
    bool was_deflated;
    const uint8_t *dataset; /* after the file header; borrowed from the file, or from `inflated` */
    uint64_t dataset_size;
    uint8_t *inflated; /* owned */
} dicom_structure;

bool dicom_structure_recognise(const void *data, uint64_t size);

/* The file header alone: transfer syntax and where the data set starts. Nothing is inflated or walked. */
carina_status dicom_structure_header(dicom_structure *out, const void *data, uint64_t size, carina_error *error);

/* Header, inflation and the whole walk. */
carina_status dicom_structure_open(dicom_structure *out, const void *data, uint64_t size, carina_error *error);
void dicom_structure_close(dicom_structure *structure);

#endif
