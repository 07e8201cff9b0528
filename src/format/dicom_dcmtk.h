/* What dicom.c needs of DCMTK, as a C interface: parsing a checked data set, its attributes, its frames; and building
 * a file. Only dicom.c includes this. No C++ exception passes; DCMTK's own log is silent.
 */
#ifndef FORMAT_DICOM_DCMTK_H
#define FORMAT_DICOM_DCMTK_H

#include "format/dicom.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dcmtk_dataset dcmtk_dataset;

/* bytes: a data set without file header that dicom_structure.c has walked; may go once this returns. UNSUPPORTED for
 * a transfer syntax that DCMTK does not know. */
carina_status dcmtk_open(dcmtk_dataset **out, const uint8_t *bytes, uint64_t size, const char *transfer_syntax,
                         carina_error *error);
void dcmtk_close(dcmtk_dataset *dataset);

/* out is zeroed first. Its lookup tables are malloc'ed. Text is not yet clean UTF-8 (dicom.c sees to that). */
carina_status dcmtk_attributes(const dcmtk_dataset *dataset, dicom_attributes *out, carina_error *error);

typedef enum dcmtk_encoding {
    DCMTK_NO_PIXELS,
    DCMTK_NATIVE, /* not encapsulated */
    DCMTK_RLE,
    DCMTK_JPEG,
    DCMTK_JPEG_LS,
    DCMTK_JPEG_2000,
    DCMTK_OTHER, /* video and what else there is */
} dcmtk_encoding;
dcmtk_encoding dcmtk_pixel_encoding(const dcmtk_dataset *dataset);

/* NATIVE: all frames, little endian bytes, borrowed. */
carina_status dcmtk_native_pixels(const dcmtk_dataset *dataset, const uint8_t **bytes, uint64_t *size,
                                  carina_error *error);

/* Encapsulated: the fragments of frame `frame` (from 0) of frame_count joined (malloc'ed), and the index of the first
 * of them for dcmtk_decode_frame. */
carina_status dcmtk_frame_fragments(const dcmtk_dataset *dataset, int frame, int frame_count, uint8_t **bytes,
                                    uint64_t *size, uint32_t *first_fragment, carina_error *error);

/* RLE, JPEG, JPEG_LS: one frame decoded into `buffer` of `size` bytes, as native little endian samples. */
carina_status dcmtk_decode_frame(const dcmtk_dataset *dataset, int frame, uint32_t first_fragment, uint8_t *buffer,
                                 uint32_t size, carina_error *error);

/* The paths of a DICOMDIR's image records, their components joined by '/'. malloc'ed on both levels. */
carina_status dcmtk_directory_files(const dcmtk_dataset *dataset, char ***out, int *count, carina_error *error);

/* A whole file as bytes (malloc'ed). sample as in dicom_write_film; jpeg: the compressed frame, or NULL. The UIDs of
 * attributes are set. */
carina_status dcmtk_encode_film(uint8_t **out, uint64_t *size, const uint16_t *sample, int width, int height,
                                const uint8_t *jpeg, uint64_t jpeg_size, const dicom_film_attributes *attributes,
                                carina_error *error);

#ifdef __cplusplus
}
#endif
#endif
