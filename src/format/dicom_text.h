/* Text out of DICOM files as it may be shown: valid UTF-8, no control characters. */
#ifndef FORMAT_DICOM_TEXT_H
#define FORMAT_DICOM_TEXT_H

#include <stddef.h>

/* Rewrites text in place, within `capacity` bytes. Text that is not UTF-8 (undeclared or wrongly declared character
 * sets) is taken as Latin-1, which shows Western names rightly and never fails; control characters become blanks;
 * blanks at both ends go; what does not fit is cut between characters. */
void dicom_text_clean(char *text, size_t capacity);

#endif
