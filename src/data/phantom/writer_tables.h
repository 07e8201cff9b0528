/* The tables and notes of a phantom set: everything that is about the set as a whole; used by writer.c. */
#ifndef DATA_PHANTOM_WRITER_TABLES_H
#define DATA_PHANTOM_WRITER_TABLES_H

#include "data/phantom/writer.h"

/* Makes the folders, README and phantom.json, or checks that the folder's phantom.json is of the same set. */
carina_status writer_tables_begin(const phantom_writer_options *options, carina_error *error);

/* Writes the CSV files from the scene graphs on disk, films in order. */
carina_status writer_tables_finish(const phantom_writer_options *options, carina_error *error);

#endif
