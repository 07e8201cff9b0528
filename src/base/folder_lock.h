/* One process at a time in a folder: for work that goes on for hours and writes the same files again and again.
 *
 * The lock is the kernel's (flock on the file FOLDER/lock), so it ends with its process, however that dies; the file
 * itself stays and means nothing. Where a file system has no such locks the folder is free to everyone.
 */
#ifndef BASE_FOLDER_LOCK_H
#define BASE_FOLDER_LOCK_H

#include "base/error.h"

typedef struct folder_lock folder_lock;

/* The folder must exist. Locked by another process, or by this one: CARINA_ERROR_IO, at once. */
carina_status folder_lock_take(folder_lock **out, const char *folder, carina_error *error);
void folder_lock_release(folder_lock *lock); /* accepts NULL */

#endif
